import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.stub import Stubber

from flowlag_aws import clients, sweeping
from flowlag_aws.log_groups import RETENTION_DAYS
from flowlag_aws.store import Store
from flowlag_aws.sweeping import EVIDENCE_KEPT_US, NotSwept
from tests.functions.events import load
from tests.functions.remains import Remains, left
from tests.functions.run import ARM, MACHINE, NOON, PLAN, STACK, Json, instant
from tests.functions.stack import Cloud
from tests.functions.systems_manager import SENDER, TARGET, SystemsManager, failed, reported

type SetClock = Callable[..., None]
type Control = Callable[[str], str]

RUN = "runs/region=eu-west-1/dt=2026-11-23/{}.parquet"
NOTHING: Json = {"traffic": [], "flow_logs": [], "evidence": [], "summarized": [], "problems": []}
SWEPT_AT = instant(NOON + 700)
OTHER_STACK = MACHINE.replace("stateMachine:flowlag-", "execution:flowlag-2-")


@pytest.fixture(autouse=True)
def clock(at: SetClock) -> None:
    at(SWEPT_AT)


@pytest.fixture
def under_way(cloud: Cloud, code: str) -> None:
    """The run's traffic has been ordered."""
    cloud.store.put_control(PLAN.run_id, "bundle", {"sha256": code})


def sweep(cloud: Cloud) -> Any:
    return cloud.invoke("sweep", load("sweep"))


def expect_the_end_of_traffic(ssm: SystemsManager) -> None:
    ssm.expect("stop-sending", SENDER, reported(sent=600, clock_offset_s=0.0012))
    ssm.expect("stop-capture", TARGET, reported(seen=598))


# ---------------------------------------------------------------- a living run
@pytest.mark.usefixtures("under_way")
def test_a_living_run_is_left_alone(cloud: Cloud, remains: Remains, start: Control) -> None:
    start(PLAN.run_id)
    remains.everything()
    objects, there = cloud.objects(), left(cloud)
    assert sweep(cloud) == NOTHING
    assert (cloud.objects(), left(cloud)) == (objects, there)


def test_where_nothing_is_left_nothing_is_swept(cloud: Cloud) -> None:
    assert sweep(cloud) == NOTHING
    assert cloud.objects() == {}


@pytest.mark.usefixtures("start")
def test_flow_logs_of_a_living_execution_stay_even_if_its_plan_is_lost(
    cloud: Cloud, remains: Remains, start: Control
) -> None:
    start("living")
    remains.flow_log("living")
    there = left(cloud)
    assert sweep(cloud) == NOTHING
    assert left(cloud) == there


# ---------------------------------------------------------------- an aborted run
@pytest.mark.usefixtures("under_way")
def test_an_aborted_run_leaves_nothing_behind_but_its_row_and_what_its_sender_wrote(
    cloud: Cloud, remains: Remains, abort: Control, ssm: SystemsManager
) -> None:
    remains.everything()
    cloud.store.put(f"control/{PLAN.run_id}/ledger.csv", b"its ledger")
    abort(PLAN.run_id)
    expect_the_end_of_traffic(ssm)
    ours = [PLAN.run_id]
    assert sweep(cloud) == NOTHING | dict.fromkeys(("traffic", "flow_logs", "evidence", "summarized"), ours)
    assert left(cloud) == (set(), set(), set())
    assert cloud.store.find_control(PLAN.run_id, "swept") == {"at": SWEPT_AT}
    assert cloud.store.find_control(PLAN.run_id, "stop") == {"requested_at": SWEPT_AT}
    assert cloud.store.get(f"control/{PLAN.run_id}/ledger.csv") == b"its ledger"
    (row,) = cloud.rows(RUN.format(PLAN.run_id))
    assert (row["run_id"], row["verdict"], row["arms"]) == (PLAN.run_id, "void", [])
    assert row["reasons"] == ["the execution ended as ABORTED", f"{ARM}: the arm was not reconciled"]
    assert row["sender_clock_offset_s"] == 0.0012


@pytest.mark.usefixtures("under_way")
def test_what_was_swept_is_not_swept_again(
    cloud: Cloud, remains: Remains, abort: Control, ssm: SystemsManager
) -> None:
    remains.everything()
    abort(PLAN.run_id)
    expect_the_end_of_traffic(ssm)
    sweep(cloud)
    objects = cloud.objects()
    assert sweep(cloud) == NOTHING
    assert cloud.objects() == objects


