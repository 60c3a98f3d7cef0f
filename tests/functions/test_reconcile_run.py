from collections.abc import Callable
from typing import Any

import pytest
from botocore.stub import Stubber

from flowlag.errors import UnreadableLedger
from flowlag.first_delivery import FirstDelivery
from flowlag.plan import Arm
from flowlag_aws import clients
from flowlag_aws.store import NotStored
from functions.reconcile_run import EvidenceGone
from tests.functions.events import CREATION, MESSAGES, load
from tests.functions.logs import answer_pages, stored
from tests.functions.objects import FLOW_LOG, PARQUET, TEXT, creation_of, dated, deliver, plan_with
from tests.functions.run import ARM, NOON, PLAN, REGION, Json, delivery, event_id, flow_line, instant, pack
from tests.functions.stack import STATES, Cloud

type SetClock = Callable[..., None]

T0 = CREATION["t0_before_call"]
DAY = "region=eu-west-1/dt=2026-11-23"
OBSERVATIONS = f"observations/{DAY}/first-light.{ARM}.parquet"
FIRST_BURST, SECOND_BURST = instant(NOON + 320), instant(NOON + 920)
RECEIVED_AT = FIRST_BURST + 700_000
CLOSED_AT = SECOND_BURST + instant(1_500)
LATENESS_NS = 1_234_567
TRAVEL_NS = 400_000


def sent_ns(tick: int) -> int:
    return tick * 10**9 + LATENESS_NS


def ledger_line(tick: int, outcome: str = "sent") -> str:
    return f"{tick},{tick % 65_536},{sent_ns(tick) if outcome == 'sent' else ''},{outcome}\n"


def ledger(*lines: str, end: str = "end\n") -> str:
    return "tick,srcport,sent_ns,outcome\n" + "".join(lines) + end


def capture(*ticks: int, end: str = "end\n") -> str:
    packets = (f"{tick % 65_536},{sent_ns(tick) + TRAVEL_NS}\n" for tick in ticks)
    return "srcport,seen_ns\n" + "".join(packets) + end


def probe(number: int, tick: int, ingested_at: int) -> Json:
    return stored(event_id(number), flow_line(tick), ingested_at)


# Of ten ticks one is never sent, one is lost on the wire and one is not recorded.
NEVER_SENT, LOST, NOT_RECORDED = NOON + 2, NOON + 3, NOON + 4
RECORDED = [tick for tick in range(NOON, NOON + 10) if tick not in (NEVER_SENT, LOST, NOT_RECORDED)]
EARLY, LATE = RECORDED[:2], RECORDED[2:]
LEDGER = ledger(*(ledger_line(tick, "missed" if tick == NEVER_SENT else "sent") for tick in range(NOON, NOON + 10)))
CAPTURE = capture(*(tick for tick in range(NOON, NOON + 10) if tick not in (NEVER_SENT, LOST)))
OTHERS = {4: "foreign", 6: "nodata", 7: "skipdata", 8: "unparsable"}
PAGES = (
    [probe(100 + tick - NOON, tick, FIRST_BURST) for tick in EARLY],
    [],
    [probe(100 + tick - NOON, tick, SECOND_BURST) for tick in LATE]
    + [stored(event_id(number), MESSAGES[event_id(number)], SECOND_BURST) for number in OTHERS],
)


@pytest.fixture
def logs(stub: Callable[..., Stubber]) -> Stubber:
    return stub(clients.logs())


@pytest.fixture
def run(cloud: Cloud, planned: object, at: SetClock) -> Cloud:
    """The run when its traffic is over: created, delivered, and the first burst received by the decoder."""
    assert planned
    put = cloud.store.put
    put(f"control/{PLAN.run_id}/ledger.csv", LEDGER.encode())
    put(f"control/{PLAN.run_id}/capture.csv", CAPTURE.encode())
    cloud.store.put_control(PLAN.run_id, f"{ARM}.creation", CREATION)
    cloud.store.put_control(PLAN.run_id, f"{ARM}.first_delivery", CHECK)
    cloud.store.put_control(PLAN.run_id, "stop", {"requested_at": instant(NOON + 10)})
    cloud.store.put_control(PLAN.run_id, "traffic", {"sending": {"clock_offset_s": 0.0012}})
    at(RECEIVED_AT)
    cloud.invoke("decode_records", pack(delivery({event["eventId"]: event["message"] for event in PAGES[0]})))
    at(CLOSED_AT)
    return cloud


