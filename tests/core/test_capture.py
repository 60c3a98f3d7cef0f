import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.capture import END, HEADER, Capture, Seen, parse_capture
from flowlag.errors import UnreadableLedger
from flowlag.stamp import due_ns, encode


def text_of(packets: list[Seen]) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *(packet.line() for packet in packets)))


@given(
    st.integers(65_536, 2**36),
    st.integers(1, 10),
    st.lists(st.integers(0, 3_000_000_000), max_size=40),
)
def test_each_packet_is_told_by_its_tick_and_the_microsecond_it_was_seen(
    first: int, rate: int, latenesses: list[int]
) -> None:
    seen_ns = {tick: due_ns(tick, rate) + late for tick, late in enumerate(latenesses, start=first)}
    text = text_of([Seen(encode(tick), at) for tick, at in seen_ns.items()])
    assert parse_capture(text, rate).seen == {tick: at // 1_000 for tick, at in seen_ns.items()}


def test_a_packet_seen_twice_counts_from_the_first_time() -> None:
    text = text_of([Seen(3, 3_000_000_000), Seen(3, 3_000_900_000), Seen(4, 4_000_000_000)])
    assert parse_capture(text, 1).seen == {3: 3_000_000, 4: 4_000_000}


def test_ports_that_repeat_after_a_wrap_are_different_ticks() -> None:
    wrap = 25_122 * 65_536
    packets = [Seen(encode(tick), due_ns(tick, 1)) for tick in (wrap - 65_536, wrap - 1, wrap, wrap + 65_535)]
    assert list(parse_capture(text_of(packets), 1).seen) == [wrap - 65_536, wrap - 1, wrap, wrap + 65_535]


@pytest.mark.parametrize("torn", ["", "5", "5,", "5,50000"])
def test_a_line_torn_by_a_kill_is_dropped(torn: str) -> None:
    assert parse_capture(text_of([Seen(4, 4_000_000_000)]) + torn, 1) == Capture({4: 4_000_000}, closed=False)


@pytest.mark.parametrize("packets", [[], [Seen(4, 4_000_000_000)]])
def test_a_capture_stopped_in_good_order_says_so(packets: list[Seen]) -> None:
    text = text_of(packets)
    seen = {4: 4_000_000} if packets else {}
    assert parse_capture(f"{text}{END}\n", 1) == Capture(seen, closed=True)
    assert parse_capture(text + END, 1) == parse_capture(text, 1) == Capture(seen, closed=False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a capture begins with 'srcport,seen_ns', this one with ''"),
        ("\xd4\xc3\xb2\xa1\n", "a capture begins with"),
        (f"{HEADER}\n4,4000000000\n5\n", "line 3 of the capture is not a packet: '5'"),
        (f"{HEADER}\n4,4000000000,1\n", "line 2 of the capture is not a packet: '4,4000000000,1'"),
        (f"{HEADER}\n{END}\n4,4000000000\n", "line 2 of the capture is not a packet: 'end'"),
        (f"{HEADER}\nfour,4000000000\n", "line 2 of the capture is not a packet: 'four,4000000000'"),
    ],
)
def test_what_is_not_a_capture_is_refused_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(UnreadableLedger, match=reason):
        parse_capture(text, 1)
