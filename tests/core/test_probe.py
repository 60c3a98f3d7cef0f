from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.errors import StampDisagreement, UnparsableRecord
from flowlag.plan import RunPlan, RunRequest, Site, plan_run
from flowlag.probe import Event, Probe, ProbeFilter, Sifted, Unparsable
from flowlag.record import DEFAULT_FORMAT, PROBE_FORMAT, FlowRecord, RecordFormat

type FlowLine = Callable[..., str]

TICK = 1_646_334_040
DELIVERED_AT = (TICK + 300) * 1_000_000
NOTHING = {"probes": 0, "foreign": 0, "nodata": 0, "skipdata": 0, "stale": 0, "unparsable": 0}
NEEDED = ("interface-id", "srcport", "dstport", "protocol", "packets", "bytes", "start")
FLOW = ("srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes", "action")
WITHOUT_TRAFFIC = dict.fromkeys(FLOW)


@pytest.fixture(scope="session")
def our(plan: RunPlan) -> ProbeFilter:
    return ProbeFilter.of(plan)


def events(*messages: str) -> list[Event]:
    return [Event(f"event-{number}", message, DELIVERED_AT) for number, message in enumerate(messages)]


def test_a_probe_is_read_whole(our: ProbeFilter, plan: RunPlan, flow_line: FlowLine) -> None:
    (event,) = events(flow_line(TICK))
    sifted = our.sift([event])
    assert sifted.counts() == NOTHING | {"probes": 1}
    assert sifted.probes == [
        (
            event,
            Probe(
                tick=TICK,
                srcport=TICK % 65_536,
                due_at=TICK * 1_000_000,
                window_start=1_646_334_000_000_000,
                window_end=1_646_334_060_000_000,
                packets=1,
                bytes=40 + plan.payload_bytes,
                tcp_flags=2,
                action="ACCEPT",
                log_status="OK",
            ),
        )
    ]


@given(st.integers(1_600_000_000, 2_000_000_000), st.integers(1, 10), st.integers(-60, 60), st.integers(18, 700))
def test_any_probe_is_read_at_any_rate_from_any_label_and_any_delivery(
    our: ProbeFilter, flow_line: FlowLine, second: int, rate: int, error: int, delay: int
) -> None:
    tick = second * rate + rate // 2
    event = Event("event", flow_line(tick, rate=rate, start=second + error), (second + delay) * 1_000_000)
    ((_, probe),) = replace(our, rate=rate).sift([event]).probes
    assert (probe.tick, probe.window_start) == (tick, (second + error) * 1_000_000)


@pytest.mark.parametrize("resets", [1, 2, 7])
def test_the_resets_of_the_senders_kernel_do_not_hide_a_probe(
    our: ProbeFilter, plan: RunPlan, flow_line: FlowLine, resets: int
) -> None:
    size = 40 + plan.payload_bytes + 40 * resets
    sifted = our.sift(events(flow_line(TICK, packets=1 + resets, bytes=size, tcp_flags=6)))
    assert [(probe.tick, probe.packets, probe.bytes) for _, probe in sifted.probes] == [(TICK, 1 + resets, size)]


@pytest.mark.parametrize(
    "changed",
    [
        {"dstport": 7778},
        {"dstport": 443, "bytes": 7777},
        {"dstport": 443, "srcport": 7777},
        {"interface_id": "eni-0fedcba9876543210"},
        {"protocol": 17},
        {"bytes": 66},
        {"bytes": 40},
        {"bytes": 41},
        {"packets": 2},
        {"srcport": 7777, "dstport": 4184, "bytes": 40},
        {"srcport": 7777, "dstport": 7777, "bytes": 40},
    ],
    ids=str,
)
def test_what_is_not_a_probe_of_this_run_is_foreign(
    our: ProbeFilter, flow_line: FlowLine, changed: dict[str, object]
) -> None:
    assert our.sift(events(flow_line(TICK, **changed))).counts() == NOTHING | {"foreign": 1}


def test_the_probes_of_another_run_are_foreign(site: Site, our: ProbeFilter, flow_line: FlowLine) -> None:
    other = plan_run("run-2", RunRequest(), site, execution="arn:run-2", now=0, code_version="abc1234")
    line = flow_line(TICK, bytes=40 + other.payload_bytes)
    assert our.sift(events(line)).counts() == NOTHING | {"foreign": 1}
    assert ProbeFilter.of(other).sift(events(line)).counts() == NOTHING | {"probes": 1}


@pytest.mark.parametrize("absent", NEEDED)
def test_a_record_that_lacks_what_tells_a_probe_is_foreign(
    our: ProbeFilter, flow_line: FlowLine, absent: str
) -> None:
    dashed = flow_line(TICK, **{absent: None})
    assert our.sift(events(dashed)).counts() == NOTHING | {"foreign": 1}
    shorter = RecordFormat(tuple(name for name in PROBE_FORMAT.names if name != absent))
    line = flow_line(TICK, record_format=shorter)
    assert replace(our, record_format=shorter).sift(events(line)).counts() == NOTHING | {"foreign": 1}