CHECK = FirstDelivery(
    polls=3,
    status="delivered",
    last_miss_at=FIRST_BURST - 5_000_000,
    first_hit_at=FIRST_BURST + 25_000_000,
    first_record_at=FIRST_BURST,
    first_probe_at=FIRST_BURST,
).to_json()


def reconcile(cloud: Cloud, logs: Stubber, *pages: list[Json]) -> Any:
    answer_pages(logs, T0, *(pages or PAGES))
    return cloud.invoke("reconcile_run", load("reconcile_run"))


# ---------------------------------------------------------------- the whole of it
def test_every_tick_of_the_ledger_is_observed_or_missing_for_a_reason(run: Cloud, logs: Stubber) -> None:
    assert reconcile(run, logs) == {
        "ledger_closed": True,
        "capture_closed": True,
        "failures": {},
        "arms": [
            {
                "arm": ARM,
                "first_delivery": "delivered",
                "first_delivery_s": (FIRST_BURST - T0) / 1e6,
                "counts": {
                    "ledger_ticks": 10,
                    "observed": 7,
                    "missing": {"lost_on_wire": 1, "never_sent": 1, "not_recorded": 1},
                    "before_first_record": 0,
                    "duplicates": 0,
                    "not_in_ledger": 0,
                    "stale": 0,
                    "foreign": 1,
                    "nodata": 1,
                    "skipdata": 1,
                    "unparsable": 1,
                },
                "observations": OBSERVATIONS,
            }
        ],
    }


def test_the_ingestion_times_are_filled_in_from_every_page(run: Cloud, logs: Stubber) -> None:
    reconcile(run, logs)
    rows = run.rows(OBSERVATIONS)
    assert [(row["tick"], row["ingested_at"]) for row in rows] == [
        *((tick, FIRST_BURST) for tick in EARLY),
        *((tick, SECOND_BURST) for tick in LATE),
    ]


def test_an_observation_has_the_instants_of_every_side_and_its_delays(run: Cloud, logs: Stubber) -> None:
    reconcile(run, logs)
    row = run.rows(OBSERVATIONS)[1]
    tick = EARLY[1]
    sent_at = sent_ns(tick) // 1_000
    assert {name: row[name] for name in ("sent_at", "seen_at", "ingested_at", "received_at")} == {
        "sent_at": sent_at,
        "seen_at": (sent_ns(tick) + TRAVEL_NS) // 1_000,
        "ingested_at": FIRST_BURST,
        "received_at": RECEIVED_AT,
    }
    assert row["delay_s"] == (FIRST_BURST - sent_at) / 1e6
    assert row["ingest_delay_s"] == 320.0
    assert row["timestamp_error_s"] == (instant(NOON) - sent_at) / 1e6
    assert row["subscription_delay_s"] == 0.7
    assert (row["flow_log_id"], row["event_id"]) == (CREATION["flow_log_id"], event_id(101))


def test_what_the_decoder_never_got_is_observed_without_its_receipt(run: Cloud, logs: Stubber) -> None:
    reconcile(run, logs)
    late = run.rows(OBSERVATIONS)[-1]
    assert (late["tick"], late["ingested_at"]) == (LATE[-1], SECOND_BURST)
    assert (late["received_at"], late["subscription_delay_s"]) == (None, None)


def test_the_first_receipt_counts_wherever_its_object_stands(run: Cloud, logs: Stubber, at: SetClock) -> None:
    (of_first,) = run.objects("landing/")
    at(RECEIVED_AT + 90_000_000)
    record = PAGES[0][0]
    run.invoke("decode_records", pack(delivery({record["eventId"]: record["message"]})))
    (of_second,) = run.objects("landing/").keys() - {of_first}
    folder = of_first.rpartition("/")[0]
    at(CLOSED_AT)
    for name in ("0", "z"):
        run.store.put(f"{folder}/{name}.parquet", run.store.get(of_second))
    reconcile(run, logs)
    assert run.rows(OBSERVATIONS)[0]["received_at"] == RECEIVED_AT


