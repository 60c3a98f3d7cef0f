from collections import Counter
from dataclasses import replace
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.delivery import PRESETS, Preset, Schedule

INSTANTS = st.integers(0, 2**54)
TIME_SCALES = st.floats(0.1, 1_000)
SCHEDULES = st.builds(
    lambda preset, destination, phase: Schedule(destination(preset), phase),
    st.builds(
        lambda name, time_scale: PRESETS[name].scaled(time_scale),
        st.sampled_from(sorted(PRESETS)),
        st.just(1.0) | TIME_SCALES,
    ),
    st.sampled_from([lambda preset: preset, lambda preset: preset.to_s3]),
    INSTANTS,
)
RUN_A = Schedule(PRESETS["xen-600"], 1_646_334_184_651_000)
"""With the phase of Episode 18's run A, whose bursts began 184.651 s after each ten minutes."""


def micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def bursts_after(schedule: Schedule, at: int, number: int) -> list[int]:
    found = [schedule.burst_after(at)]
    while len(found) < number:
        found.append(schedule.burst_after(found[-1]))
    return found


def windows_between(schedule: Schedule, at: int, until: int) -> list[int]:
    starts = [schedule.window_start(at)]
    while schedule.window_end(starts[-1]) < until:
        starts.append(schedule.window_end(starts[-1]))
    return starts


def first_due(schedule: Schedule, start: int) -> int:
    burst_at = schedule.burst_after(start)
    while not schedule.is_due(start, burst_at):
        burst_at = schedule.burst_after(burst_at)
    return burst_at


def delivered_at(schedule: Schedule, at: int, bursts: int) -> dict[int, int]:
    """When each window from that of `at` on is delivered, over a number of bursts."""
    ends = bursts_after(schedule, at, bursts)
    waiting = windows_between(schedule, at, ends[-1])
    delivered = {}
    for burst_at in ends:
        due = [start for start in waiting if schedule.is_due(start, burst_at)]
        for number, starts in enumerate(schedule.deliveries(due)):
            delivered |= dict.fromkeys(starts, burst_at + number * micros(schedule.preset.delivery_gap_s))
        waiting = [start for start in waiting if start not in delivered]
    return delivered


@given(SCHEDULES, INSTANTS, st.floats(0, 1, exclude_max=True))
def test_every_instant_belongs_to_one_half_open_window(schedule: Schedule, at: int, part: float) -> None:
    start = schedule.window_start(at)
    end = schedule.window_end(start)
    assert start <= at < end
    assert end - start == micros(schedule.preset.window_s)
    assert schedule.window_start(start + int(part * (end - start))) == start


@given(SCHEDULES, INSTANTS)
def test_windows_abut(schedule: Schedule, at: int) -> None:
    start = schedule.window_start(at)
    end = schedule.window_end(start)
    assert schedule.window_start(end - 1) == start
    assert schedule.window_start(end) == end


@given(SCHEDULES, INSTANTS)
def test_bursts_come_one_period_apart_in_the_phase_of_the_schedule(schedule: Schedule, at: int) -> None:
    every = micros(schedule.preset.publish_every_s)
    first, *_ = found = bursts_after(schedule, at, 4)
    assert at < first <= at + every
    assert {later - earlier for earlier, later in pairwise(found)} == {every}
    assert (first - schedule.phase) % every == 0


@given(SCHEDULES, INSTANTS)
def test_a_burst_delivers_what_ended_its_lag_before_and_so_does_every_later_one(
    schedule: Schedule, at: int
) -> None:
    start = schedule.window_start(at)
    found = bursts_after(schedule, start, 8)
    lag = micros(schedule.preset.lag_s)
    due = [schedule.is_due(start, burst_at) for burst_at in found]
    assert due == [burst_at >= schedule.window_end(start) + lag for burst_at in found]
    assert due == sorted(due)
    assert due[-1]


@given(SCHEDULES, INSTANTS)
def test_the_newest_window_of_a_burst_ended_exactly_the_lag_before_it(schedule: Schedule, at: int) -> None:
    burst_at = schedule.burst_after(at)
    newest = schedule.window_start(burst_at - micros(schedule.preset.lag_s) - 1)
    assert schedule.window_end(newest) == burst_at - micros(schedule.preset.lag_s)
    assert schedule.is_due(newest, burst_at)
    assert not schedule.is_due(schedule.window_end(newest), burst_at)


@given(SCHEDULES, INSTANTS)
def test_each_window_is_first_due_in_one_burst_and_each_burst_has_its_full_number(
    schedule: Schedule, at: int
) -> None:
    bursts = bursts_after(schedule, at, 8)
    starts = windows_between(schedule, at, bursts[-1])
    first_due_in = Counter(first_due(schedule, start) for start in starts)
    full = sum(schedule.preset.windows_per_delivery)
    assert [first_due_in[burst_at] for burst_at in bursts[4:7]] == [full] * 3
    assert sum(first_due_in.values()) == len(starts)


