"""From packets to flow records: the pure half of the flow-log service."""

import struct
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.delivery import PRESETS, Schedule
from flowlag.record import DEFAULT_FORMAT, PROBE_FORMAT, RecordFormat
from flowlag.signature import SHORTEST, is_signed
from local.flow_logs.faults import NONE, Faults
from local.flow_logs.records import (
    EGRESS,
    INGRESS,
    Flow,
    Interface,
    Packet,
    Pipeline,
    Traffic,
    Window,
    parse_packet,
    records,
)
from sender.order import Order
from sender.packets import build

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
SYN, RST, ACK = 2, 4, 16
XEN = PRESETS["xen-600"]
OUT = Flow("10.99.0.10", "10.99.0.20", 4711, 7777, 6, EGRESS)
BACK = Flow("10.99.0.20", "10.99.0.10", 7777, 4711, 6, INGRESS)
INTERFACE = Interface(
    interface_id="eni-1",
    account_id="000000000000",
    instance_id="i-1",
    subnet_id="subnet-1",
    vpc_id="vpc-1",
    region="eu-west-1",
    az_id="euw1-az1",
)


def ipv4(protocol: int, rest: bytes, *, options: bytes = b"", fragment: int = 0) -> bytes:
    words = 5 + len(options) // 4
    length = 4 * words + len(rest)
    addresses = bytes([10, 99, 0, 10, 10, 99, 0, 20])
    return (
        struct.pack("!BBHHHBBH", 0x40 + words, 0, length, 1, fragment, 64, protocol, 0) + addresses + options + rest
    )


def packet(at_s: float = 0.0, flow: Flow = OUT, length: int = 104, tcp_flags: int = SYN) -> Packet:
    return Packet(NOW * 1_000 + round(at_s * 1e9), flow, length, tcp_flags)


def window(*flows: tuple[Flow, Traffic], start: int = NOW + 5) -> Window:
    return Window(start, start + 60 * SECOND, start, dict(flows))


# ---------------------------------------------------------------- packets
def test_a_probe_is_read_as_it_was_built(tmp_path):
    order = Order("run-1", "bucket", "10.99.0.10", "10.99.0.20", 7777, 1, SHORTEST, 1, tmp_path)
    probe = build(order, 4711)
    read = parse_packet(probe, 17, EGRESS)
    assert read == Packet(at_ns=17, flow=OUT, length=len(probe), tcp_flags=SYN)
    assert is_signed(read.length, 1, SHORTEST)


@pytest.mark.parametrize(
    ("data", "ports", "tcp_flags"),
    [
        pytest.param(ipv4(17, struct.pack("!HHHH", 53, 1024, 8, 0)), (53, 1024), 0, id="udp"),
        pytest.param(ipv4(1, struct.pack("!BBHHH", 8, 0, 0, 1, 1)), (0, 0), 0, id="icmp has no ports"),
        pytest.param(ipv4(17, b"payload!", fragment=0x2000 | 5), (0, 0), 0, id="a later fragment has none"),
        pytest.param(ipv4(17, struct.pack("!HHHH", 5, 6, 8, 0), fragment=0x2000), (5, 6), 0, id="the first has"),
        pytest.param(ipv4(6, struct.pack("!HH", 5, 6)), (5, 6), 0, id="tcp, cut short"),
        pytest.param(ipv4(6, b"\0"), (0, 0), 0, id="tcp, cut shorter"),
        pytest.param(
            ipv4(6, struct.pack("!HHIIBBHHH", 5, 6, 0, 0, 0x50, 0xC0 | SYN | ACK, 0, 0, 0), options=b"\1" * 8),
            (5, 6),
            SYN | ACK,
            id="tcp behind IP options; ECN bits are not among the flags",
        ),
    ],
)
def test_ports_and_flags_are_read_where_a_packet_has_them(data, ports, tcp_flags):
    read = parse_packet(data, 0, INGRESS)
    assert read is not None
    assert (read.flow.srcport, read.flow.dstport) == ports
    assert read.tcp_flags == tcp_flags
    assert read.length == len(data)


@pytest.mark.parametrize("data", [b"", ipv4(6, b"")[:19], b"\x60" + bytes(39)], ids=["empty", "cut", "IPv6"])
def test_what_is_no_ipv4_packet_is_none(data):
    assert parse_packet(data, 0, EGRESS) is None


# ---------------------------------------------------------------- windows
LAG = 18 * SECOND
SCHEDULE = Schedule(XEN, NOW + 407 * SECOND, LAG)
WINDOW = round(XEN.window_s * SECOND)
"""A burst is 407 seconds after NOW; its newest window ended LAG before."""


def pipeline(since_s: float = 0.0, faults: Faults = NONE) -> Pipeline:
    return Pipeline(SCHEDULE, NOW + round(since_s * SECOND), faults)


def first_burst() -> int:
    return SCHEDULE.burst_after(NOW)


