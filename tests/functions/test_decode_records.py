import base64
import gzip
import json
from collections.abc import Callable

import pytest

from flowlag.plan import RunPlan, RunRequest, Site, plan_run
from flowlag.tables import OBSERVATIONS
from flowlag_aws import clients
from flowlag_aws.store import NotStored
from tests.functions.events import MESSAGES, PROBES, load
from tests.functions.run import (
    ARM,
    LOG_GROUP,
    NOON,
    PLAN,
    WITHOUT_TRAFFIC,
    Json,
    delivery,
    event_id,
    execution,
    flow_line,
    instant,
    pack,
)
from tests.functions.stack import Cloud
from tests.functions.template import WORK_BUCKET

type SetClock = Callable[..., None]

RECEIVED_AT = instant(NOON + 300)
NOTHING = {"probes": 0, "foreign": 0, "nodata": 0, "skipdata": 0, "stale": 0, "unparsable": 0}


@pytest.fixture(autouse=True)
def received(at: SetClock) -> None:
    at(RECEIVED_AT)


def quarantined(cloud: Cloud) -> list[Json]:
    return [row for key in cloud.objects("quarantine/") for row in cloud.rows(key)]


def landed(cloud: Cloud) -> list[Json]:
    return [row for key in cloud.objects("landing/") for row in cloud.rows(key)]


# ---------------------------------------------------------------- what a delivery becomes
@pytest.mark.usefixtures("planned")
def test_every_record_of_a_delivery_is_told_apart(cloud: Cloud) -> None:
    counts = cloud.invoke("decode_records", load("decode_records"))
    assert counts == NOTHING | {"probes": 3, "foreign": 3, "nodata": 1, "skipdata": 1, "unparsable": 1}


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("decode_records.nodata", NOTHING | {"nodata": 1}),
        ("decode_records.foreign", NOTHING | {"foreign": 1}),
        ("decode_records.s3_object", {"unparsable": 1}),
    ],
)
def test_what_holds_no_probe_lands_nothing(cloud: Cloud, name: str, counts: Json) -> None:
    assert cloud.invoke("decode_records", load(name)) == counts
    assert landed(cloud) == []


@pytest.mark.usefixtures("planned")
def test_a_delivery_becomes_one_object_of_its_probes_and_one_of_what_could_not_be_read(cloud: Cloud) -> None:
    cloud.invoke("decode_records", load("decode_records"))
    control, landing, quarantine = sorted(cloud.objects())
    assert control == f"control/{PLAN.run_id}/plan.json"
    assert landing.startswith(f"landing/{PLAN.run_id}/{ARM}/")
    assert quarantine.startswith("quarantine/region=eu-west-1/dt=2026-11-23/")


@pytest.mark.usefixtures("planned")
def test_every_field_of_a_probe_is_in_its_row(cloud: Cloud) -> None:
    cloud.invoke("decode_records", load("decode_records"))
    first, second, reset = landed(cloud)
    assert first == {
        "run_id": PLAN.run_id,
        "arm": ARM,
        "source": "local",
        "az_id": "euw1-az1",
        "instance_type": "t2.micro",
        "hypervisor": "xen",
        "destination": "cloud-watch-logs",
        "file_format": None,
        "aggregation_interval_s": 600,
        "flow_log_id": None,
        "interface_id": PLAN.interface_id,
        "tick": NOON,
        "srcport": NOON % 65_536,
        "sent_at": instant(NOON),
        "seen_at": None,
        "window_start": instant(NOON),
        "window_end": instant(NOON + 60),
        "ingested_at": None,
        "received_at": RECEIVED_AT,
        "event_id": event_id(0),
        "packets": 1,
        "bytes": 40 + PLAN.payload_bytes,
        "tcp_flags": 2,
        "action": "ACCEPT",
        "log_status": "OK",
        "delay_s": None,
        "ingest_delay_s": None,
        "timestamp_error_s": 0.0,
        "subscription_delay_s": None,
    }
    assert first.keys() == OBSERVATIONS.keys()
    of_the_second = {
        "tick": NOON + 1,
        "srcport": (NOON + 1) % 65_536,
        "sent_at": instant(NOON + 1),
        "event_id": event_id(1),
        "timestamp_error_s": -1.0,
    }
    assert second == first | of_the_second
    of_the_third = {
        "tick": NOON + 2,
        "srcport": (NOON + 2) % 65_536,
        "sent_at": instant(NOON + 2),
        "event_id": event_id(2),
        "timestamp_error_s": -2.0,
        "packets": 2,
        "bytes": 80 + PLAN.payload_bytes,
        "tcp_flags": 6,
    }
    assert reset == first | of_the_third


