"""How often are flowlag's intervals, bounds and tests right? Campaigns of the delivery model, whose truth is known.

    python benchmarks/calibration.py [--campaigns N] [--write docs/method.md]

For each preset a library of 4,000 runs is simulated: a flow log whose phase and lag are drawn as `flowlag simulate`
draws them, and three hours of probes, one a second, through `local.simulate.flow_log.record`. Every twelfth of a
run's ordered delays is kept. The truth is the percentile of all runs of the library together. A campaign is n runs
drawn from it, independently, and goes through the functions of `flowlag_stats` that users' data go through. Two
arms of a run are two runs of the library: their phases and lags have nothing to do with one another, and as every
probe is delivered, the mean difference on the same ticks is the difference of the means.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

from flowlag.delivery import PRESETS, Schedule
from flowlag_stats import student
from flowlag_stats.changes import changes
from flowlag_stats.comparison import RunDifference, paired, unpaired
from flowlag_stats.intervals import RUNS_FOR_INTERVAL, percentile_interval
from flowlag_stats.pooling import pooled_percentile
from flowlag_stats.samples import RunSample
from flowlag_stats.slo import bound
from flowlag_stats.time_of_day import by_hour
from local.simulate.flow_log import SECOND, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray

    from flowlag.delivery import Preset

    type Reals = NDArray[np.float64]
    type Method = Callable[[list[RunSample], float, Generator], tuple[float, float]]

SEED = 600
RUNS = 4_000
RUN_S = 3 * 3_600
KEPT_EVERY = 12

N_RUNS = (5, 10, 30)
SHARES = (0.5, 0.95)
LEVEL = 0.95
SLOS = ((5, 0.5, 0.95), (10, 0.7, 0.95), (30, 0.9, 0.95), (59, 0.95, 0.95), (90, 0.95, 0.99), (100, 0.95, 0.95))
"""Runs, share and confidence. Of 100 runs the second latest probe is such a bound."""

CAMPAIGNS = 4_000
REJECTED_CAMPAIGNS = 1_000
"""What is only shown to have been rejected, and what takes ten thousand permutations, is tried less often."""

RESAMPLES = 250
BOOTSTRAP_DELAYS = 1_500
"""So many delays of a campaign, spread evenly, are enough for the bootstrap, which else would take hours."""

WIDE = replace(PRESETS["nitro-60"], name="nitro-60, lags 60 s wide", lag_spread_s=60)
"""Runs that differ as much as the delays inside one: what is hardest for an interval. Nobody has measured Nitro."""

CASES = (*PRESETS.values(), WIDE)


BEGIN, END = "<!-- calibration -->", "<!-- end of calibration -->"


# ---------------------------------------------------------------- the library
class Library(NamedTuple):
    """Simulated runs: their ordered delays in seconds, shape (runs, kept), and the mean of all delays of each."""

    preset: str
    delays: Reals
    means: Reals

    def truth(self, share: float) -> float:
        """The percentile of all runs together."""
        return float(np.quantile(self.delays, share))

    def chance(self, n: int) -> Generator:
        """Which decides about campaigns of n runs: the same ones for whatever is tried on them."""
        return np.random.default_rng([SEED, n, *self.preset.encode()])

    def draw(self, n: int, chance: Generator) -> list[RunSample]:
        """A campaign. Its runs' ids are new: so is the random probe that is chosen by them."""
        numbers = chance.integers(len(self.delays), size=n)
        ids = chance.integers(2**62, size=n)
        return [
            RunSample(str(run), at, self.delays[i]) for at, (run, i) in enumerate(zip(ids, numbers, strict=True))
        ]