def window_end(number: int) -> int:
    """Where the window ends that is so many windows after the newest one of the first burst."""
    return first_burst() - LAG + number * WINDOW


def test_bursts_come_as_the_schedule_says():
    log = pipeline()
    schedule, burst = SCHEDULE, first_burst()
    assert log.next_due == burst
    assert log.due(burst - 1) == []
    deliveries = log.due(burst + 2 * SECOND)
    gap = round(XEN.delivery_gap_s * SECOND)
    assert [delivery.at for delivery in deliveries] == [burst + n * gap for n in range(len(deliveries))]
    windows = [window for delivery in deliveries for window in delivery.windows]
    assert windows[0].start == schedule.window_start(NOW)
    assert all(earlier.end == later.start for earlier, later in pairwise(windows))
    assert windows[-1].end == burst - 18 * SECOND
    assert log.next_due == burst + 600 * SECOND


def test_a_full_burst_is_four_deliveries_of_ten_windows():
    log = pipeline()
    log.due(first_burst() + 2 * SECOND)
    deliveries = log.due(first_burst() + 602 * SECOND)
    assert [len(delivery.windows) for delivery in deliveries] == [2, 3, 3, 2]


def test_each_delivery_waits_for_its_own_instant():
    log = pipeline()
    first = log.due(first_burst())
    assert len(first) == 1
    assert log.next_due == first_burst() + round(XEN.delivery_gap_s * SECOND)
    assert log.due(first_burst()) == []


def test_a_packet_is_counted_in_its_capture_window():
    log = pipeline()
    log.add(packet(1.0))
    log.add(packet(2.0))
    log.add(packet(2.0, flow=BACK, length=40, tcp_flags=RST | ACK))
    seen = [
        window for delivery in log.due(first_burst() + 2 * SECOND) for window in delivery.windows if window.flows
    ]
    assert [window.start for window in seen] == [SCHEDULE.window_start(NOW + SECOND)]
    assert seen[0].flows == {OUT: Traffic(2, 208, SYN), BACK: Traffic(1, 40, RST | ACK)}


def test_a_packet_older_than_the_flow_log_does_not_count():
    log = pipeline(since_s=10.0)
    log.add(packet(9.999_999))
    log.add(packet(10.0))
    windows = [window for delivery in log.due(first_burst() + 2 * SECOND) for window in delivery.windows]
    assert sum(traffic.packets for window in windows for traffic in window.flows.values()) == 1


def test_a_late_packet_leaves_with_the_next_window():
    log = pipeline()
    log.due(first_burst() + 2 * SECOND)
    log.add(packet(1.0))
    later = log.due(first_burst() + 602 * SECOND)
    assert later[0].windows[0].flows == {OUT: Traffic(1, 104, SYN)}


def test_after_its_deletion_a_flow_log_delivers_what_had_closed_and_is_over():
    log = pipeline()
    log.due(first_burst() + 2 * SECOND)
    deleted_at = first_burst() + 200 * SECOND
    log.delete(deleted_at)
    log.delete(deleted_at + 300 * SECOND)
    assert not log.is_over
    deliveries = log.due(first_burst() + 5_000 * SECOND)
    ends = [window.end for delivery in deliveries for window in delivery.windows]
    assert ends == [window_end(number) for number in (1, 2, 3)]
    assert log.is_over