def test_the_ledger_becomes_a_table(run: Cloud, logs: Stubber) -> None:
    reconcile(run, logs)
    rows = run.rows(f"ledger/{DAY}/first-light.parquet")
    assert len(rows) == 10
    assert rows[0] == {
        "run_id": PLAN.run_id,
        "source": "local",
        "tick": NOON,
        "srcport": NOON % 65_536,
        "intended_at": instant(NOON),
        "sent_ns": sent_ns(NOON),
        "lateness_s": LATENESS_NS / 1e9,
        "outcome": "sent",
        "clock_offset_s": 0.0012,
    }
    assert (rows[2]["sent_ns"], rows[2]["lateness_s"], rows[2]["outcome"]) == (None, None, "missed")


def test_the_first_delivery_becomes_a_row(run: Cloud, logs: Stubber) -> None:
    reconcile(run, logs)
    assert run.rows(f"first_deliveries/{DAY}/first-light.{ARM}.parquet") == [
        {
            "run_id": PLAN.run_id,
            "arm": ARM,
            "source": "local",
            "hypervisor": "xen",
            "destination": "cloud-watch-logs",
            "file_format": None,
            "aggregation_interval_s": 600,
            "level": "interface",
            "flow_log_id": CREATION["flow_log_id"],
            "status": "delivered",
            "t0_before_call": CREATION["t0_before_call"],
            "t0_after_call": CREATION["t0_after_call"],
            "t0_service": CREATION["t0_service"],
            "last_miss_at": FIRST_BURST - 5_000_000,
            "first_hit_at": FIRST_BURST + 25_000_000,
            "first_record_at": FIRST_BURST,
            "first_probe_at": FIRST_BURST,
            "polls": 3,
            "first_record_s": (FIRST_BURST - T0) / 1e6,
            "first_probe_s": (FIRST_BURST - T0) / 1e6,
        }
    ]


def test_what_cannot_be_read_is_kept_also_if_the_decoder_never_saw_it(run: Cloud, logs: Stubber) -> None:
    reconcile(run, logs)
    (row,) = run.rows(f"quarantine/{DAY}/first-light.{ARM}.parquet")
    assert (row["event_id"], row["raw"]) == (event_id(8), MESSAGES[event_id(8)])
    assert (row["reason"], row["received_at"]) == ("the line has 3 fields where its format has 20", None)


def test_what_the_decoder_put_into_quarantine_is_there_once(run: Cloud, logs: Stubber, at: SetClock) -> None:
    at(RECEIVED_AT)
    run.invoke("decode_records", pack(delivery({event_id(8): MESSAGES[event_id(8)]})))
    at(CLOSED_AT)
    reconcile(run, logs)
    (row,) = [row for key in run.objects("quarantine/") for row in run.rows(key)]
    assert (row["event_id"], row["received_at"]) == (event_id(8), RECEIVED_AT)


# ---------------------------------------------------------------- again
def test_a_run_may_be_reconciled_again_and_gives_the_same_bytes(run: Cloud, logs: Stubber, at: SetClock) -> None:
    answer = reconcile(run, logs)
    objects = run.objects()
    at(CLOSED_AT + instant(86_400))
    assert reconcile(run, logs) == answer
    assert run.objects() == objects


def test_what_comes_after_a_run_was_closed_stays_outside(run: Cloud, logs: Stubber, at: SetClock) -> None:
    torn = stored(event_id(9), "5 -", SECOND_BURST)
    answer = reconcile(run, logs, *PAGES, [torn])
    tables = run.objects()
    late = probe(104, NOT_RECORDED, CLOSED_AT + 60_000_000)
    at(CLOSED_AT + 61_000_000)
    # The decoder gets what came after, and only now some of what had come before.
    received = [late, PAGES[0][0], PAGES[-1][0], stored(event_id(8), MESSAGES[event_id(8)], SECOND_BURST)]
    run.invoke("decode_records", pack(delivery({each["eventId"]: each["message"] for each in received})))
    assert reconcile(run, logs, *PAGES, [torn, late]) == answer
    assert {key: data for key, data in run.objects().items() if key in tables} == tables


def test_what_became_of_the_arms_need_not_be_told_again(run: Cloud, logs: Stubber) -> None:
    failure = {"Error": "ClientError", "Cause": "throttled"}
    outcomes = [{"arm": ARM, "is_up": False, "failure": failure}]
    answer_pages(logs, T0, *PAGES)
    first = run.invoke("reconcile_run", load("reconcile_run") | {"outcomes": outcomes})
    assert first["failures"] == {ARM: failure}
    answer_pages(logs, T0, *PAGES)
    assert run.invoke("reconcile_run", {"run_id": PLAN.run_id}) == first