@pytest.mark.parametrize("status", ["NODATA", "SKIPDATA"])
@pytest.mark.parametrize("position", [0, 3, 19])
def test_records_without_traffic_are_counted_wherever_the_status_stands(
    our: ProbeFilter, flow_line: FlowLine, status: str, position: int
) -> None:
    others = [name for name in PROBE_FORMAT.names if name != "log-status"]
    moved = RecordFormat((*others[:position], "log-status", *others[position:]))
    line = flow_line(TICK, record_format=moved, log_status=status, **WITHOUT_TRAFFIC)
    counts = replace(our, record_format=moved).sift(events(line)).counts()
    assert counts == NOTHING | {status.lower(): 1}


def test_without_a_status_field_a_record_without_traffic_is_foreign(our: ProbeFilter, flow_line: FlowLine) -> None:
    shorter = RecordFormat(PROBE_FORMAT.names[:-1])
    line = flow_line(TICK, record_format=shorter, **WITHOUT_TRAFFIC)
    assert replace(our, record_format=shorter).sift(events(line)).counts() == NOTHING | {"foreign": 1}


@given(st.permutations(PROBE_FORMAT.names))
def test_records_are_told_apart_in_any_order_of_fields(
    our: ProbeFilter, flow_line: FlowLine, names: list[str]
) -> None:
    shuffled = RecordFormat(tuple(names))
    lines = (
        flow_line(TICK, record_format=shuffled),
        flow_line(TICK, record_format=shuffled, dstport=443),
        flow_line(TICK, record_format=shuffled, log_status="NODATA", **WITHOUT_TRAFFIC),
        flow_line(TICK, record_format=shuffled, log_status="SKIPDATA", **WITHOUT_TRAFFIC),
    )
    sifted = replace(our, record_format=shuffled).sift(events(*lines))
    assert sifted.counts() == NOTHING | {"probes": 1, "foreign": 1, "nodata": 1, "skipdata": 1}
    assert [probe.tick for _, probe in sifted.probes] == [TICK]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", "the line has 1 fields where its format has 20"),
        ("{}", "the line has 1 fields where its format has 20"),
        ("\x00\xff\x1f\x8b", "the line has 1 fields where its format has 20"),
        ("5 1 eni-0 7777 OK", "the line has 5 fields where its format has 20"),
        ("x 7777 x", "the line has 3 fields where its format has 20"),
        (" ".join("x" * 20), "the log status is 'x'"),
        (" ".join("-" * 20), "the log status is '-'"),
        (" ".join(["7777"] * 5 + ["x"] * 15), "the field 'srcport' is 'x', not a number"),
    ],
)
def test_what_cannot_be_read_is_kept_whole_with_the_reason(our: ProbeFilter, message: str, reason: str) -> None:
    sifted = our.sift(events(message))
    assert sifted.counts() == NOTHING | {"unparsable": 1}
    assert sifted.unparsable == [Unparsable("event-0", message, reason)]


def test_a_source_port_beyond_the_last_is_unparsable(our: ProbeFilter, flow_line: FlowLine) -> None:
    sifted = our.sift(events(flow_line(TICK, srcport=65_536)))
    assert sifted.counts() == NOTHING | {"unparsable": 1}
    assert sifted.unparsable[0].reason == "the source port is 65536"


def test_a_probe_whose_tick_cannot_be_told_is_unparsable_and_not_guessed(
    our: ProbeFilter, flow_line: FlowLine
) -> None:
    late = Event("late", flow_line(TICK), (TICK + 65_536) * 1_000_000)
    early = Event("early", flow_line(TICK), (TICK - 3) * 1_000_000)
    sifted = our.sift([late, early])
    assert sifted.counts() == NOTHING | {"unparsable": 2}
    assert [(each.event_id, each.message) for each in sifted.unparsable] == [late[:2], early[:2]]
    for each, other_tick in zip(sifted.unparsable, (TICK + 65_536, TICK - 65_536), strict=True):
        assert f"is tick {TICK} by its capture window and tick {other_tick} by its delivery" in each.reason


@given(st.lists(st.text() | st.sampled_from([" 7777 ", " 7777 OK", "NODATA"]), max_size=10))
def test_nothing_is_dropped_whatever_arrives(our: ProbeFilter, messages: list[str]) -> None:
    assert sum(our.sift(events(*messages)).counts().values()) == len(messages)


def test_bare_values_are_told_apart_as_events_are(our: ProbeFilter, flow_line: FlowLine) -> None:
    given_as_events = events(flow_line(TICK), flow_line(TICK, dstport=443), "torn")
    sifted = our.sift(tuple(event) for event in given_as_events)
    assert sifted == our.sift(given_as_events)
    assert [event.event_id for event, _ in sifted.probes] == ["event-0"]


