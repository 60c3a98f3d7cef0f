import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from botocore.exceptions import ClientError

from flowlag.probe import ProbeFilter, Sifted
from flowlag_aws import clients
from flowlag_aws.clock import now
from flowlag_aws.log_groups import (
    PADDING_US,
    create_subscribed_group,
    delete_log_group,
    log_group_name,
    log_groups,
    run_and_arm,
    sift,
)
from tests.contract.clouds import ONLY_MINISTACK, ONLY_MOTO, Cloud
from tests.functions.run import PLAN, WITHOUT_TRAFFIC, flow_line

pytestmark = pytest.mark.slow

STREAM = "eni-0123456789abcdef0-all"


@pytest.fixture(scope="module")
def decoder(aws: Cloud) -> str:
    """The ARN of a function that CloudWatch Logs may invoke."""
    assert aws
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("decode.py", "def handler(event, context): return {}")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    role = boto3.client("iam").create_role(RoleName="decode", AssumeRolePolicyDocument=json.dumps(trust))
    functions = boto3.client("lambda")
    arn = functions.create_function(
        FunctionName="decode",
        Runtime="python3.13",
        Handler="decode.handler",
        Role=role["Role"]["Arn"],
        Code={"ZipFile": code.getvalue()},
    )["FunctionArn"]
    functions.add_permission(
        FunctionName="decode", StatementId="logs", Action="lambda:InvokeFunction", Principal="logs.amazonaws.com"
    )
    return arn


@pytest.fixture
def group(aws: Cloud, unique: str) -> str:
    """An empty log group with one stream; nobody has subscribed to it."""
    assert aws
    clients.logs().create_log_group(logGroupName=unique)
    clients.logs().create_log_stream(logGroupName=unique, logStreamName=STREAM)
    return unique


