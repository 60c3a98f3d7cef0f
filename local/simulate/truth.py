"""What is true of a simulated campaign: counted as it is made, and computed by none of the code that it is to test.

Delays are integer microseconds until they are divided for the reader, and a percentile is a fraction of integers:
no rounding but the last. `docs/method.md` describes the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flowlag.delivery import Schedule
from flowlag.verdict import VOID
from local.instants import iso
from local.simulate.flow_log import SECOND, happens, record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.random import Generator

    from flowlag.delivery import Disturbance, Preset
    from flowlag.instants import Micros
    from flowlag.plan import Arm
    from local.simulate.flow_log import Whole
    from local.simulate.run import SimulatedArm, SimulatedRun

FLOW_LOGS: Final = 1_000
"""How many flow logs stand for all that there could be."""

_PERCENTS: Final = (50, 90, 95, 99)
_GOLDEN: Final = (5**0.5 - 1) / 2


class Truth:
    """The truth about a campaign, run by run and over all runs.

    Attributes:
        runs: what is true of each, in the order in which they were added.
    """

    def __init__(self, arms: Iterable[Arm]) -> None:
        self.runs: list[Mapping[str, Any]] = []
        self._arms: dict[str, list[tuple[Mapping[str, Any], Whole]]] = {arm.name: [] for arm in arms}

    def add(self, run: SimulatedRun) -> None:
        """Take in a run. Of its packets only the delays are kept: 8 bytes each."""
        verdict, arms = run.summary.verdict, {}
        for each in run.arms:
            delays = (each.records.ingested_at - each.traffic.sent_at)[each.observed]
            arms[each.arm.name] = told = _of_arm(each, delays, run.plan.request.burst_gap_s)
            if verdict != VOID:
                self._arms[each.arm.name].append((told, delays))
        self.runs.append(
            {
                "run_id": run.plan.run_id,
                "region": run.plan.region,
                "started_at": iso(run.plan.planned_at),
                "closed_at": iso(run.closed_at),
                "verdict": verdict,
                "n_ticks": len(run.traffic.ticks),
                "arms": arms,
            }
        )

    def over_runs(self) -> Mapping[str, Mapping[str, Any]]:
        """Each arm over all runs that are not void."""
        return {name: _together(parts) for name, parts in self._arms.items()}


_SUMMED: Final = ("n_packets", "n_missing", "n_bursts", "capture_windows", "lost", "late", "repeated", "too_late")


def _of_arm(arm: SimulatedArm, delays: Whole, burst_gap_s: float) -> Mapping[str, Any]:
    records, schedule, rows = arm.records, arm.schedule, arm.observed
    burst_at = schedule.burst_after(arm.creation["t0_service"])
    newest_end = schedule.window_start(burst_at - round(schedule.preset.lag_s * SECOND))
    delivered_at = np.unique(records.ingested_at[rows])
    in_range = slice(arm.first, None)
    missing = int(np.count_nonzero((arm.traffic.is_sent & ~records.is_delivered)[in_range]))
    lost = int(np.count_nonzero(records.is_lost[in_range]))
    return {
        "phase_s": schedule.phase / SECOND,
        "first_burst_at": iso(burst_at),
        "lag_s": (burst_at - newest_end) / SECOND,
        "n_packets": len(rows),
        "n_missing": missing,
        "n_bursts": int(np.count_nonzero(np.diff(delivered_at) >= burst_gap_s * SECOND)) + (len(delivered_at) > 0),
        "capture_windows": len(np.unique(records.window_start[rows])),
        "delay_s": spread(delays),
        "delay_with_missing_s": spread(delays, missing),
        "lost": lost,
        "too_late": missing - lost,
        "late": int(np.count_nonzero(records.is_late[rows])),
        "repeated": int(np.count_nonzero(happens(records.again_at[rows]))),
    }


def _together(parts: Sequence[tuple[Mapping[str, Any], Whole]]) -> Mapping[str, Any]:
    delays = np.concatenate([np.empty(0, np.int64), *(each for _, each in parts)])
    sums = {name: sum(told[name] for told, _ in parts) for name in _SUMMED}
    return {
        "n_runs": sum(told["n_packets"] > 0 for told, _ in parts),
        **sums,
        "delay_s": spread(delays),
        "delay_with_missing_s": spread(delays, sums["n_missing"]),
    }


# ---------------------------------------------------------------- distributions
def spread(delays: Whole, missing: int = 0) -> Mapping[str, float | None] | None:
    """Minimum, percentiles (type 7) and maximum in seconds; None where there is no delay.

    Args:
        delays: in microseconds, in any order.
        missing: how many more there are, each later than all of these. A percentile that touches them is None.
    """
    if not len(delays):
        return None
    ordered = np.sort(delays)
    return {
        "min": int(ordered[0]) / SECOND,
        **{f"p{percent}": _percentile(ordered, percent, missing) for percent in _PERCENTS},
        "max": int(ordered[-1]) / SECOND,
    }


def _percentile(ordered: Whole, percent: int, missing: int) -> float | None:
    place, rest = divmod(percent * (len(ordered) + missing - 1), 100)
    values = [int(value) for value in ordered[place : place + 2 if rest else place + 1]]
    if len(values) < 1 + bool(rest):
        return None
    hundredths = values[0] * (100 - rest) + values[-1] * rest
    return hundredths / (100 * SECOND)


# ---------------------------------------------------------------- the population
def population(
    habits: Preset, disturbance: Disturbance, *, rate: int, clock: Micros, chance: Generator
) -> Mapping[str, float | None] | None:
    """The delay of any packet in any flow log of a service: what the runs of a campaign are a sample of.

    FLOW_LOGS flow logs stand for all, and of each the packets of one publishing period: but for disturbances, a
    delay depends on nothing but the packet's place in that period and the lag of the flow log. Lags are spread
    evenly over their range, by midpoints, and phases by the golden ratio: so chance is in the disturbances only.
    Drift changes nothing, since it moves lags about within their range.

    Args:
        habits: the service's, towards this kind of flow log.
        disturbance: what befalls it; a record that is lost is later than all others.
        rate: packets a second, each sent when its tick is due.
        clock: the resolution of the destination's clock.
        chance: decides about disturbances.

    Returns:
        As `spread`.
    """
    period, longest = (round(seconds * SECOND) for seconds in (habits.publish_every_s, habits.longest_delay_s))
    sent_at = np.arange(period * rate // SECOND, dtype=np.int64) * SECOND // rate
    delays = []
    for number in range(FLOW_LOGS):
        schedule = Schedule.drawn(habits, number * _GOLDEN % 1, (number + 0.5) / FLOW_LOGS)
        records = record(
            schedule,
            sent_at,
            since=0,
            until=period + longest,
            chance=chance,
            disturbance=disturbance,
            clock=clock,
        )
        delays.append((records.ingested_at - sent_at)[records.is_delivered])
    delivered = np.concatenate(delays)
    return spread(delivered, FLOW_LOGS * len(sent_at) - len(delivered))
