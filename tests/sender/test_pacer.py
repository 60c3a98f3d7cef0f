"""The pacer, on a clock that misbehaves."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from flowlag.stamp import due_ns, tick_at
from sender.pacer import LONGEST_WAIT_S, Turn, pace

EPOCH_NS = 1_700_000_000_123_456_789
MILLI = 1_000_000
SECOND = 1_000_000_000

rates = st.integers(1, 10)
delays_ns = st.one_of(st.integers(0, 20 * MILLI), st.integers(0, 5 * SECOND))
steps_ns = st.one_of(st.integers(-20 * SECOND, 20 * SECOND), st.just(0))


@dataclass
class World:
    """A clock that every read, preparation and wait moves. A negative delay wakes up early, or steps it back."""

    now_ns: int = EPOCH_NS
    wait_delays_ns: Sequence[int] = ()
    prepare_ns: int = 300_000
    stop_after_waits: int | None = None
    waits: list[float] = field(default_factory=list)
    prepared: list[int] = field(default_factory=list)

    def clock(self) -> int:
        self.now_ns += 50
        return self.now_ns

    def wait(self, seconds: float) -> bool:
        delay = self.wait_delays_ns[len(self.waits)] if len(self.waits) < len(self.wait_delays_ns) else 0
        self.waits.append(seconds)
        self.now_ns += max(int(seconds * 1e9), 1) + delay
        return self.stop_after_waits is not None and len(self.waits) > self.stop_after_waits

    def prepare(self, tick: int) -> bytes:
        self.now_ns += self.prepare_ns
        self.prepared.append(tick)
        return str(tick).encode()

    def pace(self, ticks: range, rate: int) -> list[Turn]:
        return list(pace(ticks, rate, self.prepare, clock=self.clock, wait=self.wait))


def coming(count: int, rate: int) -> range:
    first = tick_at(EPOCH_NS, rate) + 1
    return range(first, first + count)


@given(rates, st.lists(delays_ns, max_size=60))
def test_every_tick_has_one_turn_within_its_period_or_is_missed(rate, delays):
    world, ticks = World(wait_delays_ns=delays), coming(40, rate)
    turns = world.pace(ticks, rate)
    assert [turn.tick for turn in turns] == list(ticks)
    taken = [turn for turn in turns if turn.now_ns is not None]
    assert all(tick_at(turn.now_ns, rate) == turn.tick for turn in taken)
    assert all(turn.probe == str(turn.tick).encode() for turn in taken)


@given(rates, st.lists(steps_ns, max_size=60))
def test_a_clock_that_steps_makes_no_tick_come_twice(rate, steps):
    world, ticks = World(wait_delays_ns=steps), coming(40, rate)
    turns = world.pace(ticks, rate)
    assert [turn.tick for turn in turns] == list(ticks)
    assert all(tick_at(turn.now_ns, rate) == turn.tick for turn in turns if turn.now_ns is not None)


@settings(max_examples=20)
@given(rates, st.lists(st.integers(0, 40 * MILLI), min_size=1, max_size=50))
def test_nothing_drifts_and_nothing_is_missed_in_hours(rate, jitter):
    ticks = coming(3 * 3_600, rate)
    world = World(wait_delays_ns=(jitter * (len(ticks) // len(jitter) + 1))[: len(ticks)])
    turns = world.pace(ticks, rate)
    lateness = [turn.now_ns - due_ns(turn.tick, rate) for turn in turns]
    assert len(turns) == len(ticks)
    assert min(lateness) >= 0
    assert max(lateness) <= max(jitter) + MILLI


def test_a_late_tick_is_taken_late_while_its_period_lasts():
    ticks = coming(3, 1)
    turns = World(wait_delays_ns=[900 * MILLI]).pace(ticks, 1)
    assert [(turn.now_ns - due_ns(turn.tick, 1)) // (100 * MILLI) for turn in turns] == [9, 0, 0]


def test_what_passed_meanwhile_is_missed_and_not_made_up_for():
    ticks = coming(8, 1)
    world = World(wait_delays_ns=[0, 3_500 * MILLI])
    turns = world.pace(ticks, 1)
    assert [turn.tick - ticks[0] for turn in turns if turn.now_ns is None] == [1, 2, 3]
    assert [turn.tick - ticks[0] for turn in turns if turn.now_ns is not None] == [0, 4, 5, 6, 7]
    assert not {ticks[2], ticks[3]} & set(world.prepared), "what has passed is not prepared any more"


def test_a_probe_is_made_before_its_tick_is_due():
    ticks = coming(20, 10)
    turns = World(prepare_ns=60 * MILLI).pace(ticks, 10)
    assert max(turn.now_ns - due_ns(turn.tick, 10) for turn in turns) < MILLI


def test_the_clock_is_read_again_within_a_second_while_it_is_far_behind():
    world = World(wait_delays_ns=[-30 * SECOND])
    world.pace(coming(2, 1), 1)
    assert len(world.waits) > 30
    assert max(world.waits) <= LONGEST_WAIT_S


def test_told_to_stop_it_takes_no_further_turn():
    ticks = coming(10, 1)
    turns = World(stop_after_waits=4).pace(ticks, 1)
    assert [turn.tick for turn in turns] == list(ticks[:4])
