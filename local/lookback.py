"""`flowlag lookback`: what a detection rule misses that runs every so often over a window that looks back so far.

A rule runs every E and looks at the records of the last W. It sees a record of an instant s, delivered at i, if one
of its executions t has t >= i and t - W <= s. Nobody has tuned the rule's phase to the flow log's, so it is taken
as uniformly random. With the delay d = i - s, the executions that see the record lie in W - d seconds, and the
chance that there is one is (W - d) / E, cut to 0 and 1.

So the share that is seen is a function of W that is linear between the points d and d + E. Everything is computed
at these points, in whole microseconds, without tolerances.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from math import sqrt
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from flowlag.distribution import BURST_GAP_S
from flowlag.errors import InvalidRequest
from flowlag_stats import student
from flowlag_stats.intervals import RUNS_FOR_INTERVAL
from local.analysis.flow_log import FlowLog
from local.sources import FLOW_LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from local.sources import Dataset, Series, Whole

SEEN_PERCENT: Final = (50, 90, 95, 99, 100)
"""What percentages of the records may be wanted."""

LEVEL: Final = 0.95
"""Of the interval of the missed share."""

_MICROS: Final = 1_000_000


# ---------------------------------------------------------------- delays, and what a rule sees of them
@dataclass(frozen=True, eq=False)
class Delays:
    """The delays of some records in whole microseconds, ascending, and how many more were never delivered."""

    delivered: Whole
    undelivered: int = 0

    @classmethod
    def together(cls, several: Sequence[Delays]) -> Self:
        """Several of them as one."""
        delivered = np.concatenate([each.delivered for each in several])
        delivered.sort(kind="stable")  # which merges what is in order already
        return cls(delivered, sum(each.undelivered for each in several))

    @property
    def n_records(self) -> int:
        """The denominator: delivered or not."""
        return len(self.delivered) + self.undelivered

    @cached_property
    def _sums(self) -> Whole:
        """The sum of the first n delays: 64 bits hold that of ten million delays of ten days each."""
        return np.concatenate((np.zeros(1, np.int64), np.cumsum(self.delivered)))

    def _up_to(self, delay: int) -> int:
        return int(np.searchsorted(self.delivered, delay, "right"))

    def seen(self, every: int, within: int) -> int:
        """How many records a rule sees, as the mean over its phases, times `every`: a whole number."""
        certain, possible = self._up_to(within - every), self._up_to(within)
        return certain * every + (possible - certain) * within - int(self._sums[possible] - self._sums[certain])

    def missed_share(self, every: int, within: int) -> float:
        """What share of the records a rule misses."""
        return float(1 - Fraction(self.seen(every, within), every * self.n_records))

    def needed(self, every: int, percent: int) -> int | None:
        """The shortest look-back, in whole microseconds, with which a rule sees so many percent of the records.

        None where so many were never delivered that no look-back is long enough.
        """
        wanted = Fraction(percent * every * self.n_records, 100)
        if wanted > every * len(self.delivered):
            return None
        # From the last point that does not suffice to the first one that does, every microsecond adds as much.
        start = max(
            int(self.delivered[enough - 1]) + later
            for later in (0, every)
            if (enough := self._first_point(later, lambda within: self.seen(every, within) >= wanted))
        )
        growing = self._up_to(start) - self._up_to(start - every)
        return start - (self.seen(every, start) - wanted) // growing  # rounded up

    def _first_point(self, later: int, suffices: Callable[[int], bool]) -> int:
        """The position of the first delay that suffices as a look-back, `later` added; their number if none is."""
        low, high = 0, len(self.delivered)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if suffices(int(self.delivered[middle]) + later) else (middle + 1, high)
        return low


# ---------------------------------------------------------------- the answer
@dataclass(frozen=True, slots=True)
class Range:
    """Two bounds."""

    min: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A detection rule: how often it runs, and how far it looks back (None: that is the question). Seconds."""

    every_s: float
    within_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a rule misses, counted from the probes' send times or from the records' `start`.

    Attributes:
        missed_share: what share of all records it misses; None where it is not said how far it looks back.
        missed_share_over_runs: the lowest and the highest run's; None where there is one run.
        missed_share_interval: of the missed share, at `LEVEL`; None below `RUNS_FOR_INTERVAL` runs, and where all
            runs agree.
        needed_s: by percentage, how far it has to look back to see so many; None where no look-back is long enough.
        needed_over_runs_s: the same, of the run with the least need and of the one with the greatest; None as well.
    """

    missed_share: float | None
    missed_share_over_runs: Range | None
    missed_share_interval: Range | None
    needed_s: Mapping[int, float | None]
    needed_over_runs_s: Mapping[int, Range | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a rule misses of some records: of all, or of an arm's.

    Attributes:
        n_packets: probes that were recorded, or sent and never delivered.
        n_bursts: bursts of the flow logs.
        n_runs: runs.
        undelivered: of the packets, those that were never delivered; a rule misses them.
        longest_delay_s: from a send to a delivery; None where nothing was delivered.
        start_before_send_s: how long before its send a record's `start` is, on average; None as well.
        from_send: counted from the send times.
        from_start: counted from the records' `start`.
    """

    n_packets: int
    n_bursts: int
    n_runs: int
    undelivered: int
    longest_delay_s: float | None
    start_before_send_s: float | None
    from_send: Counted
    from_start: Counted

    def needed_s(self, percent: int) -> float | None:
        """The longer one of both needs: whichever of the two instants a rule goes by."""
        needs = (self.from_send.needed_s[percent], self.from_start.needed_s[percent])
        known = [need for need in needs if need is not None]
        return max(known) if len(known) == len(needs) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookback:
    """The answer: for all records together, and for each arm."""

    source: str
    rule: Rule
    everything: Measured
    arms: Mapping[str, Measured]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Counted from the send time at the top; the other count, and each arm, below."""
        return {
            "source": self.source,
            **asdict(self.rule),
            **_measured_json(self.everything),
            "arms": [{"arm": name, **_measured_json(each)} for name, each in self.arms.items()],
            "notes": list(self.notes),
        }


def _measured_json(measured: Measured) -> dict[str, Any]:
    counts = {name: value for name, value in asdict(measured).items() if not name.startswith("from_")}
    return {**counts, **_counted_json(measured.from_send), "from_start": _counted_json(measured.from_start)}


def _counted_json(counted: Counted) -> dict[str, Any]:
    named = asdict(counted)
    return {
        **{name: named[name] for name in named if name.startswith("missed")},
        "within_for_zero_misses_s": counted.needed_s[100],
        "within_needed_s": {f"{percent}": need for percent, need in named["needed_s"].items()},
        "within_needed_over_runs_s": {f"{percent}": need for percent, need in named["needed_over_runs_s"].items()},
    }


def lookback(dataset: Dataset, rule: Rule, arm: str | None = None) -> Lookback:
    """What a rule misses of a data set.

    Args:
        dataset: what the sources hold.
        rule: how often it runs, and how far it looks back.
        arm: the only one whose records count; None for all.

    Raises:
        InvalidRequest: nothing is known of when the records were delivered, or there is no such arm.
    """
    if dataset.kind == FLOW_LOG:
        raise InvalidRequest(
            "flow-log files do not say when they were delivered, so no look-back can be told from them: give the"
            " observations of a run, or a Logs Insights export"
        )
    samples = _samples(dataset, arm)
    by_arm = {name: _measure(list(its), rule) for name, its in groupby(samples, lambda sample: sample.arm)}
    everything = _measure(samples, rule) if len(by_arm) > 1 else next(iter(by_arm.values()))
    return Lookback(
        source=dataset.source,
        rule=rule,
        everything=everything,
        arms=by_arm,
        notes=tuple(_notes(dataset, everything, by_arm)),
    )


# ---------------------------------------------------------------- from records to delays
@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """What one arm delivered in one run. `from_start` and `from_send` are of the same records."""

    run: str
    arm: str
    from_send: Delays
    from_start: Delays
    n_bursts: int

    @classmethod
    def of(cls, records: Series, undelivered: int) -> Self:
        """What a flow log's records say, of which the first delivery of each tick counts."""
        flow_log = FlowLog.of(records, BURST_GAP_S)
        known = flow_log.series.all_delivered
        return cls(
            records.run,
            records.arm,
            Delays(np.sort(known.ingested_at - known.sent_at), undelivered),
            Delays(np.sort(known.ingested_at - known.window_start), undelivered),
            flow_log.n_bursts,
        )

    @classmethod
    def of_silence(cls, run: str, arm: str, undelivered: int) -> Self:
        """An arm of which nothing was delivered in a run."""
        nothing = Delays(np.empty(0, np.int64), undelivered)
        return cls(run, arm, nothing, nothing, 0)