def test_a_run_whose_evidence_was_swept_away_keeps_its_rows(run: Cloud, logs: Stubber) -> None:
    reconcile(run, logs)
    run.store.put_control(PLAN.run_id, "swept", {"at": CLOSED_AT})
    objects = run.objects()
    with pytest.raises(
        EvidenceGone, match="run 'first-light' cannot be reconciled again: its deliveries were swept"
    ):
        run.invoke("reconcile_run", load("reconcile_run"))
    assert run.objects() == objects


def test_the_order_and_the_pages_of_the_answer_change_no_byte(run: Cloud, logs: Stubber) -> None:
    reconcile(run, logs)
    objects = run.objects()
    reconcile(run, logs, [event for page in reversed(PAGES) for event in reversed(page)])
    assert run.objects() == objects


def test_of_two_records_of_a_probe_the_one_delivered_first_counts(run: Cloud, logs: Stubber) -> None:
    again = probe(200, EARLY[0], SECOND_BURST)
    (arm,) = reconcile(run, logs, [again], *PAGES)["arms"]
    assert (arm["counts"]["observed"], arm["counts"]["duplicates"]) == (7, 1)
    first = run.rows(OBSERVATIONS)[0]
    assert (first["tick"], first["ingested_at"], first["event_id"]) == (EARLY[0], FIRST_BURST, event_id(100))


def test_an_event_that_stands_on_two_pages_is_one(run: Cloud, logs: Stubber) -> None:
    (arm,) = reconcile(run, logs, *PAGES, PAGES[0])["arms"]
    assert (arm["counts"]["observed"], arm["counts"]["duplicates"]) == (7, 0)


# ---------------------------------------------------------------- S3
SECOND_DAY = instant(NOON + 43_200)
"""The end of the day on which the run was planned."""


@pytest.fixture
def to_s3(run: Cloud, at: SetClock) -> Cloud:
    """The run with two more arms, to S3, whose flow logs have recorded the same packets."""
    plan_with(run, *PLAN.arms, TEXT, PARQUET)
    for arm in (TEXT, PARQUET):
        run.store.put_control(PLAN.run_id, f"{arm.name}.creation", creation_of(arm))
        deliver(run, arm, [flow_line(tick) for tick in EARLY], FIRST_BURST)
        others = [MESSAGES[event_id(number)] for number in OTHERS if OTHERS[number] != "unparsable"]
        deliver(run, arm, [*(flow_line(tick) for tick in LATE), *others], SECOND_BURST)
    at(CLOSED_AT)
    return run


def observations_of(cloud: Cloud, arm: str) -> list[Json]:
    return cloud.rows(f"observations/{DAY}/first-light.{arm}.parquet")


