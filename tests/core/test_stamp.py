import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.errors import StampDisagreement
from flowlag.stamp import decode, decode_delivered, due_at, due_ns, encode, latest, tick_at

RATES = st.integers(1, 10)
TICKS = st.integers(65_536, 2**36)  # ten a second reach the year 2187
HORIZON = 65_536
INSIDE = st.integers(-HORIZON // 2, HORIZON // 2 - 1)
"""How far a tick may lie from its reference."""


def instants_of(tick: int, rate: int) -> range:
    """Every microsecond at which `tick` is the current one."""
    return range(-(-tick * 1_000_000 // rate), -(-(tick + 1) * 1_000_000 // rate))


@st.composite
def references(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """A tick, a rate, a whole number of ticks, and an instant that many ticks before the tick."""
    tick, rate, ahead = draw(TICKS), draw(RATES), draw(INSIDE)
    return tick, rate, ahead, draw(st.sampled_from(instants_of(tick - ahead, rate)))


@given(references())
def test_decode_undoes_encode_for_every_reference_in_the_half_open_horizon(case: tuple[int, int, int, int]) -> None:
    tick, rate, _, reference_at = case
    assert decode(encode(tick), reference_at, rate) == tick


@given(references(), st.integers(-3, 3))
def test_a_reference_whole_horizons_away_names_the_alias_that_many_horizons_away(
    case: tuple[int, int, int, int], horizons: int
) -> None:
    tick, rate, ahead, _ = case
    reference_at = instants_of(tick - ahead + horizons * HORIZON, rate)[0]
    assert decode(encode(tick), reference_at, rate) == tick + horizons * HORIZON


@pytest.mark.parametrize("rate", range(1, 11))
@pytest.mark.parametrize(
    ("ahead", "alias"), [(-32_769, HORIZON), (-32_768, 0), (32_767, 0), (32_768, -HORIZON)], ids=str
)
def test_the_horizon_ends_exactly_at_both_edges(rate: int, ahead: int, alias: int) -> None:
    tick = 1_646_396_000 * rate
    for reference_at in (instants_of(tick - ahead, rate)[0], instants_of(tick - ahead, rate)[-1]):
        assert decode(encode(tick), reference_at, rate) == tick + alias


def test_a_day_of_probes_decodes_across_both_wraps_from_labels_a_minute_early_or_late() -> None:
    wrap = 1_646_395_392  # 2022-03-04 12:03:12 UTC, the first wrap after Episode 18's run A
    assert encode(wrap) == 0
    for tick in range(wrap - 43_200, wrap + 43_200):
        for error in (-60, 0, 61):
            assert decode(tick % 65_536, (tick + error) * 1_000_000, 1) == tick


@given(TICKS, RATES)
def test_a_tick_is_due_at_its_first_nanosecond(tick: int, rate: int) -> None:
    assert tick_at(due_ns(tick, rate), rate) == tick
    assert tick_at(due_ns(tick, rate) - 1, rate) == tick - 1


@given(TICKS, RATES)
def test_due_at_is_due_ns_to_the_microsecond(tick: int, rate: int) -> None:
    assert due_at(tick, rate) == due_ns(tick, rate) // 1_000


@given(TICKS)
def test_at_one_a_second_a_tick_is_an_epoch_second(second: int) -> None:
    assert due_ns(second, 1) == second * 1_000_000_000
    assert due_at(second, 1) == second * 1_000_000


@given(st.integers(0, HORIZON - 1), st.integers(10**12, 10**16), RATES)
def test_latest_is_the_last_tick_of_its_port_that_is_due_by_then(port: int, not_after: int, rate: int) -> None:
    tick = latest(port, not_after, rate)
    assert encode(tick) == port
    assert due_ns(tick, rate) <= not_after * 1_000 < due_ns(tick + HORIZON, rate)


@given(references(), st.integers(-2 * HORIZON, 3 * HORIZON))
def test_decode_delivered_refuses_exactly_what_two_decodings_read_differently(
    case: tuple[int, int, int, int], age: int
) -> None:
    tick, rate, _, window_start = case
    delivered_at = instants_of(tick + age, rate)[0] - 2_000_000  # a clock 2 s behind is tolerated
    if 0 <= age < HORIZON:
        assert decode_delivered(encode(tick), window_start, delivered_at, rate) == tick
    else:
        with pytest.raises(StampDisagreement, match=rf"tick {tick} .* {abs(age // HORIZON)} horizons apart"):
            decode_delivered(encode(tick), window_start, delivered_at, rate)


def test_a_probe_delivered_before_it_was_sent_is_tolerated_for_two_seconds_of_clock_error() -> None:
    sent_at = 1_646_334_000_000_000
    port = encode(1_646_334_000)
    assert decode_delivered(port, sent_at, sent_at - 2_000_000, 1) == 1_646_334_000
    with pytest.raises(StampDisagreement, match=f"source port {port}"):
        decode_delivered(port, sent_at, sent_at - 2_000_001, 1)