def test_a_record_of_the_default_format_is_a_probe_without_flags(
    our: ProbeFilter, plan: RunPlan, flow_line: FlowLine
) -> None:
    line = flow_line(TICK, record_format=DEFAULT_FORMAT)
    probe = replace(our, record_format=DEFAULT_FORMAT).probe(DEFAULT_FORMAT.parse(line), DELIVERED_AT)
    assert probe is not None
    assert (probe.tick, probe.tcp_flags, probe.bytes) == (TICK, None, 40 + plan.payload_bytes)


def test_an_empty_record_is_no_probe(our: ProbeFilter) -> None:
    assert our.probe(FlowRecord({}), DELIVERED_AT) is None


# ---------------------------------------------------------------- an older flow log's
SINCE = TICK * 1_000_000 + 250_000
MINUTE = 60_000_000


@pytest.mark.parametrize(
    ("window_start", "is_stale"),
    [(SINCE - MINUTE - 1, True), (SINCE - MINUTE, False), (SINCE, False), (SINCE + MINUTE, False), (0, True)],
)
def test_a_window_that_began_a_minute_before_its_flow_log_is_the_first_of_it(
    our: ProbeFilter, window_start: int, *, is_stale: bool
) -> None:
    assert replace(our, since=SINCE).is_stale(window_start) is is_stale


def test_nothing_is_stale_where_nobody_knows_when_the_flow_log_was_created(our: ProbeFilter) -> None:
    assert our.since is None
    assert not our.is_stale(0)


def test_a_probe_that_an_older_flow_log_reports_is_stale(plan: RunPlan, flow_line: FlowLine) -> None:
    lines = [flow_line(TICK, start=TICK - age) for age in (61, 60, 59, 0)]
    sifted = ProbeFilter.of(plan, since=SINCE).sift(events(*lines))
    assert sifted.counts() == NOTHING | {"probes": 2, "stale": 2}
    assert [event.event_id for event, _ in sifted.probes] == ["event-2", "event-3"]


# ---------------------------------------------------------------- together
def sifted(found: int, first_record_at: int | None) -> Sifted:
    event = Event(f"event-{found}", "a line", found)
    probe = Probe(found, found, found, found, None, 1, 40, 2, "ACCEPT", "OK")
    torn = Unparsable(f"torn-{found}", "5 -", "torn")
    numbers = (found + number for number in range(5))
    return Sifted([(event, probe)] * found, [torn] * found, *numbers, first_record_at=first_record_at)


@pytest.mark.parametrize(
    ("one", "other", "first"), [(None, None, None), (5, None, 5), (None, 5, 5), (5, 6, 5), (6, 5, 5)]
)
def test_what_was_found_elsewhere_is_taken_in(one: int | None, other: int | None, first: int | None) -> None:
    mine, theirs = sifted(2, one), sifted(3, other)
    mine.add(theirs)
    assert mine.probes == sifted(2, None).probes + theirs.probes
    assert mine.unparsable == sifted(2, None).unparsable + theirs.unparsable
    assert (mine.foreign, mine.nodata, mine.skipdata, mine.stale, mine.late) == (5, 7, 9, 11, 13)
    assert mine.first_record_at == first
    assert theirs == sifted(3, other)


def test_taking_in_nothing_changes_nothing() -> None:
    for first in (None, 5):
        mine = sifted(2, first)
        mine.add(Sifted())
        assert mine == sifted(2, first)


@given(
    names=st.permutations(PROBE_FORMAT.names),
    count=st.integers(1, len(PROBE_FORMAT.names)),
    changed=st.dictionaries(
        st.sampled_from([name.replace("-", "_") for name in PROBE_FORMAT.names]), st.none() | st.integers(0, 99_999)
    ),
)
def test_a_probe_is_the_same_by_its_pattern_and_by_parsing(
    our: ProbeFilter, flow_line: FlowLine, names: list[str], count: int, changed: dict[str, object]
) -> None:
    record_format = RecordFormat(tuple(names[:count]))
    line = flow_line(TICK, record_format=record_format, **changed)
    try:
        parsed = replace(our, record_format=record_format).probe(record_format.parse(line), DELIVERED_AT)
    except (StampDisagreement, UnparsableRecord):
        parsed = None
    sifted = replace(our, record_format=record_format).sift(events(line))
    assert [probe for _, probe in sifted.probes] == [parsed] * (parsed is not None)


def test_what_the_format_of_a_probe_lacks_is_unknown(our: ProbeFilter, flow_line: FlowLine) -> None:
    needed = RecordFormat(NEEDED)
    ((_, probe),) = replace(our, record_format=needed).sift(events(flow_line(TICK, record_format=needed))).probes
    assert (probe.tick, probe.window_start) == (TICK, 1_646_334_000_000_000)
    assert (probe.window_end, probe.tcp_flags, probe.action, probe.log_status) == (None, None, None, None)