def test_the_arms_of_a_run_have_the_same_packets_each_at_its_own_delivery(to_s3: Cloud, logs: Stubber) -> None:
    answer = reconcile(to_s3, logs)
    assert [arm["arm"] for arm in answer["arms"]] == [ARM, TEXT.name, PARQUET.name]
    of_logs, *of_s3 = (arm["counts"] for arm in answer["arms"])
    assert of_s3 == [of_logs | {"unparsable": 0}] * 2
    for arm in answer["arms"]:
        rows = observations_of(to_s3, arm["arm"])
        assert [row["tick"] for row in rows] == RECORDED
        assert {row["arm"] for row in rows} == {arm["arm"]}
        assert [row["ingested_at"] for row in rows] == [FIRST_BURST] * len(EARLY) + [SECOND_BURST] * len(LATE)
    for arm, file_format in ((TEXT, "plain-text"), (PARQUET, "parquet")):
        row = observations_of(to_s3, arm.name)[0]
        assert (row["destination"], row["file_format"], row["flow_log_id"]) == ("s3", file_format, FLOW_LOG)
        assert (row["received_at"], row["subscription_delay_s"]) == (None, None)
        assert row["delay_s"] == (FIRST_BURST - sent_ns(NOON) // 1_000) / 1e6


@pytest.mark.parametrize("arm", [TEXT, PARQUET], ids=lambda arm: arm.name)
def test_a_file_of_the_next_day_is_found(to_s3: Cloud, logs: Stubber, at: SetClock, arm: Arm) -> None:
    deliver(to_s3, arm, [flow_line(NOT_RECORDED)], SECOND_DAY + instant(300), day="2026/11/24")
    at(SECOND_DAY + instant(600))
    reconcile(to_s3, logs)
    assert [row["tick"] for row in observations_of(to_s3, arm.name)] == sorted([*RECORDED, NOT_RECORDED])


@pytest.mark.parametrize("arm", [TEXT, PARQUET], ids=lambda arm: arm.name)
def test_a_file_of_another_flow_log_is_stale(to_s3: Cloud, logs: Stubber, arm: Arm) -> None:
    deliver(to_s3, arm, [flow_line(NOT_RECORDED)], SECOND_BURST, flow_log="fl-0ddddddddddddddd")
    counts = {each["arm"]: each["counts"] for each in reconcile(to_s3, logs)["arms"]}
    assert counts[arm.name]["stale"] == 1
    assert NOT_RECORDED not in [row["tick"] for row in observations_of(to_s3, arm.name)]


@pytest.mark.parametrize("arm", [TEXT, PARQUET], ids=lambda arm: arm.name)
def test_a_file_of_the_second_in_which_a_run_was_closed_or_later_is_late(
    to_s3: Cloud, logs: Stubber, at: SetClock, arm: Arm
) -> None:
    at(CLOSED_AT + 400_000)
    answer, tables = reconcile(to_s3, logs), to_s3.objects()
    for later in (0, 1, 3_600):
        deliver(to_s3, arm, [flow_line(NOT_RECORDED)], CLOSED_AT + instant(later))
    assert reconcile(to_s3, logs) == answer
    assert {key: data for key, data in to_s3.objects().items() if key in tables} == tables


@pytest.mark.parametrize("arm", [TEXT, PARQUET], ids=lambda arm: arm.name)
def test_a_file_that_is_half_there_is_quarantined_and_leaves_the_others(
    to_s3: Cloud, logs: Stubber, arm: Arm
) -> None:
    key = deliver(to_s3, arm, [flow_line(NOT_RECORDED)], SECOND_BURST + 1_000_000)
    whole = to_s3.store.get(key)
    to_s3.store.put(key, whole[: len(whole) // 2])
    dated(key, SECOND_BURST + 1_000_000)
    (counts,) = (each["counts"] for each in reconcile(to_s3, logs)["arms"] if each["arm"] == arm.name)
    assert (counts["observed"], counts["unparsable"]) == (len(RECORDED), 1)
    (row,) = to_s3.rows(f"quarantine/{DAY}/first-light.{arm.name}.parquet")
    assert (row["event_id"], row["raw"]) == (key.rpartition("/")[2], key)


# ---------------------------------------------------------------- away from home
@pytest.mark.parametrize(
    "parameters", [{"HomeRegion": "eu-central-1", "HomeBucket": "results-at-home"}], ids=["satellite"]
)
def test_results_of_a_satellite_travel_home_under_its_own_region(run: Cloud, logs: Stubber) -> None:
    reconcile(run, logs)
    home = clients.s3("eu-central-1")
    assert home.get_bucket_location(Bucket="results-at-home")["LocationConstraint"] == "eu-central-1"
    kept = {each["Key"] for each in home.list_objects_v2(Bucket="results-at-home")["Contents"]}
    assert {key.partition("/")[0] for key in kept} == {"observations", "ledger", "first_deliveries", "quarantine"}
    assert all(f"/region={REGION}/" in key for key in kept)
    written = {params["Bucket"] for operation, params in run.calls if operation == "PutObject"}
    assert written == {"results-at-home", run.store.bucket}


# ---------------------------------------------------------------- what is missing
def remove(cloud: Cloud, name: str) -> None:
    clients.s3().delete_object(Bucket=cloud.store.bucket, Key=f"control/{PLAN.run_id}/{name}")


def test_without_a_ledger_nothing_can_be_counted_and_the_run_says_so(run: Cloud, logs: Stubber) -> None:
    remove(run, "ledger.csv")
    answer = reconcile(run, logs)
    assert answer["ledger_closed"] is False
    counts = answer["arms"][0]["counts"]
    assert (counts["ledger_ticks"], counts["observed"], counts["missing"], counts["not_in_ledger"]) == (0, 0, {}, 7)
    assert run.rows(OBSERVATIONS) == run.rows(f"ledger/{DAY}/first-light.parquet") == []


def test_the_ticks_that_a_killed_sender_did_not_live_to_see_were_never_sent(run: Cloud, logs: Stubber) -> None:
    torn = ledger(*(ledger_line(tick) for tick in EARLY), end=f"{EARLY[-1] + 1},12")
    run.store.put(f"control/{PLAN.run_id}/ledger.csv", torn.encode())
    answer = reconcile(run, logs, PAGES[0])
    assert answer["ledger_closed"] is False
    counts = answer["arms"][0]["counts"]
    assert counts["missing"] == {"never_sent": 9}  # up to the one in the second in which the stop was asked for
    assert counts["ledger_ticks"] == 11


def test_without_a_capture_the_loss_is_not_attributed_to_the_wire(run: Cloud, logs: Stubber) -> None:
    remove(run, "capture.csv")
    counts = reconcile(run, logs)["arms"][0]["counts"]
    assert counts["missing"] == {"never_sent": 1, "not_recorded": 2}
    assert {row["seen_at"] for row in run.rows(OBSERVATIONS)} == {None}


def test_a_capture_that_was_cut_short_does_not_attribute_what_came_later(run: Cloud, logs: Stubber) -> None:
    torn = capture(*(tick for tick in range(NOON, NOON + 3) if tick != NEVER_SENT), end="12,")
    run.store.put(f"control/{PLAN.run_id}/capture.csv", torn.encode())
    assert reconcile(run, logs)["arms"][0]["counts"]["missing"] == {"never_sent": 1, "not_recorded": 2}


def test_an_arm_without_a_flow_log_is_named_and_no_more(run: Cloud) -> None:
    remove(run, f"{ARM}.creation.json")
    answer = run.invoke("reconcile_run", load("reconcile_run"))
    assert answer == {"ledger_closed": True, "capture_closed": True, "failures": {}, "arms": [{"arm": ARM}]}
    assert run.objects("observations/") == run.objects("first_deliveries/") == {}


def test_an_arm_that_was_never_looked_at_has_no_first_delivery(run: Cloud, logs: Stubber) -> None:
    remove(run, f"{ARM}.first_delivery.json")
    (arm,) = reconcile(run, logs)["arms"]
    assert (arm["first_delivery"], arm["first_delivery_s"]) == ("waiting", None)
    (row,) = run.rows(f"first_deliveries/{DAY}/first-light.{ARM}.parquet")
    assert (row["polls"], row["first_record_at"], row["t0_before_call"]) == (0, None, T0)
    assert (row["status"], row["first_record_s"], row["first_probe_s"]) == ("waiting", None, None)


def test_an_empty_log_group_leaves_every_tick_unrecorded(run: Cloud, logs: Stubber) -> None:
    (arm,) = reconcile(run, logs, [], [])["arms"]
    assert arm["counts"]["observed"] == 0
    assert arm["counts"]["missing"] == {"lost_on_wire": 1, "never_sent": 1, "not_recorded": 8}
    assert run.rows(OBSERVATIONS) == []


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("ledger.csv", "<html>", "a ledger begins with 'tick,srcport,sent_ns,outcome', this one with '<html>'"),
        ("ledger.csv", ledger("1,1,now,sent\n"), "line 2 of the ledger is not an entry: '1,1,now,sent'"),
        ("capture.csv", "", "a capture begins with 'srcport,seen_ns', this one with ''"),
    ],
)
def test_evidence_that_is_something_else_is_an_error(run: Cloud, name: str, text: str, sentence: str) -> None:
    run.store.put(f"control/{PLAN.run_id}/{name}", text.encode())
    with pytest.raises(UnreadableLedger) as unreadable:
        run.invoke("reconcile_run", load("reconcile_run"))
    assert str(unreadable.value) == sentence


def test_a_run_that_nobody_planned_is_an_error(cloud: Cloud) -> None:
    with pytest.raises(NotStored, match="does not exist"):
        cloud.invoke("reconcile_run", load("reconcile_run"))


def test_the_state_machine_carries_the_whole_answer(run: Cloud, logs: Stubber) -> None:
    selected = STATES["ReconcileRun"]["ResultSelector"]
    assert {f"{name}.$": f"$.Payload.{name}" for name in reconcile(run, logs)} == selected