def put(group: str, *messages: tuple[int, str]) -> None:
    """Put messages with their timestamps, in microseconds; CloudWatch Logs wants them in order."""
    clients.logs().put_log_events(
        logGroupName=group,
        logStreamName=STREAM,
        logEvents=[{"timestamp": at // 1_000, "message": message} for at, message in sorted(messages)],
    )


def record(tick: int, start: int | None = None, **changed: object) -> tuple[int, str]:
    """A flow record as a flow log puts it: its timestamp is its `start`."""
    start = tick if start is None else start
    return start * 1_000_000, flow_line(tick, start=start, **changed)


def sifted(group: str, since: int, until: int | None = None) -> Sifted:
    """What a flow log that was created at `since`, in seconds, has put into the group."""
    return sift(group, ProbeFilter.of(PLAN, since=since * 1_000_000), until=until)


def ticks(found: Sifted) -> list[int]:
    return sorted(probe.tick for _, probe in found.probes)


@pytest.fixture
def second() -> int:
    """A minute ago: probes that are delivered now were sent then, and some seconds later."""
    return now() // 1_000_000 - 60


@contextmanager
def in_pages_of(size: int) -> Iterator[list[str | None]]:
    """Have FilterLogEvents answer with few events at once; the tokens that it is asked with, in order."""
    tokens: list[str | None] = []

    def ask_for_few(params: dict[str, object], **_: object) -> None:
        params["limit"] = size
        tokens.append(params.get("nextToken"))

    events = clients.logs().meta.events
    events.register("before-parameter-build.cloudwatch-logs.FilterLogEvents", ask_for_few)
    try:
        yield tokens
    finally:
        events.unregister("before-parameter-build.cloudwatch-logs.FilterLogEvents", ask_for_few)


# ---------------------------------------------------------------- the group
def test_an_arms_group_is_subscribed_and_kept_for_two_weeks(decoder: str, unique: str) -> None:
    create_subscribed_group(unique, "run-1", decoder)
    (group,) = clients.logs().describe_log_groups(logGroupNamePrefix=unique)["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == (unique, 14)
    arn = group["arn"].removesuffix(":*")
    assert clients.logs().list_tags_for_resource(resourceArn=arn)["tags"] == {"flowlag:run-id": "run-1"}
    (subscription,) = clients.logs().describe_subscription_filters(logGroupName=unique)["subscriptionFilters"]
    assert (subscription["filterName"], subscription["filterPattern"]) == ("flowlag", "")
    assert subscription["destinationArn"] == decoder


def test_a_group_that_is_there_is_subscribed_and_loses_nothing(decoder: str, group: str, second: int) -> None:
    put(group, record(second))
    for _ in range(2):
        create_subscribed_group(group, "run-1", decoder)
    assert len(clients.logs().describe_subscription_filters(logGroupName=group)["subscriptionFilters"]) == 1
    assert ticks(sifted(group, second)) == [second]


@pytest.mark.usefixtures("aws")
def test_a_function_that_is_not_there_cannot_be_subscribed(unique: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterException"):
        create_subscribed_group(unique, "run-1", "arn:aws:lambda:us-east-1:000000000000:function:none")


def test_a_groups_name_tells_its_run_and_arm() -> None:
    name = log_group_name("/flowlag/my-stack", "run-1", "cloudwatch-600")
    assert name == "/flowlag/my-stack/run-1/cloudwatch-600"
    assert run_and_arm(name) == ("run-1", "cloudwatch-600")


# ---------------------------------------------------------------- those of a stack
@pytest.mark.usefixtures("aws")
def test_the_groups_in_a_folder_are_named_in_order_and_no_others(unique: str) -> None:
    names = [log_group_name(unique, run, arm) for run in ("run-1", "run-2") for arm in ("s3-60", "s3-60-hive")]
    others = [unique, f"{unique}-2/run-1/s3-60", f"other/{unique}/run-1/s3-60"]
    for name in (*reversed(names), *others):
        clients.logs().create_log_group(logGroupName=name)
    assert list(log_groups(unique)) == names
    assert list(log_groups(f"{unique}/run-1")) == names[:2]
    assert list(log_groups(f"{unique}/run")) == []


@pytest.mark.usefixtures("aws")
def test_every_page_of_groups_is_read(unique: str) -> None:
    names = [f"{unique}/run/{number:02}" for number in range(60)]  # a page has 50
    for name in names:
        clients.logs().create_log_group(logGroupName=name)
    assert list(log_groups(unique)) == names


def test_a_group_is_deleted_once_and_may_be_deleted_again(group: str) -> None:
    for _ in range(2):
        delete_log_group(group)
        assert clients.logs().describe_log_groups(logGroupNamePrefix=group)["logGroups"] == []


# ---------------------------------------------------------------- what was delivered
def test_a_probe_comes_with_its_event_and_its_ingestion(group: str, second: int) -> None:
    before = now()
    put(group, record(second))
    after = now()
    found = sifted(group, second)
    ((event, probe),) = found.probes
    assert (probe.tick, event.message) == (second, record(second)[1])
    assert isinstance(event.event_id, str)
    assert event.event_id
    assert before - 1_000 <= event.delivered_at <= after  # milliseconds
    assert found.first_record_at == event.delivered_at


def test_records_are_told_apart(group: str, second: int) -> None:
    others = [record(second, log_status=status, **WITHOUT_TRAFFIC) for status in ("NODATA", "SKIPDATA")]
    put(group, record(second), record(second, dstport=443), *others, (second * 1_000_000, "5 é torn"))
    found = sifted(group, second)
    assert found.counts() == {
        "probes": 1,
        "foreign": 1,
        "nodata": 1,
        "skipdata": 1,
        "stale": 0,
        "unparsable": 1,
    }
    assert found.unparsable[0].message == "5 é torn"


def test_any_record_is_a_first_one_but_a_stale_one(group: str, second: int) -> None:
    assert sifted(group, second).first_record_at is None
    put(group, record(second - 61, dstport=443))
    assert sifted(group, second).first_record_at is None
    before = now()
    put(group, record(second, log_status="NODATA", **WITHOUT_TRAFFIC))
    put(group, record(second))
    found = sifted(group, second)
    ((event, _),) = found.probes
    assert found.first_record_at is not None
    assert before - 1_000 <= found.first_record_at <= event.delivered_at


def test_what_an_older_flow_log_reports_is_only_counted(group: str, second: int) -> None:
    put(group, *(record(second - age) for age in (61, 60, 0)), record(second - 61, dstport=443))
    found = sifted(group, second)
    assert (ticks(found), found.stale, found.foreign) == ([second - 60, second], 2, 0)


def test_what_comes_after_the_end_of_a_run_is_only_counted(group: str, second: int) -> None:
    put(group, record(second))
    closed_at = now()
    first = sifted(group, second, until=closed_at)
    deadline = closed_at + 2_000  # ingestion counts milliseconds
    while now() < deadline:
        pass
    put(group, record(second + 1), record(second, dstport=443))
    again = sifted(group, second, until=closed_at)
    assert (ticks(again), again.foreign, again.late) == ([second], 0, 2)
    assert (again.probes, again.first_record_at) == (first.probes, first.first_record_at)
    assert ticks(sifted(group, second)) == [second, second + 1]


@ONLY_MOTO
def test_every_page_is_read(group: str, second: int) -> None:
    put(group, *(record(second + number) for number in range(7)))
    with in_pages_of(2) as tokens:
        found = sifted(group, second)
    assert len(tokens) == 4
    assert tokens[0] is None
    assert all(tokens[1:])
    assert ticks(found) == [second + number for number in range(7)]
    assert len({event.event_id for event, _ in found.probes}) == 7


@ONLY_MINISTACK
def test_ministack_has_one_page_and_no_token_for_the_rest(group: str, second: int) -> None:
    # A canary: what is beyond 10,000 events of one arm cannot be read there.
    put(group, *(record(second + number) for number in range(3)))
    with in_pages_of(2) as tokens:
        assert len(sifted(group, second).probes) == 2
    assert tokens == [None]


def test_what_is_labelled_long_before_the_flow_log_is_not_even_looked_at(group: str, second: int) -> None:
    padding = PADDING_US // 1_000_000
    put(group, *(record(second - age) for age in (padding + 1, padding, 0)))
    found = sifted(group, second)
    assert (ticks(found), found.stale) == ([second], 1)


def test_every_stream_of_the_group_is_read(group: str, second: int) -> None:
    clients.logs().create_log_stream(logGroupName=group, logStreamName="another")
    put(group, record(second))
    at, message = record(second + 1)
    clients.logs().put_log_events(
        logGroupName=group, logStreamName="another", logEvents=[{"timestamp": at // 1_000, "message": message}]
    )
    assert ticks(sifted(group, second)) == [second, second + 1]


def test_an_empty_group_has_no_records(group: str, second: int) -> None:
    assert sifted(group, second) == Sifted()


@pytest.mark.usefixtures("aws")
def test_a_group_that_is_not_there_is_an_error(unique: str, second: int) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        sifted(unique, second)
