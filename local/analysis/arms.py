"""The numbers of each arm, over its flow logs in all runs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from flowlag_stats.intervals import RUNS_FOR_INTERVAL, percentile_interval
from flowlag_stats.samples import RunSample
from flowlag_stats.slo import bound
from local.analysis.spread import Delays, LabelError, Spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from flowlag_stats.intervals import Interval
    from flowlag_stats.sawtooth import Sawtooth
    from flowlag_stats.slo import Bound
    from local.analysis.flow_log import FlowLog
    from local.sources import RunRow

SHARES: Final = {"p50": 0.5, "p95": 0.95}
"""The percentiles that are given an interval."""

SLO: Final = ((0.95, 0.95), (0.95, 0.99))
"""Of which share of flows, with which confidence, it is said within what time they are visible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sawtooths:
    """The sawtooths of an arm's flow logs: in how many there were bursts enough for one, and their ranges."""

    n_flow_logs: int
    period_s: Spread | None
    phase_s: Spread | None
    lag_s: Spread | None
    drift_s_per_h: Spread | None
    shape_distance_s: Spread | None

    @classmethod
    def of(cls, fits: Sequence[Sawtooth]) -> Self:
        """Their ranges; the lag's is over the first and the last one of each."""
        return cls(
            n_flow_logs=len(fits),
            period_s=Spread.of([fit.period_s for fit in fits]),
            phase_s=Spread.of([fit.phase_s for fit in fits]),
            lag_s=Spread.of([lag for fit in fits for lag in (fit.lag_first_s, fit.lag_last_s)]),
            drift_s_per_h=Spread.of([fit.drift_s_per_h for fit in fits]),
            shape_distance_s=Spread.of([fit.shape_distance_s for fit in fits]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm.

    Attributes:
        arm: its name; empty where the source names none.
        n_packets: probes with a record.
        n_bursts: bursts over all its flow logs; None: no ingestion times.
        n_runs: runs in which it was.
        missing: probes that were sent and not delivered by the deadline; None where no table of runs says so.
        delay_s: from send to delivery, missing probes included.
        ingest_delay_s: from window label to delivery, missing probes included.
        timestamp_error_s: from send to window label; None where there is no record.
        delay_p50_over_runs_s: the range of the runs' medians.
        interval: of percentiles, at 95 %; None below five runs. A percentile has none where it, in one of the runs
            or without one of them, falls on a missing probe.
        slo: within what time how many flows are visible, or how many runs it takes until that can be said; none
            where there is no delay.
        sawtooth: ranges over its flow logs.
    """

    arm: str
    n_packets: int
    n_bursts: int | None
    n_runs: int
    missing: int | None
    delay_s: Delays | None
    ingest_delay_s: Delays | None
    timestamp_error_s: LabelError | None
    delay_p50_over_runs_s: Spread | None
    interval: Mapping[str, Interval | None] | None
    slo: tuple[Bound, ...]
    sawtooth: Sawtooths

    @classmethod
    def of(cls, watched: Watched) -> Self:
        """Measure an arm."""
        flow_logs, samples = watched.flow_logs, watched.samples
        delivered = [each for each in flow_logs if each.n_bursts]
        missing = sum(sample.missing for sample in samples)
        return cls(
            arm=watched.arm,
            n_packets=sum(len(each.series) for each in flow_logs),
            n_bursts=sum(each.n_bursts for each in delivered) if delivered else None,
            n_runs=len({each.series.run for each in flow_logs} | {sample.run_id for sample in samples}),
            missing=missing if watched.is_accounted else None,
            delay_s=Delays.of([sample.delays for sample in samples], missing),
            ingest_delay_s=Delays.of([each.ingest_delays for each in delivered], missing),
            timestamp_error_s=LabelError.of([each.series for each in flow_logs]) if flow_logs else None,
            delay_p50_over_runs_s=Spread.of([never_if_none(sample.median_s) for sample in samples]),
            interval=_intervals(samples),
            slo=tuple(bound(samples, *each) for each in SLO) if samples else (),
            sawtooth=Sawtooths.of([each.sawtooth for each in flow_logs if each.sawtooth]),
        )


def _intervals(samples: Sequence[RunSample]) -> dict[str, Interval | None] | None:
    if len(samples) < RUNS_FOR_INTERVAL:
        return None
    return {name: percentile_interval(samples, share) for name, share in SHARES.items()}


def never_if_none(seconds: float | None) -> float:
    """Infinitely late, where there is no number because nothing came."""
    return inf if seconds is None else seconds


# ---------------------------------------------------------------- what an arm is measured from
@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """An arm's flow logs, and a sample for each run in which it has a delay or a missing probe.

    `is_accounted` where the table of runs says how many probes are missing.
    """

    arm: str
    flow_logs: Sequence[FlowLog]
    samples: Sequence[RunSample]
    is_accounted: bool


def watched(flow_logs: Sequence[FlowLog], runs: Mapping[str, RunRow]) -> list[Watched]:
    """The arms by name.

    Until when a run waited is in no table. So a missing probe counts as later than every other: a percentile above
    it is none, which it need not be where some runs waited longer than others (as Kaplan and Meier would have it).

    Args:
        flow_logs: of all arms and runs.
        runs: rows of the table `runs`; an arm that delivered nothing in a run is in no other table.
    """
    by_arm: dict[str, dict[str, FlowLog]] = defaultdict(dict)
    for each in flow_logs:
        by_arm[each.series.arm][each.series.run] = each
    silent: dict[str, set[str]] = defaultdict(set)
    for row in runs.values():
        for arm, accounted in row.arms.items():
            if accounted.undelivered and not accounted.observed:
                silent[arm].add(row.run)
    return [_watched(arm, by_arm[arm], silent[arm], runs) for arm in sorted({*by_arm, *silent})]


def _watched(
    arm: str, by_run: Mapping[str, FlowLog], silent: AbstractSet[str], runs: Mapping[str, RunRow]
) -> Watched:
    samples = [_sample(run, arm, by_run.get(run), runs.get(run)) for run in sorted({*by_run, *silent})]
    return Watched(
        arm,
        list(by_run.values()),
        [sample for sample in samples if sample],
        is_accounted=any(run in runs for run in {*by_run, *silent}),
    )


def _sample(run: str, arm: str, flow_log: FlowLog | None, row: RunRow | None) -> RunSample | None:
    """The arm's sample of a run; None where its flow log does not say when anything was delivered."""
    delays = flow_log.delays if flow_log else np.empty(0)
    missing = row.arms[arm].undelivered if row and arm in row.arms else 0
    if not len(delays) and not missing:
        return None
    started_at = row.started_at if row else int(flow_log.series.sent_at.min()) if flow_log else 0
    return RunSample(run, started_at, delays, missing)