@pytest.mark.usefixtures("under_way")
def test_a_flow_log_that_delivers_after_its_deletion_is_swept_after(
    cloud: Cloud, remains: Remains, abort: Control, ssm: SystemsManager
) -> None:
    remains.everything()
    abort(PLAN.run_id)
    expect_the_end_of_traffic(ssm)
    sweep(cloud)
    remains.evidence(PLAN.run_id)
    assert sweep(cloud) == NOTHING | {"evidence": [PLAN.run_id]}
    assert left(cloud) == (set(), set(), set())


def test_a_run_that_was_aborted_before_its_traffic_needs_no_instance(
    cloud: Cloud, remains: Remains, abort: Control
) -> None:
    remains.plan(PLAN.run_id)
    remains.claim(PLAN.run_id)
    abort(PLAN.run_id)
    assert sweep(cloud) == NOTHING | {"traffic": [PLAN.run_id], "summarized": [PLAN.run_id]}
    assert "SendCommand" not in [operation for operation, _ in cloud.calls]


def test_an_execution_that_step_functions_has_forgotten_is_no_living_one(
    cloud: Cloud, remains: Remains, start: Control
) -> None:
    start("another")
    remains.everything()
    swept = sweep(cloud)
    assert (swept["flow_logs"], swept["evidence"]) == ([PLAN.run_id], [PLAN.run_id])
    assert cloud.rows(RUN.format(PLAN.run_id))[0]["reasons"][0] == "the execution ended, nobody knows how"


def test_a_void_run_that_nobody_could_summarize_is_a_metric_too(
    cloud: Cloud, remains: Remains, abort: Control, capsys: pytest.CaptureFixture[str]
) -> None:
    remains.plan(PLAN.run_id)
    remains.claim(PLAN.run_id)
    abort(PLAN.run_id)
    sweep(cloud)
    published = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "VoidRuns" in line]
    assert [(each["service"], each["VoidRuns"]) for each in published] == [("flowlag", [1])]


def test_evidence_and_flow_logs_of_a_run_that_nobody_knows_are_swept(
    cloud: Cloud, remains: Remains, abort: Control
) -> None:
    abort("unknown")
    remains.flow_log("unknown")
    remains.evidence("unknown")
    assert sweep(cloud) == NOTHING | {"flow_logs": ["unknown"], "evidence": ["unknown"]}
    assert left(cloud) == (set(), set(), set())
    assert cloud.objects("runs/") == {}


# ---------------------------------------------------------------- a run that was closed
@pytest.mark.usefixtures("start")
def test_a_closed_run_keeps_its_evidence_for_a_week_and_its_row_for_ever(
    cloud: Cloud, remains: Remains, abort: Control, at: SetClock
) -> None:
    remains.plan(PLAN.run_id)
    remains.evidence(PLAN.run_id)
    cloud.store.put_control(PLAN.run_id, "closed", {"at": SWEPT_AT})
    cloud.results.put(RUN.format(PLAN.run_id), b"its row")
    abort(PLAN.run_id)
    there = left(cloud)
    at(SWEPT_AT + EVIDENCE_KEPT_US - 1)
    assert sweep(cloud) == NOTHING
    assert left(cloud) == there
    assert cloud.store.find_control(PLAN.run_id, "swept") is None
    at(SWEPT_AT + EVIDENCE_KEPT_US)
    assert sweep(cloud) == NOTHING | {"evidence": [PLAN.run_id]}
    assert left(cloud) == (set(), set(), set())
    assert cloud.store.find_control(PLAN.run_id, "swept") is not None
    assert cloud.objects("runs/") == {RUN.format(PLAN.run_id): b"its row"}


def test_evidence_is_kept_no_longer_than_its_log_groups_and_its_prefix_have_it(cloud: Cloud) -> None:
    # Or a run that is reconciled again late would lose its first records and say nothing.
    (rule,) = (
        rule
        for rule in cloud.template.resource("WorkBucket")["LifecycleConfiguration"]["Rules"]
        if rule.get("Prefix") == "deliveries/"
    )
    longest_run_days = 2
    assert EVIDENCE_KEPT_US / 86_400e6 + longest_run_days <= min(RETENTION_DAYS, rule["ExpirationInDays"])


