"""`flowlag plan`: how many runs, days and dollars it takes until something can be stated.

The run is the unit of replication, so a plan is in runs. How many it takes to state a difference follows from how
far runs differ, which a pilot tells, or else the delivery model.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, hypot, sqrt
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
from scipy import stats

from flowlag.cost import Stack
from flowlag.delivery import PRESETS
from flowlag.distribution import BURST_GAP_S
from flowlag.errors import InvalidRequest
from flowlag_stats.comparison import Delivered, on_same_ticks
from flowlag_stats.intervals import RUNS_FOR_INTERVAL
from flowlag_stats.slo import runs_needed
from local.analysis.arms import watched
from local.analysis.flow_log import FlowLog
from local.analysis.spread import seconds_between
from local.estimate import Estimate, experiment_of, regions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flowlag.delivery import Preset
    from flowlag.plan import RunRequest
    from local.analysis.arms import Watched
    from local.sources import Dataset

type Between = Literal["arms", "campaigns"]
"""Two arms of the same runs, compared in pairs; or two campaigns, whose runs have nothing in common."""

MOST_RUNS: Final = 100_000
_RUNS_FOR_SPREAD: Final = 2
_HOUR_S: Final = 3_600
_CERTAIN: Final = 1e12
"""A noncentrality at which any test states the difference; SciPy has NaN for some that are far larger."""

LIMIT_LEVEL: Final = 0.8
"""How sure it shall be that the spread is not larger than its limit. A plan for the very spread of a small pilot
falls short about every second time (R. H. Browne, Statistics in Medicine 14, 1995, pages 1933-1940)."""


# ---------------------------------------------------------------- how far runs differ
@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How far runs differ in what is compared: a standard deviation.

    Attributes:
        seconds: of the runs' median delays; where arms are compared, of their mean differences on the same ticks.
        pilot_runs: how many runs tell it; None where the model does.
        source: of the pilot.
        notes: where it comes from, a sentence each.
    """

    seconds: float
    pilot_runs: int | None = None
    source: str | None = None
    notes: tuple[str, ...]

    @property
    def limit_s(self) -> float | None:
        """What it is not larger than, as sure as `LIMIT_LEVEL`, if runs are normal; None where the model says."""
        if self.pilot_runs is None:
            return None
        degrees = self.pilot_runs - 1
        return self.seconds * sqrt(degrees / float(stats.chi2.ppf(1 - LIMIT_LEVEL, degrees)))

    @classmethod
    def of_preset(cls, preset: Preset, between: Between, traffic_s: float) -> Self:
        """What the model says of runs of this length.

        A flow log's lag is anything up to a spread, and slides: capture windows come a little more or less often
        than bursts. What is left of it in a run's mean, and of a last, broken period, is what runs differ by.
        """
        windows = round(preset.publish_every_s / preset.window_s)
        slide = abs(windows * preset.window_s / preset.publish_every_s - 1)
        lag_s = _left_of(preset.lag_spread_s, traffic_s * slide / preset.lag_spread_s)
        broken_s = _left_of(preset.publish_every_s, traffic_s / preset.publish_every_s)
        of_runs_s = hypot(lag_s, broken_s)
        origin = (
            f"The spread is the model's ({preset.name}) and not measured: a flow log's lag differs from run to run"
            f" by up to {preset.lag_spread_s:.1f} s, each lag being as likely, and slides in a run's"
            f" {traffic_s / _HOUR_S:.3g} hours."
        )
        notes = [origin]
        if between == "arms":
            notes.append("The lags of a run's two arms are taken to have nothing to do with one another.")
        if preset.assumption:
            notes.append(f"Of the model, {preset.assumption}.")
        return cls(seconds=of_runs_s * sqrt(2) if between == "arms" else of_runs_s, notes=tuple(notes))

    @classmethod
    def of_pilot(cls, pilot: Dataset, between: Between, arms: Sequence[str]) -> Self:
        """What the runs of a pilot say.

        Args:
            pilot: a data set with times of delivery.
            between: what is compared.
            arms: the two arms, or the campaigns' one; none where there is no choice.

        Raises:
            InvalidRequest: there is a choice, too few runs have the arms, or those that have do not differ.
        """
        chosen = _chosen(pilot, arms, 2 if between == "arms" else 1)
        of = "".join(f" {word} '{arm.arm}'" for word, arm in zip(("of", "and"), chosen, strict=False) if arm.arm)
        values = _differences(*chosen) if between == "arms" else _medians(*chosen)
        if len(values) < _RUNS_FOR_SPREAD:
            raise InvalidRequest(
                f"how far runs differ takes {_RUNS_FOR_SPREAD} runs or more, and the pilot has {len(values)}{of}:"
                " give more of it, or --preset"
            )
        seconds = float(np.std(values, ddof=1))
        if not seconds:
            raise InvalidRequest("the runs of the pilot do not differ at all: give more of it, or --preset")
        what = "differences on the same ticks" if between == "arms" else "median delays"
        note = f"The spread is that of {len(values)} runs' {what}{of}."
        return cls(seconds=seconds, pilot_runs=len(values), source=pilot.source, notes=(note,))


