from collections.abc import Callable
from typing import Any

import pytest
from botocore.stub import Stubber

from flowlag.first_delivery import FirstDelivery
from flowlag.plan import Arm
from flowlag_aws import clients
from flowlag_aws.store import NotStored
from tests.functions.events import CREATION, MESSAGES, load
from tests.functions.logs import answer_pages, stored
from tests.functions.objects import PARQUET, TEXT, creation_of, deliver, plan_with
from tests.functions.run import ARM, NOON, PLAN, Json, event_id, flow_line, instant
from tests.functions.stack import STATES, Cloud

type SetClock = Callable[..., None]

T0 = CREATION["t0_before_call"]
ASKED_AT, ANSWERED_AT = T0 + 30_000_000, T0 + 30_400_000
DEADLINE = T0 + PLAN.request.first_delivery_timeout_s * 1_000_000
FIRST_INGESTED, SECOND_INGESTED = instant(NOON + 20), instant(NOON + 25)
STALE = [flow_line(NOON - 50, start=NOON - 60), flow_line(NOON, dstport=443, start=NOON - 60)]
FOREIGN, NODATA = MESSAGES[event_id(4)], MESSAGES[event_id(6)]


@pytest.fixture
def logs(stub: Callable[..., Stubber]) -> Stubber:
    return stub(clients.logs())


@pytest.fixture(autouse=True)
def clock(at: SetClock) -> None:
    at(ASKED_AT, ANSWERED_AT)


def look(cloud: Cloud, check: Json | None = None, **changed: object) -> Any:
    answer = cloud.invoke("check_first_delivery", load("check_first_delivery") | {"check": check or {}} | changed)
    return answer["check"]


# ---------------------------------------------------------------- CloudWatch Logs
@pytest.mark.usefixtures("planned")
def test_an_empty_log_group_is_a_miss(cloud: Cloud, logs: Stubber) -> None:
    answer_pages(logs, T0, [])
    assert look(cloud) == {
        "polls": 1,
        "status": "waiting",
        "last_miss_at": ASKED_AT,
        "first_hit_at": None,
        "first_record_at": None,
        "first_probe_at": None,
    }


@pytest.mark.usefixtures("planned")
def test_a_record_that_is_no_probe_is_the_first_record_and_waiting_goes_on(cloud: Cloud, logs: Stubber) -> None:
    records = [stored(event_id(1), NODATA, SECOND_INGESTED), stored(event_id(0), FOREIGN, FIRST_INGESTED)]
    answer_pages(logs, T0, records)
    check = look(cloud)
    assert (check["status"], check["first_record_at"], check["first_probe_at"]) == ("waiting", FIRST_INGESTED, None)
    assert (check["last_miss_at"], check["first_hit_at"]) == (ASKED_AT, None)


@pytest.mark.usefixtures("planned")
def test_a_probe_is_delivered_when_it_was_ingested_and_not_when_it_was_looked_for(
    cloud: Cloud, logs: Stubber
) -> None:
    probe = stored(event_id(1), flow_line(NOON), SECOND_INGESTED)
    answer_pages(logs, T0, [stored(event_id(0), NODATA, FIRST_INGESTED)], [], [probe])
    earlier = FirstDelivery(polls=3, last_miss_at=T0 + 10_000_000).to_json()
    assert look(cloud, earlier) == {
        "polls": 4,
        "status": "delivered",
        "last_miss_at": T0 + 10_000_000,
        "first_hit_at": ANSWERED_AT,
        "first_record_at": FIRST_INGESTED,
        "first_probe_at": SECOND_INGESTED,
    }


@pytest.mark.usefixtures("planned")
def test_what_an_older_flow_log_reports_is_no_first_delivery(cloud: Cloud, logs: Stubber) -> None:
    stale = [stored(event_id(number), line, FIRST_INGESTED, start=NOON - 60) for number, line in enumerate(STALE)]
    answer_pages(logs, T0, stale)
    check = look(cloud)
    assert (check["status"], check["first_record_at"], check["first_probe_at"]) == ("waiting", None, None)
    answer_pages(logs, T0, [*stale, stored(event_id(9), flow_line(NOON), SECOND_INGESTED)])
    check = look(cloud, check)
    assert (check["status"], check["first_record_at"]) == ("delivered", SECOND_INGESTED)
    assert check["first_probe_at"] == SECOND_INGESTED


# ---------------------------------------------------------------- S3
@pytest.fixture(params=[TEXT, PARQUET], ids=lambda arm: arm.name)
def arm(request: pytest.FixtureRequest, cloud: Cloud) -> Arm:
    """An arm of the run, to S3."""
    plan_with(cloud, request.param)
    return request.param