def simulate(preset: Preset) -> Library:
    """Let a flow log of its own record each run."""
    chance = np.random.default_rng(SEED)
    runs = [_delays(preset, chance) for _ in range(RUNS)]
    kept = [np.sort(run)[KEPT_EVERY // 2 :: KEPT_EVERY] for run in runs]
    return Library(preset.name, np.array(kept), np.array([run.mean() for run in runs]))


def _delays(preset: Preset, chance: Generator) -> Reals:
    """Of one run, in order of sending."""
    schedule = Schedule.drawn(preset, chance.random(), chance.random())
    sent_at = SECOND * np.arange(RUN_S, dtype=np.int64)
    until = int(SECOND * (RUN_S + 2 * preset.longest_delay_s))
    records = record(schedule, sent_at, since=0, until=until, chance=chance)
    assert records.is_delivered.all()  # noqa: S101 - else the truth would be another
    delays: Reals = (records.ingested_at - sent_at) / SECOND
    return delays


# ---------------------------------------------------------------- intervals
def chosen(samples: list[RunSample], share: float, _: Generator) -> tuple[float, float]:
    """What flowlag gives."""
    interval = percentile_interval(samples, share, LEVEL)
    assert interval is not None  # noqa: S101 - there are enough runs, and nothing is missing
    return interval.low, interval.high


def jackknife(samples: list[RunSample], share: float, _: Generator) -> tuple[float, float]:
    """The pooled percentile, and t times the jackknife's standard error."""
    n = len(samples)
    pooled, without = pooled_percentile(samples, share)
    half = student.quantile(LEVEL, n - 1) * np.sqrt((n - 1) * without.var())
    return pooled - half, pooled + half


def own_percentiles(samples: list[RunSample], share: float, _: Generator) -> tuple[float, float]:
    """The pooled percentile, and t times the standard error of the runs' own percentiles."""
    n = len(samples)
    pooled = pooled_percentile(samples, share)[0]
    own = np.quantile([sample.delays for sample in samples], share, axis=1)
    half = student.quantile(LEVEL, n - 1) * own.std(ddof=1) / np.sqrt(n)
    return pooled - half, pooled + half


def bootstrap(samples: list[RunSample], share: float, chance: Generator) -> tuple[float, float]:
    """Percentiles of the pooled percentile over resampled runs."""
    n = len(samples)
    every = len(samples[0].delays) * n // BOOTSTRAP_DELAYS
    values = np.concatenate([sample.delays[every // 2 :: every] for sample in samples])
    order = np.argsort(values)
    run_of = np.repeat(np.arange(n), len(values) // n)[order]
    times = chance.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    before = np.cumsum(times[:, run_of], axis=1)
    found = values[order][(before <= share * before[:, -1:]).sum(axis=1)]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def packets(samples: list[RunSample], share: float, _: Generator) -> tuple[float, float]:
    """Order statistics of all packets, as if each were independent: what most published numbers do."""
    half = 1.96 * np.sqrt(share * (1 - share) / (RUN_S * len(samples)))
    low, high = np.quantile([sample.delays for sample in samples], [share - half, share + half])
    return float(low), float(high)


METHODS: dict[str, Method] = {
    "**flowlag**": chosen,
    "jackknife": jackknife,
    "runs' own": own_percentiles,
    "bootstrap": bootstrap,
    "packets": packets,
}


def coverage(library: Library, campaigns: int) -> Iterator[list[str]]:
    """How often each method's interval holds the truth, a row for each number of runs and each percentile."""
    for n in N_RUNS:
        for share in SHARES:
            truth = library.truth(share)
            row = [library.preset, str(n), f"p{100 * share:g}"]
            for method in METHODS.values():
                chance = library.chance(n)
                tries = campaigns if method is chosen else min(campaigns, REJECTED_CAMPAIGNS)
                intervals = (method(library.draw(n, chance), share, chance) for _ in range(tries))
                row.append(_share(low <= truth <= high for low, high in intervals))
            yield row


# ---------------------------------------------------------------- bounds and tests
def bounds(library: Library, campaigns: int) -> Iterator[list[str]]:
    """How often the bound of a service level holds."""
    for n, share, confidence in SLOS:
        chance = library.chance(n)
        truth = library.truth(share)
        found = (bound(library.draw(n, chance), share, confidence).bound_s for _ in range(5 * campaigns))
        held = _share(each is not None and each >= truth for each in found)
        exact = min(p for k in range(n) if (p := float(stats.binom.cdf(k, n, share))) >= confidence)
        yield [library.preset, str(n), f"{100 * share:g} %", f"{100 * confidence:g}", f"{100 * exact:.1f}", held]


def alarms(library: Library, campaigns: int) -> Iterator[list[str]]:
    """How often something is said to differ that does not."""
    medians = np.median(library.delays, axis=1)
    few = min(campaigns, REJECTED_CAMPAIGNS)
    for n in N_RUNS:
        chance = library.chance(n)
        tests: list[Callable[[], bool]] = [
            partial(_paired_differ, library.means, n, chance),
            partial(_unpaired_differ, medians, n, chance),
        ]
        row = [library.preset, str(n), *(_share(test() for _ in range(campaigns)) for test in tests)]
        if n < 2 * RUNS_FOR_INTERVAL:
            row += ["-", "-"]
        else:
            row.append(_share(_hours_differ(medians, n, chance) for _ in range(few)))
            row.append(_share(bool(changes(_runs(medians, n, chance))) for _ in range(few)))
        yield row


def _paired_differ(means: Reals, n: int, chance: Generator) -> bool:
    first, second = chance.choice(means, (2, n))
    found = paired([RunDifference("", mean_s, RUN_S) for mean_s in second - first])
    return found is not None and found.p_value < 1 - LEVEL


def _unpaired_differ(medians: Reals, n: int, chance: Generator) -> bool:
    found = unpaired(_runs(medians, n, chance), _runs(medians, n, chance))
    return found is not None and found.p_value < 1 - LEVEL


def _hours_differ(medians: Reals, n: int, chance: Generator) -> bool:
    p = by_hour(_runs(medians, n, chance)).p_value
    return p is not None and p < 1 - LEVEL


def _runs(medians: Reals, n: int, chance: Generator) -> list[RunSample]:
    """Runs that are known by their medians, day after day; in each hour that has any, five or more began."""
    hour = 3_600 * SECOND
    hours = n // RUNS_FOR_INTERVAL
    return [
        RunSample(str(number), (24 * number + number % hours) * hour, np.array([median]))
        for number, median in enumerate(chance.choice(medians, n))
    ]


# ---------------------------------------------------------------- the tables
HEADS = (
    ["preset", "runs", "", *METHODS],
    ["preset", "runs", "share", "promised", "exact", "held"],
    ["preset", "runs", "two arms", "two campaigns", "hours", "changes"],
)


def calibrate(preset: Preset, campaigns: int) -> list[list[list[str]]]:
    """The rows of the three tables for one preset."""
    library = simulate(preset)
    return [list(table(library, campaigns)) for table in (coverage, bounds, alarms)]


def tables(campaigns: int) -> str:
    """All tables, in Markdown."""
    with ProcessPoolExecutor(os.process_cpu_count()) as pool:
        found = list(pool.map(partial(calibrate, campaigns=campaigns), CASES))
    return "\n\n".join(
        _markdown(head, [row for case in found for row in case[number]]) for number, head in enumerate(HEADS)
    )


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(outcomes: Iterator[bool]) -> str:
    found = list(outcomes)
    return f"{100 * sum(found) / len(found):.1f}"


def main() -> None:
    """Measure, print, and put what was printed into a page if one is named."""
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--campaigns", type=int, default=CAMPAIGNS, help="how many for each number")
    parser.add_argument("--write", type=Path, help="a page that has the markers")
    asked = parser.parse_args()
    begun = perf_counter()
    text = tables(asked.campaigns)
    print(text)
    print(f"\n{perf_counter() - begun:.0f} s", file=sys.stderr)
    if asked.write:
        dated = f"{datetime.now(UTC):%Y-%m-%d}, `python benchmarks/calibration.py`, {asked.campaigns:,} campaigns."
        before, after = asked.write.read_text().split(BEGIN)[0], asked.write.read_text().split(END)[1]
        asked.write.write_text(f"{before}{BEGIN}\n{dated}\n\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