def _left_of(height_s: float, periods: float) -> float:
    """The standard deviation of a sawtooth's mean over so many periods, which begin anywhere."""
    part = periods % 1
    return height_s / sqrt(12) * (part * (1 - part) / periods if periods else 1)


def _chosen(pilot: Dataset, names: Sequence[str], count: int) -> list[Watched]:
    """The arms that were meant.

    Raises:
        InvalidRequest: that is not clear.
    """
    by_name = {
        arm.arm: arm for arm in watched([FlowLog.of(each, BURST_GAP_S) for each in pilot.series], pilot.runs)
    }
    wanted = list(dict.fromkeys(names)) or list(by_name)
    if len(wanted) != count or not by_name.keys() >= set(wanted):
        there = ", ".join(filter(None, by_name)) or "one, without a name"
        raise InvalidRequest(f"choose {count} of the pilot's arms with --arm; it has {there}")
    return [by_name[name] for name in wanted]


def _medians(arm: Watched) -> list[float]:
    """One a run; none of a run of which so many probes were not delivered."""
    return [sample.median_s for sample in arm.samples if sample.median_s is not None]


def _differences(first: Watched, second: Watched) -> list[float]:
    """One a run that has both arms."""
    of_first, of_second = ({each.series.run: _delivered(each) for each in arm.flow_logs} for arm in (first, second))
    found = (on_same_ticks(run, of_first[run], of_second[run]) for run in of_first if run in of_second)
    return [each.mean_s for each in found if each]


def _delivered(flow_log: FlowLog) -> Delivered:
    known = flow_log.series.all_delivered
    return Delivered(known.ticks, seconds_between(known.sent_at, known.ingested_at))