def test_twice_each_delivery_comes_again_with_the_same_windows():
    once, twice = pipeline(), pipeline(faults=Faults(twice=True))
    at = first_burst() + 605 * SECOND
    expected = [(each.at, each.windows) for each in once.due(at)]
    expected += [(each_at + WINDOW // 40, windows) for each_at, windows in expected]
    assert [(each.at, each.windows) for each in twice.due(at)] == sorted(expected, key=lambda each: each[0])


def test_after_its_deletion_a_lingering_flow_log_delivers_all_that_it_collected_one_delivery_a_burst():
    log = pipeline(faults=Faults(after_deletion=True))
    log.due(first_burst() + 2 * SECOND)
    deleted_at = first_burst() + 599 * SECOND
    log.delete(deleted_at)
    deliveries = log.due(first_burst() + 10_000 * SECOND)
    assert [delivery.at for delivery in deliveries] == [
        first_burst() + burst * 600 * SECOND for burst in (1, 2, 3, 4, 5)
    ]
    ends = [window.end for delivery in deliveries for window in delivery.windows]
    assert ends == [window_end(number) for number in range(1, 11)]
    assert log.is_over


def test_a_lingering_flow_log_waits_for_windows_that_no_burst_has_taken_yet():
    log = Pipeline(Schedule(XEN.to_s3, NOW, 450 * SECOND), NOW, Faults(after_deletion=True))
    log.due(NOW + 1_000 * SECOND)
    deleted_at = NOW + 1_001 * SECOND
    log.delete(deleted_at)
    windows = [window for each in log.due(NOW + 5_000 * SECOND) for window in each.windows]
    assert windows[-1].end <= deleted_at < windows[-1].end + WINDOW
    assert all(earlier.end == later.start for earlier, later in pairwise(windows))
    assert len(windows) > 5  # one file holds no more
    assert log.is_over


@given(
    times=st.lists(st.floats(0, 700), max_size=40).map(sorted),
    steps=st.lists(st.floats(0.01, 150), min_size=1, max_size=10),
    shares=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2),
    preset=st.sampled_from([XEN, PRESETS["nitro-60"], XEN.scaled(7), XEN.to_s3, XEN.under(60)]),
    ports=st.integers(1, 5),
)
def test_every_packet_is_in_exactly_one_record(times, steps, shares, preset, ports):
    log = Pipeline(Schedule.drawn(preset, *shares), NOW)
    packets = [
        packet(at, flow=OUT._replace(srcport=number % ports), length=100 + number, tcp_flags=1 << number % 6)
        for number, at in enumerate(times)
    ]
    waiting, windows, at = list(packets), [], 0.0
    for step in [*steps, 700 + preset.longest_delay_s]:
        at += step
        while waiting and waiting[0].at_ns <= NOW * 1_000 + round(at * 1e9):
            log.add(waiting.pop(0))
        windows += [window for each in log.due(NOW + round(at * SECOND)) for window in each.windows]
    told = [record for each in windows for record in records(each, INTERFACE, PROBE_FORMAT)]
    assert all(earlier.end == later.start for earlier, later in pairwise(windows))
    for field, of_packet in (("packets", lambda _: 1), ("bytes", lambda each: each.length)):
        sent, recorded = Counter(), Counter()
        for each in packets:
            sent[each.flow.srcport] += of_packet(each)
        for record in told:
            if record.status == "OK":
                recorded[record.number("srcport")] += record.number(field)
        assert recorded == sent
    for each in packets:
        at = each.at_ns // 1_000
        (its,) = [window for window in windows if window.start <= at < window.end]
        assert each.flow in its.flows
        assert its.flows[each.flow].tcp_flags & each.tcp_flags


def test_where_windows_overlap_each_flow_leaves_at_a_time_of_its_own_and_no_packet_is_lost():
    """As in the survey of Episode 18's run B, whose windows share 43 s, and whose labels lie within the window."""
    overlapping = PRESETS["xen-600-overlapping"]
    schedule = Schedule(overlapping, SCHEDULE.phase, LAG)
    log = Pipeline(schedule, NOW)
    packets = [packet(float(second), flow=OUT._replace(srcport=second + 1)) for second in range(300)]
    for each in packets:
        log.add(each)
    windows = [window for each in log.due(first_burst() + 1_300 * SECOND) for window in each.windows]
    assert [flow.srcport for window in windows for flow in window.flows] != sorted(
        flow.srcport for window in windows for flow in window.flows
    )
    errors = [window.label - (NOW // SECOND + flow.srcport - 1) for window in windows for flow in window.flows]
    assert len(errors) == len(packets)
    assert -52 <= min(errors) < -40
    assert 30 < max(errors) <= 52


# ---------------------------------------------------------------- records
def test_a_record_says_what_the_flow_did():
    (record,) = records(window((OUT, Traffic(2, 208, SYN | RST))), INTERFACE, PROBE_FORMAT)
    start = NOW // SECOND
    assert PROBE_FORMAT.format(record) == (
        f"5 000000000000 eni-1 10.99.0.10 10.99.0.20 4711 7777 6 2 208 {start} {start + 60} ACCEPT 6 egress "
        "i-1 10.99.0.10 10.99.0.20 euw1-az1 OK"
    )


def test_the_flow_log_chooses_the_fields_and_what_is_not_known_is_absent():
    names = (
        "type",
        "traffic-path",
        "vpc-id",
        "subnet-id",
        "region",
        "pkt-dst-aws-service",
        "reject-reason",
        "version",
    )
    fields = RecordFormat(names)
    lines = [
        fields.format(record)
        for record in records(window((OUT, Traffic(1, 40, SYN)), (BACK, Traffic(1, 40, RST))), INTERFACE, fields)
    ]
    assert lines == ["IPv4 1 vpc-1 subnet-1 eu-west-1 - - 8", "IPv4 - vpc-1 subnet-1 eu-west-1 - - 8"]


@pytest.mark.parametrize(("seen", "told"), [(ACK, 0), (SYN | ACK, 18), (RST | ACK, 20), (0, 0)])
def test_only_acks_are_told_as_no_flags(seen, told):
    (record,) = records(window((OUT, Traffic(1, 40, seen))), INTERFACE, PROBE_FORMAT)
    assert record.number("tcp-flags") == told


def test_a_window_without_traffic_is_one_nodata_record():
    (record,) = records(window(), INTERFACE, DEFAULT_FORMAT)
    start = NOW // SECOND
    assert DEFAULT_FORMAT.format(record) == f"2 000000000000 eni-1 - - - - - - - {start} {start + 60} - NODATA"