@given(st.lists(INSTANTS, unique=True, max_size=40))
def test_windows_are_dealt_in_order_and_none_is_lost(starts: list[int]) -> None:
    dealt = RUN_A.deliveries(starts)
    assert list(chain.from_iterable(dealt)) == sorted(starts)
    assert all(dealt)


@pytest.mark.parametrize(
    ("windows", "sizes"),
    [(0, []), (1, [1]), (2, [2]), (3, [2, 1]), (10, [2, 3, 3, 2]), (11, [2, 3, 3, 2, 1]), (13, [2, 3, 3, 2, 2, 1])],
)
def test_ten_windows_are_dealt_as_2_3_3_2_and_more_go_round(windows: int, sizes: list[int]) -> None:
    assert [len(each) for each in RUN_A.deliveries(range(windows))] == sizes


def test_a_nitro_delivery_holds_one_window() -> None:
    assert Schedule(PRESETS["nitro-60"], 0).deliveries([60, 0]) == [[0], [60]]


def test_a_day_under_xen_600_delays_probes_as_run_a_did() -> None:
    """Run A: 18.315 to 626.307 s over 18 bursts. Within a burst its delays spanned 597 to 600 s.

    Its windows drifted against its bursts, from 26.6 s to 18.3 s of lag; the preset keeps the least lag.
    """
    start = 1_646_334_000
    delivered = delivered_at(RUN_A, micros(start), 146)
    delays = [
        (delivered[RUN_A.window_start(micros(second))] - micros(second)) / 1_000_000
        for second in range(start, start + 86_400)
    ]
    assert min(delays) == pytest.approx(18.315, abs=3)
    assert max(delays) - min(delays) == pytest.approx(599, abs=3)
    assert RUN_A.preset.lag_s < min(delays)
    assert max(delays) <= RUN_A.preset.lag_s + RUN_A.preset.publish_every_s + 3 * RUN_A.preset.delivery_gap_s


def test_a_run_under_nitro_60_waits_at_most_one_window_and_the_lag() -> None:
    schedule = Schedule(PRESETS["nitro-60"], 1_646_334_000_000_000)
    delivered = delivered_at(schedule, schedule.phase, 20)
    delays = [delivered[start] - at for start in delivered for at in (start, schedule.window_end(start) - 1)]
    assert (min(delays), max(delays)) == (micros(30) + 1, micros(90))


@pytest.mark.parametrize("name", PRESETS)
def test_to_s3_a_probe_waits_about_the_ten_minutes_that_aws_documents(name: str) -> None:
    """And a first object comes within the 417 to 960 s that Episode 18 measured."""
    schedule = Schedule(PRESETS[name].to_s3, 1_646_334_000_000_000)
    delivered = delivered_at(schedule, schedule.phase, 20)
    delays = [delivered[schedule.window_start(at)] - at for at in range(schedule.phase, max(delivered), micros(1))]
    assert (min(delays), max(delays)) == (micros(451), micros(750))
    assert sum(delays) / len(delays) == pytest.approx(micros(600), rel=0.01)


def test_s3_gets_a_file_every_five_minutes_with_the_five_windows_that_ended_before() -> None:
    schedule = Schedule(PRESETS["xen-600"].to_s3, 0)
    starts = [micros(60 * minute) for minute in range(-20, 0)]
    due = [start for start in starts if schedule.is_due(start, 0) and not schedule.is_due(start, micros(-300))]
    assert schedule.burst_after(0) == micros(300)
    assert schedule.deliveries(due) == [due]
    assert len(due) == 5


@given(st.sampled_from(sorted(PRESETS)), TIME_SCALES)
def test_a_scaled_preset_keeps_its_proportions(name: str, time_scale: float) -> None:
    preset = PRESETS[name]
    scaled = preset.scaled(time_scale)
    kept = dict.fromkeys(
        ("window_s", "publish_every_s", "lag_s", "delivery_gap_s", "file_every_s", "file_lag_s"), 0
    )
    for habit in kept:
        assert getattr(scaled, habit) * time_scale == pytest.approx(getattr(preset, habit), rel=1e-3)
    assert scaled.publish_every_s / scaled.window_s == pytest.approx(preset.publish_every_s / preset.window_s)
    assert replace(scaled, **kept) == replace(preset, **kept)


def test_sixty_times_as_fast_a_minute_is_a_second() -> None:
    assert PRESETS["xen-600"].scaled(60) == Preset(
        name="xen-600",
        hypervisor="xen",
        window_s=1,
        publish_every_s=10,
        lag_s=0.3,
        windows_per_delivery=(2, 3, 3, 2),
        delivery_gap_s=pytest.approx(0.4 / 60),
        file_every_s=5,
        file_lag_s=7.5,
        assumption=PRESETS["xen-600"].assumption,
    )


def test_a_preset_says_what_it_assumes() -> None:
    assert {
        name: ("Nitro" in preset.assumption, "S3" in preset.assumption) for name, preset in PRESETS.items()
    } == {
        "xen-600": (False, True),
        "nitro-60": (True, True),
    }
    assert {name: preset.name for name, preset in PRESETS.items()} == {name: name for name in PRESETS}