# ---------------------------------------------------------------- what is to be stated
@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Between delays: stated by Student's t test, two-sided, of one number a run, as in `flowlag_stats.comparison`.

    Attributes:
        seconds: how large it truly is.
        between: what is compared.
        spread: how far runs differ.
        confidence: one minus how often a difference is stated where there is none.
        power: how often it shall be stated where it is this large.

    Raises:
        InvalidRequest: a share is none, or it takes more than `MOST_RUNS` of each side.
    """

    seconds: float
    between: Between
    spread: Spread
    confidence: float
    power: float

    def __post_init__(self) -> None:
        _check_share("confidence", self.confidence)
        _check_share("power", self.power)
        if self.runs_of_each(self.spread.seconds) is None:
            raise InvalidRequest(
                f"runs differ by {self.spread.seconds:.3g} s, so it would take more than {MOST_RUNS:,} of them:"
                " ask for a larger --difference"
            )

    @property
    def sides(self) -> int:
        """A run counts for both arms, or for one of the campaigns."""
        return 1 if self.between == "arms" else 2

    def power_of(self, runs: int, spread_s: float) -> float:
        """How often it is stated with so many runs of each side.

        The square of a noncentral t is a noncentral F, which counts both tails at once, and which SciPy computes
        without NaN where the difference is many times the spread.
        """
        degrees = self.sides * (runs - 1)
        noncentrality = min(runs / self.sides * (self.seconds / spread_s) ** 2, _CERTAIN)
        threshold = stats.f.isf(1 - self.confidence, 1, degrees)
        return float(stats.ncf.sf(threshold, 1, degrees, noncentrality))

    def runs_of_each(self, spread_s: float) -> int | None:
        """The least number of runs of each side with enough power, if runs differ so far; None: too many.

        Below `RUNS_FOR_INTERVAL` runs nothing is stated.
        """
        low, high = RUNS_FOR_INTERVAL, MOST_RUNS + 1
        while low < high:
            middle = (low + high) // 2
            enough = self.power_of(middle, spread_s) >= self.power
            low, high = (low, middle) if enough else (middle + 1, high)
        return low if low <= MOST_RUNS else None

    @property
    def runs(self) -> int:
        """How many runs it takes in all."""
        return self.sides * (self.runs_of_each(self.spread.seconds) or 0)

    @property
    def runs_at_limit(self) -> int | None:
        """The same where runs differ as far as the pilot allows; None: too many, or the model tells how far."""
        limit_s = self.spread.limit_s
        runs = None if limit_s is None else self.runs_of_each(limit_s)
        return None if runs is None else self.sides * runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Within which delay a share of the flow records is visible, as `flowlag_stats.slo` states it.

    Attributes:
        share: of the records.
        confidence: one minus how often the promise may be wrong.
        pilot_runs: runs that are there already.
        source: of these.

    Raises:
        InvalidRequest: a share is none, or it takes more than `MOST_RUNS`.
    """

    share: float
    confidence: float
    pilot_runs: int = 0
    source: str | None = None

    def __post_init__(self) -> None:
        _check_share("share", self.share)
        _check_share("confidence", self.confidence)
        if self.runs > MOST_RUNS:
            raise InvalidRequest(f"it would take more than {MOST_RUNS:,} runs: ask for a lower --share")

    @classmethod
    def of_pilot(cls, pilot: Dataset, arms: Sequence[str], *, share: float, confidence: float) -> Self:
        """Count the runs that are there.

        Raises:
            InvalidRequest: there is a choice of arms, or a share is none.
        """
        (arm,) = _chosen(pilot, arms, 1)
        return cls(share=share, confidence=confidence, pilot_runs=len(arm.samples), source=pilot.source)

    @property
    def runs(self) -> int:
        """How many runs it takes in all."""
        return runs_needed(self.share, self.confidence)


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise InvalidRequest(f"--{name} is a share between 0 and 1, not {share:g}")


