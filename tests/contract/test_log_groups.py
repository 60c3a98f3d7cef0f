import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
from botocore.exceptions import ClientError

from flowlag.probe import Event
from flowlag_aws import clients
from flowlag_aws.clock import now
from flowlag_aws.log_groups import PADDING_US, create_subscribed_group, delivered, log_group_name, run_and_arm
from tests.contract.clouds import ONLY_MINISTACK, ONLY_MOTO, Cloud

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
    """Put messages with their timestamps, in microseconds."""
    clients.logs().put_log_events(
        logGroupName=group,
        logStreamName=STREAM,
        logEvents=[{"timestamp": at // 1_000, "message": message} for at, message in messages],
    )


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
def test_an_arms_group_is_subscribed_and_kept_for_a_week(decoder: str, unique: str) -> None:
    create_subscribed_group(unique, "run-1", decoder)
    (group,) = clients.logs().describe_log_groups(logGroupNamePrefix=unique)["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == (unique, 7)
    arn = group["arn"].removesuffix(":*")
    assert clients.logs().list_tags_for_resource(resourceArn=arn)["tags"] == {"flowlag:run-id": "run-1"}
    (subscription,) = clients.logs().describe_subscription_filters(logGroupName=unique)["subscriptionFilters"]
    assert (subscription["filterName"], subscription["filterPattern"]) == ("flowlag", "")
    assert subscription["destinationArn"] == decoder


def test_a_group_that_is_there_is_subscribed_and_loses_nothing(decoder: str, group: str) -> None:
    put(group, (now(), "kept"))
    for _ in range(2):
        create_subscribed_group(group, "run-1", decoder)
    assert len(clients.logs().describe_subscription_filters(logGroupName=group)["subscriptionFilters"]) == 1
    assert [event.message for event in delivered(group, now())] == ["kept"]


@pytest.mark.usefixtures("aws")
def test_a_function_that_is_not_there_cannot_be_subscribed(unique: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterException"):
        create_subscribed_group(unique, "run-1", "arn:aws:lambda:us-east-1:000000000000:function:none")


def test_a_groups_name_tells_its_run_and_arm() -> None:
    name = log_group_name("/flowlag/my-stack", "run-1", "cloudwatch-600")
    assert name == "/flowlag/my-stack/run-1/cloudwatch-600"
    assert run_and_arm(name) == ("run-1", "cloudwatch-600")


# ---------------------------------------------------------------- what was delivered
def test_an_event_comes_with_its_message_and_its_ingestion(group: str) -> None:
    before = now()
    put(group, (before, "5 123 eni-0 é - OK"))
    after = now()
    (event,) = delivered(group, before)
    assert isinstance(event, Event)
    assert event.message == "5 123 eni-0 é - OK"
    assert isinstance(event.event_id, str)
    assert event.event_id
    assert before - 1_000 <= event.delivered_at <= after  # milliseconds


@ONLY_MOTO
def test_every_page_is_read(group: str) -> None:
    start = now()
    messages = [(start + number * 1_000, f"message {number}") for number in range(7)]
    put(group, *messages)
    with in_pages_of(2) as tokens:
        events = list(delivered(group, start))
    assert len(tokens) == 4
    assert tokens[0] is None
    assert all(tokens[1:])
    assert sorted(event.message for event in events) == [message for _, message in messages]
    assert len({event.event_id for event in events}) == 7


@ONLY_MINISTACK
def test_ministack_has_one_page_and_no_token_for_the_rest(group: str) -> None:
    # A canary: what is beyond 10,000 events of one arm cannot be read there.
    put(group, *((now(), f"message {number}") for number in range(3)))
    with in_pages_of(2) as tokens:
        assert len(list(delivered(group, now()))) == 2
    assert tokens == [None]


def test_what_is_labelled_before_it_was_sent_is_found_too(group: str) -> None:
    start = now() - 3_600_000_000
    put(group, (start - PADDING_US - 1_000_000, "too old"), (start - PADDING_US, "just in"), (start, "of the run"))
    assert sorted(event.message for event in delivered(group, start)) == ["just in", "of the run"]


def test_every_stream_of_the_group_is_read(group: str) -> None:
    clients.logs().create_log_stream(logGroupName=group, logStreamName="another")
    start = now()
    put(group, (start, "one"))
    clients.logs().put_log_events(
        logGroupName=group,
        logStreamName="another",
        logEvents=[{"timestamp": start // 1_000, "message": "two"}],
    )
    assert sorted(event.message for event in delivered(group, start)) == ["one", "two"]


def test_an_empty_group_has_no_events(group: str) -> None:
    assert list(delivered(group, now())) == []


@pytest.mark.usefixtures("aws")
def test_a_group_that_is_not_there_is_an_error(unique: str) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        list(delivered(unique, now()))
