"""Which of two arms is later: on the same ticks of the same runs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING, Self

from flowlag_stats.comparison import RunDifference, on_same_ticks, paired
from local.analysis.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowlag_stats.intervals import Interval
    from local.analysis.flow_log import FlowLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """By how many seconds the second of two arms is later than the first; negative where it is earlier.

    Attributes:
        first: an arm.
        second: the other one.
        n_runs: runs that both of them delivered in.
        n_ticks: ticks that both of them delivered, over all runs.
        difference_s: the mean over runs of the mean over ticks.
        difference_over_runs_s: the range of the runs' means.
        interval: of the difference, at 95 %; None below five runs.
        p_value: how probable a difference is that is at least as large, of either sign, where there is none; None
            below five runs.
    """

    first: str
    second: str
    n_runs: int
    n_ticks: int
    difference_s: float
    difference_over_runs_s: Spread | None
    interval: Interval | None
    p_value: float | None

    @classmethod
    def of(cls, first: str, second: str, runs: Sequence[RunDifference]) -> Self:
        """Compare two arms by their difference in each run; there is at least one."""
        means = [run.mean_s for run in runs]
        compared = paired(runs)
        return cls(
            first=first,
            second=second,
            n_runs=len(runs),
            n_ticks=sum(run.n_ticks for run in runs),
            difference_s=fmean(means),
            difference_over_runs_s=Spread.of(means),
            interval=compared.interval if compared else None,
            p_value=compared.p_value if compared else None,
        )


def differences(flow_logs: Sequence[FlowLog]) -> list[Difference]:
    """Of every two arms that share ticks of a run."""
    by_run: dict[str, list[FlowLog]] = defaultdict(list)
    for each in sorted(flow_logs, key=lambda flow_log: flow_log.series.arm):
        by_run[each.series.run].append(each)
    by_pair: dict[tuple[str, str], list[RunDifference]] = defaultdict(list)
    for run, members in by_run.items():
        delivered = [(each.series.arm, each.by_tick) for each in members]
        for (first, its), (second, others) in combinations(delivered, 2):
            if difference := on_same_ticks(run, its, others):
                by_pair[first, second].append(difference)
    return [Difference.of(*pair, runs) for pair, runs in sorted(by_pair.items())]