# ---------------------------------------------------------------- the plan
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question as it is typed: `flowlag plan --help` says what each part is."""

    difference_s: float | None
    share: float | None
    between: Between
    confidence: float
    power: float
    arms: tuple[str, ...]
    preset: str
    experiment: str
    regions: str
    runs_per_day: int
    senders: tuple[str, ...]
    own_target: bool

    def goal(self, pilot: Dataset | None, traffic_s: float) -> Difference | Promise:
        """What is to be stated.

        Args:
            pilot: runs that are there.
            traffic_s: length of a run that is to be made.

        Raises:
            InvalidRequest: there can be no such statement.
        """
        if self.share is not None:
            return (
                Promise.of_pilot(pilot, self.arms, share=self.share, confidence=self.confidence)
                if pilot
                else Promise(share=self.share, confidence=self.confidence)
            )
        return Difference(
            seconds=self.difference_s or 0.0,
            between=self.between,
            spread=Spread.of_pilot(pilot, self.between, self.arms)
            if pilot
            else Spread.of_preset(PRESETS[self.preset], self.between, traffic_s),
            confidence=self.confidence,
            power=self.power,
        )

    def campaign(self) -> Campaign:
        """How its runs are made.

        Raises:
            InvalidRequest: there is no such experiment or region.
        """
        stack = Stack(senders=self.senders, target=None) if self.own_target else Stack(senders=self.senders)
        return Campaign(
            request=experiment_of(self.experiment),
            regions=regions_of(self.regions),
            runs_per_day=self.runs_per_day,
            stack=stack,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """How runs are made: what each is, where, and how many a day on each sender."""

    request: RunRequest
    regions: tuple[str, ...]
    runs_per_day: int
    stack: Stack

    @property
    def runs_a_day(self) -> int:
        """On all senders of all regions."""
        return self.runs_per_day * len(self.regions) * len(self.stack.senders)

    def estimate(self, days: int) -> Estimate:
        """What so many days cost.

        Raises:
            InvalidRequest: the campaign cannot be carried out.
        """
        return Estimate.of(self.request, self.regions, runs_per_day=self.runs_per_day, days=days, stack=self.stack)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The answer.

    Attributes:
        goal: what is to be stated.
        campaign: how runs are made.
        missing: how many runs are to be made.
        days: how many days that takes.
        estimate: what these days cost; None where there is nothing to be made.
    """

    goal: Difference | Promise
    campaign: Campaign
    missing: int
    days: int
    estimate: Estimate | None

    @property
    def usd(self) -> float:
        """What it costs."""
        return self.estimate.campaign.usd if self.estimate else 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before one relies on it, a sentence each."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        if isinstance(self.goal, Difference):
            yield from self.goal.spread.notes
            if self.goal.between == "campaigns":
                yield "Each campaign has half of the runs, and their spreads are taken to be the same."
        else:
            yield "It holds if none of the probes, one of each run, was lost: of a lost one no delay is known."
        if len(self.campaign.regions) * len(self.campaign.stack.senders) > 1:
            yield "The runs of all regions and senders count together: to state it of each one, plan for one."
        if self.estimate:
            yield from self.estimate.notes

    def as_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        goal = _difference_json(self.goal) if isinstance(self.goal, Difference) else _promise_json(self.goal)
        return {
            **goal,
            "runs_to_make": self.missing,
            "days": self.days,
            "usd": self.usd,
            "experiment": self.campaign.request.experiment,
            "regions": list(self.campaign.regions),
            "senders": list(self.campaign.stack.senders),
            "runs_per_day": self.campaign.runs_per_day,
            "notes": list(self.notes),
        }


def _difference_json(goal: Difference) -> dict[str, Any]:
    runs_of_each = goal.runs // goal.sides
    return {
        "goal": "difference",
        "difference_s": goal.seconds,
        "between": goal.between,
        "confidence": goal.confidence,
        "power": goal.power,
        "spread_s": goal.spread.seconds,
        "spread_source": goal.spread.source or "model",
        "pilot_runs": goal.spread.pilot_runs,
        "runs": goal.runs,
        "runs_of_each": runs_of_each,
        "power_of_these": goal.power_of(runs_of_each, goal.spread.seconds),
        "spread_limit_s": goal.spread.limit_s,
        "runs_at_spread_limit": goal.runs_at_limit,
    }


def _promise_json(goal: Promise) -> dict[str, Any]:
    return {
        "goal": "share",
        "share": goal.share,
        "confidence": goal.confidence,
        "source": goal.source,
        "pilot_runs": goal.pilot_runs,
        "runs": goal.runs,
    }


def plan(asked: Asked, pilot: Dataset | None = None) -> Plan:
    """Plan a campaign.

    Args:
        asked: what is to be stated, and how runs are made.
        pilot: runs that are there.

    Raises:
        InvalidRequest: it cannot be stated, or not so.
    """
    campaign = asked.campaign()
    goal = asked.goal(pilot, campaign.request.traffic_s)
    missing = goal.runs if isinstance(goal, Difference) else max(0, goal.runs - goal.pilot_runs)
    days = ceil(missing / campaign.runs_a_day)
    return Plan(
        goal=goal,
        campaign=campaign,
        missing=missing,
        days=days,
        estimate=campaign.estimate(days) if days else None,
    )