def _samples(dataset: Dataset, arm: str | None) -> list[_Sample]:
    """Of every arm in every run, arm by arm."""
    accounted = {(row.run, name): its for row in dataset.runs.values() for name, its in row.arms.items()}
    undelivered = {key: its.undelivered for key, its in accounted.items()}
    samples = [_Sample.of(each, undelivered.get((each.run, each.arm), 0)) for each in dataset.series]
    samples += [_Sample.of_silence(*key, its.undelivered) for key, its in accounted.items() if not its.observed]
    arms = sorted({sample.arm for sample in samples})
    if arm is not None and arm not in arms:
        named = ", ".join(filter(None, arms)) or "none that have names"
        raise InvalidRequest(f"there is no arm '{arm}' in these results: there are {named}")
    chosen = [sample for sample in samples if sample.from_send.n_records and arm in (None, sample.arm)]
    if not any(len(sample.from_send.delivered) for sample in chosen):
        raise InvalidRequest("no record has a time of delivery yet: run the command again when the run is closed")
    return sorted(chosen, key=lambda sample: (sample.arm, sample.run))


# ---------------------------------------------------------------- from delays to the answer
def _measure(samples: Sequence[_Sample], rule: Rule) -> Measured:
    sent = {run: Delays.together([each.from_send for each in its]) for run, its in _by_run(samples)}
    started = {run: Delays.together([each.from_start for each in its]) for run, its in _by_run(samples)}
    from_send, from_start = (Delays.together(list(runs.values())) for runs in (sent, started))
    known = bool(len(from_send.delivered))
    return Measured(
        n_packets=from_send.n_records,
        n_bursts=sum(sample.n_bursts for sample in samples),
        n_runs=len(sent),
        undelivered=from_send.undelivered,
        longest_delay_s=_seconds(int(from_send.delivered[-1]) if known else None),
        start_before_send_s=_seconds(from_start.delivered.mean() - from_send.delivered.mean() if known else None),
        from_send=_count(from_send, list(sent.values()), rule),
        from_start=_count(from_start, list(started.values()), rule),
    )


