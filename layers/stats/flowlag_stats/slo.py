"""The sentence for a service level: "with 99 % confidence, 95 % of flows are visible within 10 min 12 s".

One probe is taken at random from each run. Runs are independent, and so are these probes, whatever delays do inside
a run. The bound is then the distribution-free one of Wilks ("Determination of sample sizes for setting tolerance
limits", 1941): how many of n probes are earlier than the wanted percentile is binomial, and where fewer than m are,
the m-th is not below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import ceil, exp, inf, isfinite, lgamma, log, log1p
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowlag_stats.samples import RunSample

_MINUTE = 60

_SLACK = 1e-12
"""1 - 0.9 is 0.09999999999999998 in floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What may be said of a share of all flows.

    Attributes:
        share: of the flows.
        confidence: how sure the bound is.
        bound_s: the share is visible within it; None where that cannot be stated.
        n_runs: how many runs there are.
        runs_missing: how many more are needed at least.
        undelivered: how many of the random probes were not delivered by the deadline.
    """

    share: float
    confidence: float
    bound_s: float | None
    n_runs: int
    runs_missing: int
    undelivered: int

    @property
    def sentence(self) -> str:
        """The finding in words."""
        confidence, share = f"{100 * self.confidence:.6g} %", f"{100 * self.share:.6g} %"
        if self.bound_s is not None:
            return f"with {confidence} confidence, {share} of flows are visible within {_in_words(self.bound_s)}"
        unknown = f"within what time {share} of flows are visible cannot be stated with {confidence} confidence"
        if self.runs_missing:
            more = "1 more run is" if self.runs_missing == 1 else f"{self.runs_missing} more runs are"
            return f"{unknown} yet: {more} needed"
        return (
            f"{unknown}: of {self.n_runs} random probes, one of each run, "
            f"{self.undelivered} did not come by the deadline"
        )


def bound(samples: Sequence[RunSample], share: float, confidence: float) -> Bound:
    """The time within which a share of all flows is visible, with a confidence.

    The random probe of a run is chosen by a hash of its id: the same for everybody, and none can be chosen for its
    result. One that was not delivered is later than everything.

    Args:
        samples: one arm's, one a run.
        share: of the flows, in (0, 1).
        confidence: in (0, 1).
    """
    probes = sorted(random_probe(sample) for sample in samples)
    n = len(probes)
    missing = max(0, runs_needed(share, confidence) - n)
    found = inf if missing else probes[_order(n, share, confidence) - 1]
    return Bound(
        share=share,
        confidence=confidence,
        bound_s=found if isfinite(found) else None,
        n_runs=n,
        runs_missing=missing,
        undelivered=probes.count(inf),
    )


def runs_needed(share: float, confidence: float) -> int:
    """How many runs the sentence needs at least: then the latest of their random probes is the bound."""
    return ceil(log(1 - confidence) / log(share) - _SLACK)


def largest_share(n_runs: int, confidence: float) -> float:
    """The largest share of flows of which `n_runs` runs, at least one, allow to speak with a confidence."""
    return float((1 - confidence) ** (1 / n_runs))


def _order(n: int, share: float, confidence: float) -> int:
    """The smallest m for which the m-th of n probes is a bound: m or more are early with no more than the doubt."""
    m, doubt = n + 1, 0.0
    while (doubt := doubt + _binomial(m - 1, n, share)) <= 1 - confidence + _SLACK:
        m -= 1
    return m


def _binomial(k: int, n: int, share: float) -> float:
    """The probability that k of n probes are early, each with probability `share`."""
    ways = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
    return exp(ways + k * log(share) + (n - k) * log1p(-share))


def random_probe(sample: RunSample) -> float:
    """The delay of a run's random probe in seconds; infinite where that was not delivered."""
    digest = blake2b(sample.run_id.encode(), digest_size=8).digest()
    position = int.from_bytes(digest) * sample.n_packets >> 64
    return float(sample.delays[position]) if position < len(sample.delays) else inf


def _in_words(seconds: float) -> str:
    """In whole seconds, rounded up as a bound must be: 10 min 12 s."""
    whole = ceil(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    minutes, rest = divmod(whole, _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