def look_into(cloud: Cloud, arm: Arm, check: Json | None = None) -> Any:
    return look(cloud, check, arm=arm.name, creation=creation_of(arm))


def test_an_empty_folder_is_a_miss(cloud: Cloud, arm: Arm) -> None:
    check = look_into(cloud, arm)
    assert (check["polls"], check["status"], check["last_miss_at"]) == (1, "waiting", ASKED_AT)
    assert check["first_record_at"] is None


def test_the_first_file_of_any_record_and_the_first_with_a_probe_are_told_apart(cloud: Cloud, arm: Arm) -> None:
    deliver(cloud, arm, [NODATA, FOREIGN], FIRST_INGESTED)
    check = look_into(cloud, arm)
    assert (check["status"], check["first_record_at"], check["first_probe_at"]) == ("waiting", FIRST_INGESTED, None)
    deliver(cloud, arm, [FOREIGN, flow_line(NOON)], SECOND_INGESTED)
    check = look_into(cloud, arm, check)
    assert (check["status"], check["polls"]) == ("delivered", 2)
    assert (check["first_record_at"], check["first_probe_at"]) == (FIRST_INGESTED, SECOND_INGESTED)
    assert cloud.store.find_control(PLAN.run_id, f"{arm.name}.first_delivery") == check


def test_neither_another_flow_logs_file_nor_a_stale_record_is_a_first_delivery(cloud: Cloud, arm: Arm) -> None:
    deliver(cloud, arm, [flow_line(NOON)], FIRST_INGESTED, flow_log="fl-0ddddddddddddddd")
    deliver(cloud, arm, STALE, FIRST_INGESTED)
    check = look_into(cloud, arm)
    assert (check["status"], check["first_record_at"], check["first_probe_at"]) == ("waiting", None, None)


def test_the_file_of_another_arm_is_not_looked_at(cloud: Cloud) -> None:
    hourly = Arm(destination="s3", per_hour=True)  # its name begins with the other's
    plan_with(cloud, TEXT, hourly)
    deliver(cloud, hourly, [flow_line(NOON)], FIRST_INGESTED)
    assert look_into(cloud, TEXT)["status"] == "waiting"
    assert look_into(cloud, hourly)["status"] == "delivered"


# ---------------------------------------------------------------- until when, and how often
@pytest.mark.parametrize(("answered_at", "status"), [(DEADLINE - 1, "waiting"), (DEADLINE, "expired")])
@pytest.mark.usefixtures("planned")
def test_waiting_ends_at_the_deadline(
    cloud: Cloud, logs: Stubber, at: SetClock, answered_at: int, status: str
) -> None:
    at(DEADLINE - 500_000, answered_at)
    answer_pages(logs, T0, [stored(event_id(0), FOREIGN, FIRST_INGESTED)])
    assert look(cloud)["status"] == status


@pytest.mark.usefixtures("planned")
def test_every_look_is_counted_and_the_last_is_kept(cloud: Cloud, logs: Stubber) -> None:
    check: Json = {}
    for polls in (1, 2, 3):
        answer_pages(logs, T0, [])
        check = look(cloud, check)
        assert check["polls"] == polls
        assert cloud.store.find_control(PLAN.run_id, f"{ARM}.first_delivery") == check


@pytest.mark.usefixtures("planned")
def test_each_look_is_half_as_late_again(cloud: Cloud, logs: Stubber) -> None:
    event, waits = load("check_first_delivery"), []
    for _ in range(7):
        answer_pages(logs, T0, [])
        answer = cloud.invoke("check_first_delivery", event)
        waits.append(answer["next_look_s"])
        event |= {"check": answer["check"]}
    assert waits == [45, 68, 101, 152, 228, 240, 240]


@pytest.mark.usefixtures("planned")
def test_the_state_machine_carries_the_whole_state_and_begins_it(cloud: Cloud, logs: Stubber) -> None:
    answer_pages(logs, T0, [])
    answer = cloud.invoke("check_first_delivery", load("check_first_delivery"))
    assert {f"{name}.$": f"$.Payload.{name}" for name in answer} == STATES["CheckFirstDelivery"]["ResultSelector"]
    begun = STATES["EachArm"]["ItemSelector"]["looked"]
    assert {name.removesuffix(".$") for name in begun} == answer.keys()
    assert begun["check"] == load("check_first_delivery")["check"]


def test_a_run_that_nobody_planned_is_an_error(cloud: Cloud) -> None:
    with pytest.raises(NotStored, match="the step that writes it did not run"):
        look(cloud)