# ---------------------------------------------------------------- what is somebody else's
def test_what_belongs_to_another_stack_is_left_alone(cloud: Cloud, remains: Remains, abort: Control) -> None:
    remains.everything()
    abort(PLAN.run_id)
    theirs = remains.flow_log(PLAN.run_id, owner=f"{OTHER_STACK}:{PLAN.run_id}")  # a run of the same name
    for stack in ("flowlag-2", "flow"):
        clients.logs().create_log_group(logGroupName=f"/flowlag/{stack}/{PLAN.run_id}/{ARM}")
    clients.logs().create_log_group(logGroupName=f"/flowlag/{STACK}")
    sweep(cloud)
    flow_logs, groups, _ = left(cloud)
    assert flow_logs == {theirs}
    assert groups == {
        "/flowlag/flowlag",
        f"/flowlag/flowlag-2/{PLAN.run_id}/{ARM}",
        f"/flowlag/flow/{PLAN.run_id}/{ARM}",
    }


def test_a_run_whose_name_begins_with_that_of_another_keeps_its_own(
    cloud: Cloud, remains: Remains, start: Control, abort: Control
) -> None:
    remains.everything("run")
    remains.everything("run-2")
    start("run-2")
    abort("run")
    swept = sweep(cloud)
    assert (swept["flow_logs"], swept["evidence"]) == (["run"], ["run"])
    _, groups, deliveries = left(cloud)
    assert groups == {f"/flowlag/{STACK}/run-2/{ARM}"}
    assert deliveries == {"deliveries/run-2/s3-text-600/AWSLogs/x.log.gz"}


# ---------------------------------------------------------------- what cannot be removed
@pytest.mark.usefixtures("under_way")
def test_one_thing_that_cannot_be_removed_does_not_keep_the_others(
    cloud: Cloud, remains: Remains, abort: Control, ssm: SystemsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in (PLAN.run_id, "later"):
        remains.everything(run_id)
        abort(run_id)
    remains.claim(PLAN.run_id)
    ssm.expect("stop-sending", SENDER, failed("", "Undeliverable"))
    ssm.expect("stop-capture", TARGET, reported(seen=598))
    delete = Store.delete

    def delete_but_ours(store: Store, prefix: str) -> int:
        if PLAN.run_id in prefix:
            raise PermissionError("not today")
        return delete(store, prefix)

    monkeypatch.setattr(Store, "delete", delete_but_ours)
    with pytest.raises(NotSwept) as problems:
        sweep(cloud)
    assert str(problems.value) == (
        f"run '{PLAN.run_id}': CommandFailed: stop-sending on {SENDER} ended as Undeliverable: it said nothing; "
        f"run '{PLAN.run_id}': PermissionError: not today"
    )
    assert left(cloud) == (set(), set(), {f"deliveries/{PLAN.run_id}/s3-text-600/AWSLogs/x.log.gz"})
    assert {key.rpartition("/")[2] for key in cloud.objects("runs/")} == {f"{PLAN.run_id}.parquet", "later.parquet"}


@pytest.mark.usefixtures("under_way")
def test_what_could_not_be_removed_is_removed_next_time(
    cloud: Cloud, remains: Remains, abort: Control, ssm: SystemsManager
) -> None:
    remains.everything()
    abort(PLAN.run_id)
    ssm.expect("stop-sending", SENDER, failed("", "Undeliverable"))
    ssm.expect("stop-capture", TARGET, reported(seen=598))
    with pytest.raises(NotSwept, match="Undeliverable"):
        sweep(cloud)
    expect_the_end_of_traffic(ssm)
    assert sweep(cloud) == NOTHING | {"traffic": [PLAN.run_id]}
    assert sweep(cloud) == NOTHING


@pytest.mark.usefixtures("under_way")
def test_an_instance_that_does_not_answer_leaves_time_for_the_rest(
    cloud: Cloud, remains: Remains, abort: Control, ssm: SystemsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    remains.everything()
    abort(PLAN.run_id)
    monkeypatch.setattr(sweeping, "_STOP_TIMEOUT_S", 0)
    for action, instance in (("stop-sending", SENDER), ("stop-capture", TARGET)):
        ssm.expect(action, instance)
    with pytest.raises(NotSwept, match=f"stop-capture on {TARGET} did not end in 0 s"):
        sweep(cloud)
    assert left(cloud) == (set(), set(), set())


@pytest.mark.usefixtures("under_way")
def test_traffic_that_has_ended_by_itself_needs_no_instance_which_may_be_gone(
    cloud: Cloud, remains: Remains, abort: Control, at: SetClock, stub: Callable[..., Stubber]
) -> None:
    remains.everything()
    abort(PLAN.run_id)
    stub(clients.ssm())  # whoever asks it fails
    at(instant(NOON + PLAN.request.longest_traffic_s + 3_601))
    swept = sweep(cloud)
    assert (swept["traffic"], swept["summarized"]) == ([], [PLAN.run_id])