@pytest.mark.usefixtures("planned")
def test_what_could_not_be_read_is_kept_whole_with_the_reason(cloud: Cloud) -> None:
    cloud.invoke("decode_records", load("decode_records"))
    assert quarantined(cloud) == [
        {
            "run_id": PLAN.run_id,
            "arm": ARM,
            "source": "local",
            "received_at": RECEIVED_AT,
            "event_id": event_id(8),
            "reason": "the line has 3 fields where its format has 20",
            "raw": MESSAGES[event_id(8)],
        }
    ]


@pytest.mark.parametrize(
    ("changed", "counted_as"),
    [
        ({}, "probes"),
        ({"interface_id": "eni-0fedcba9876543210"}, "foreign"),
        ({"dstport": 7778}, "foreign"),
        ({"dstport": 443, "srcaddr": "10.77.77.7"}, "foreign"),
        ({"protocol": 17}, "foreign"),
        ({"bytes": 41 + PLAN.payload_bytes}, "foreign"),
        ({"log_status": "NODATA", **WITHOUT_TRAFFIC}, "nodata"),
        ({"log_status": "SKIPDATA", **WITHOUT_TRAFFIC}, "skipdata"),
        ({"start": "soon"}, "unparsable"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("planned")
def test_a_probe_is_told_by_interface_port_protocol_and_signature(
    cloud: Cloud, changed: dict[str, object], counted_as: str
) -> None:
    event = pack(delivery({event_id(0): flow_line(NOON, **changed)}))
    assert cloud.invoke("decode_records", event) == NOTHING | {counted_as: 1}
    assert len(landed(cloud)) == (counted_as == "probes")


def test_the_probes_of_two_runs_at_once_are_told_apart(cloud: Cloud) -> None:
    site = Site(**{name: getattr(PLAN, name) for name in Site.__dataclass_fields__})
    other = plan_run(
        "other-light",
        RunRequest(),
        site,
        execution=execution("other-light"),
        now=PLAN.planned_at,
        code_version="0.1.0",
    )
    both = {
        event_id(0): flow_line(NOON),
        event_id(1): flow_line(NOON + 1, bytes=40 + other.payload_bytes),
    }
    for plan in (PLAN, other):
        cloud.store.put_plan(plan)
        event = pack(delivery(both, LOG_GROUP.replace(PLAN.run_id, plan.run_id)))
        assert cloud.invoke("decode_records", event) == NOTHING | {"probes": 1, "foreign": 1}
    assert {(row["run_id"], row["tick"]) for row in landed(cloud)} == {
        (PLAN.run_id, NOON),
        (other.run_id, NOON + 1),
    }


@pytest.mark.usefixtures("planned")
def test_a_probe_that_cannot_be_of_this_delivery_is_not_guessed(cloud: Cloud, at: SetClock) -> None:
    at(instant(NOON + 65_536 + 300))  # its port repeats after 18 hours
    assert cloud.invoke("decode_records", pack(delivery(PROBES))) == NOTHING | {"unparsable": 2}
    assert {row["event_id"] for row in quarantined(cloud)} == PROBES.keys()
    assert landed(cloud) == []


@pytest.mark.usefixtures("planned")
def test_a_delivery_without_probes_leaves_nothing(cloud: Cloud) -> None:
    event = pack(delivery({event_id(4): MESSAGES[event_id(4)]}))
    assert cloud.invoke("decode_records", event) == NOTHING | {"foreign": 1}
    assert list(cloud.objects()) == [f"control/{PLAN.run_id}/plan.json"]


# ---------------------------------------------------------------- at least once
@pytest.mark.usefixtures("planned")
def test_a_delivery_that_comes_again_leaves_the_first_as_it_was(cloud: Cloud, at: SetClock) -> None:
    cloud.invoke("decode_records", load("decode_records"))
    first = cloud.objects("landing/")
    at(RECEIVED_AT + 60_000_000)
    counts = cloud.invoke("decode_records", load("decode_records.redelivery"))
    assert counts["probes"] == 3
    assert cloud.objects("landing/") == first
    assert {row["received_at"] for row in landed(cloud)} == {RECEIVED_AT}
    assert len(quarantined(cloud)) == 1


@pytest.mark.usefixtures("planned")
def test_the_same_delivery_gives_the_same_bytes_but_for_the_instant_of_its_receipt(
    cloud: Cloud, at: SetClock
) -> None:
    cloud.invoke("decode_records", load("decode_records"))
    (key, data), *_ = cloud.objects("landing/").items()
    rows = cloud.rows(key)
    for later, is_same in ((0, True), (60, False)):
        clients.s3().delete_object(Bucket=WORK_BUCKET, Key=key)
        at(RECEIVED_AT + instant(later))
        cloud.invoke("decode_records", load("decode_records.redelivery"))
        assert (cloud.store.get(key) == data) is is_same
        assert cloud.rows(key) == [row | {"received_at": RECEIVED_AT + instant(later)} for row in rows]


@pytest.mark.usefixtures("planned")
def test_two_deliveries_are_two_objects(cloud: Cloud) -> None:
    for number in range(2):
        cloud.invoke("decode_records", pack(delivery({event_id(number): flow_line(NOON)})))
    assert len(cloud.objects("landing/")) == 2
    assert {row["event_id"] for row in landed(cloud)} == {event_id(0), event_id(1)}


# ---------------------------------------------------------------- what is not a delivery
def test_a_control_message_is_acknowledged_and_leaves_nothing(cloud: Cloud) -> None:
    assert cloud.invoke("decode_records", load("decode_records.control")) == {}
    assert cloud.objects() == {}


def zipped(data: bytes) -> Json:
    return {"awslogs": {"data": base64.b64encode(gzip.compress(data)).decode()}}


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ({}, "KeyError: 'awslogs'"),
        ({"awslogs": {}}, "KeyError: 'data'"),
        ({"awslogs": {"data": "x"}}, "Error: Invalid base64-encoded string"),
        ({"awslogs": {"data": "&&&&"}}, "error: Error -5"),
        ({"awslogs": {"data": base64.b64encode(b"no gzip").decode()}}, "error: Error -3"),
        ({"awslogs": {"data": base64.b64encode(gzip.compress(b"{}")[:-9]).decode()}}, "error: Error -5"),
        (zipped(b"\xff"), "UnicodeDecodeError"),
        (zipped(b"no JSON"), "JSONDecodeError"),
        (zipped(b"[]"), "TypeError"),
        (zipped(b"{}"), "KeyError: 'messageType'"),
        (pack(delivery({}, log_group="elsewhere")), "ValueError: not enough values to unpack"),
        (pack({**delivery({}), "logEvents": None}), "TypeError"),
        (pack({**delivery({}), "logEvents": [{"id": "1"}]}), "KeyError: 'message'"),
        (pack({key: value for key, value in delivery({}).items() if key != "logEvents"}), "KeyError: 'logEvents'"),
    ],
)
@pytest.mark.usefixtures("planned")
def test_an_event_that_cannot_be_opened_is_kept_whole_and_not_retried(cloud: Cloud, event: Json, what: str) -> None:
    assert cloud.invoke("decode_records", event) == {"unparsable": 1}
    (row,) = quarantined(cloud)
    assert json.loads(row.pop("raw")) == event
    assert row.pop("reason").startswith(f"the event is not a CloudWatch Logs envelope: {what}")
    assert row == dict.fromkeys(("run_id", "arm", "source", "event_id")) | {"received_at": RECEIVED_AT}


def test_the_same_broken_event_is_kept_once(cloud: Cloud) -> None:
    for _ in range(2):
        cloud.invoke("decode_records", {"awslogs": {"data": "x"}})
    assert len(quarantined(cloud)) == 1


def test_a_delivery_of_a_run_that_nobody_planned_is_retried_and_then_kept_by_its_queue(cloud: Cloud) -> None:
    key = f"control/{PLAN.run_id}/plan.json"
    with pytest.raises(NotStored, match=f"s3://{WORK_BUCKET}/{key} does not exist"):
        cloud.invoke("decode_records", load("decode_records"))


def test_a_run_may_be_decoded_by_its_plan_alone(cloud: Cloud, planned: RunPlan) -> None:
    cloud.invoke("decode_records", load("decode_records"))
    read = [params["Key"] for operation, params in cloud.calls if operation == "GetObject"]
    assert read == [f"control/{planned.run_id}/plan.json"]