def _by_run(samples: Sequence[_Sample]) -> Iterator[tuple[str, Iterator[_Sample]]]:
    by_name = sorted(samples, key=lambda sample: sample.run)
    return groupby(by_name, lambda sample: sample.run)


def _count(together: Delays, runs: Sequence[Delays], rule: Rule) -> Counted:
    every = _micros(rule.every_s)
    needed_by_runs = {percent: [each.needed(every, percent) for each in runs] for percent in SEEN_PERCENT}
    counted = Counted(
        missed_share=None,
        missed_share_over_runs=None,
        missed_share_interval=None,
        needed_s={percent: _seconds(together.needed(every, percent)) for percent in SEEN_PERCENT},
        needed_over_runs_s={percent: _range_s(needs) for percent, needs in needed_by_runs.items()},
    )
    if rule.within_s is None:
        return counted
    within = _micros(rule.within_s)
    shares = [each.missed_share(every, within) for each in runs]
    return replace(
        counted,
        missed_share=together.missed_share(every, within),
        missed_share_over_runs=Range(min(shares), max(shares)) if len(runs) > 1 else None,
        missed_share_interval=_interval(shares, [each.n_records for each in runs]),
    )


def _range_s(values: Sequence[int | None]) -> Range | None:
    """The range in seconds; None where one of the values is unknown, or there is one only."""
    known = [value for value in values if value is not None]
    is_range = len(known) == len(values) > 1
    return Range(min(known) / _MICROS, max(known) / _MICROS) if is_range else None


def _interval(shares: Sequence[float], sizes: Sequence[int]) -> Range | None:
    """The interval of the share of all records, runs being what was sampled.

    The share of all records is a ratio of two totals over runs, and its variance that of the ratio estimator
    (Cochran, Sampling Techniques, 1977, section 6.4). With runs of one size the interval is Student's for the mean
    of the runs' shares. Runs that all agree tell nothing of how far others may be off.
    """
    runs = len(shares)
    if runs < RUNS_FOR_INTERVAL or min(shares) == max(shares):
        return None
    share, size = np.array(shares), np.array(sizes)
    mean = float((share * size).sum() / size.sum())
    variance = runs / (runs - 1) * float(((size * (share - mean)) ** 2).sum()) / float(size.sum()) ** 2
    half = student.quantile(LEVEL, runs - 1) * sqrt(variance)
    return Range(max(mean - half, 0.0), min(mean + half, 1.0))


def _micros(seconds: float) -> int:
    return round(seconds * _MICROS)


def _seconds(micros: float | None) -> float | None:
    return None if micros is None else round(float(micros)) / _MICROS


def _notes(dataset: Dataset, everything: Measured, arms: Mapping[str, Measured]) -> Iterator[str]:
    """What a reader of the numbers has to know, a sentence each."""
    if everything.n_runs < RUNS_FOR_INTERVAL:
        yield (
            f"Below {RUNS_FOR_INTERVAL} runs no confidence interval is given:"
            " the packets of a run are not independent, however many they are."
        )
    if len(arms) > 1:
        yield f"{len(arms)} arms are together in these numbers, and a rule reads one: choose it with --arm."
    if everything.undelivered:
        yield f"Probes that were sent and never delivered count as missed: {everything.undelivered:,}."
    if unknown := sum(int((~series.delivered).sum()) for series in dataset.series if series.arm in arms):
        yield f"Records that have no time of delivery yet, and so are left out: {unknown:,}."
    if dataset.void:
        yield f"Runs left out because their verdict is void: {len(dataset.void):,}."
    if dataset.disagreements:
        yield (
            "Records left out because their capture window and their delivery name different ticks for the same"
            f" source port: {dataset.disagreements:,}."
        )
    yield (
        "Delays end where AWS delivers: what your own pipeline takes from there to where the rule runs comes on top"
        " of every look-back."
    )
