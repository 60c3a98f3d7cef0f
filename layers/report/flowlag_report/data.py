"""The page's data: what is said of a campaign, and the profiles behind it in columns. It is `data.json`, too.

docs/report.md has its schema. What is said here of all runs, the page says of any selection of them, computed from
the same columns by the same formulas.
"""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flowlag.errors import FlowlagError
from flowlag.first_delivery import DELIVERED, EXPIRED, WAITING
from flowlag.verdict import VOID
from flowlag_report import words
from flowlag_report.groups import groups_of, headline, samples_of
from flowlag_report.lookback import needed_s
from flowlag_report.profile import COUNTS, PERCENTILES, SHARES, STAGES
from flowlag_stats import student
from flowlag_stats.changes import changes
from flowlag_stats.intervals import RUNS_FOR_INTERVAL, percentile_interval
from flowlag_stats.pooling import pooled_percentile
from flowlag_stats.samples import RunSample
from flowlag_stats.slo import bound, runs_needed
from flowlag_stats.time_of_day import by_hour

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flowlag.instants import Micros
    from flowlag_report.groups import Group
    from flowlag_report.profile import Profile
    from flowlag_stats.intervals import Interval

DATA_VERSION: Final = 1

CURVE: Final = (0.01, 0.025, *(round(number / 20, 2) for number in range(1, 20)), 0.975, 0.99, 0.995, 0.999)
"""The shares at which the curve of delays is drawn, beside its two ends."""
SLO: Final = (0.95, 0.95)
"""Of which share of flows, with which confidence, the service-level sentence speaks."""
EVERY_S: Final = 300
"""How often the rule runs whose look-back is told."""
SEEN: Final = (0.5, 0.9, 0.95, 0.99, 1.0)

STATUSES: Final = (DELIVERED, EXPIRED, WAITING)

_MILLI: Final = 1_000
_HUNDRED: Final = 100
_HOUR: Final = 3_600_000_000


class NoReport(FlowlagError):
    """There is nothing to report of, or nothing that may be reported together; the message says which."""


def data_of(profiles: Iterable[Profile], built_at: Micros) -> dict[str, Any]:
    """Everything that the page shows.

    Args:
        profiles: of a campaign, in any order.
        built_at: when the report is made.

    Raises:
        NoReport: there is no profile, or they are of several sources.
    """
    ordered = sorted(profiles, key=lambda each: (each.started_at, each.run_id, each.arm))
    sources = sorted({each.source for each in ordered})
    if not ordered:
        raise NoReport("there is no run to report of")
    if len(sources) > 1:
        raise NoReport(f"these runs are of the sources {' and '.join(sources)}, which never go into one statistic")
    valid = [each for each in ordered if each.verdict != VOID]
    groups = groups_of(valid)
    regions = sorted({each.region or "" for each in valid})
    first = headline(groups) if groups else None
    told = {each.name: _told(each.profiles) for each in groups}
    return {
        "data_version": DATA_VERSION,
        "built_at": _millis(built_at),
        "newest_at": _millis(max(each.started_at for each in ordered)),
        "source": sources[0],
        "source_in_words": words.SOURCES[sources[0]],
        "experiments": sorted({each.experiment for each in ordered if each.experiment}),
        "code_versions": sorted({each.code_version for each in ordered if each.code_version}),
        "answer": _answer(first, told[first.name], regions) if first else _NO_ANSWER,
        "arms": [{**_described(each), **told[each.name], "regions": _by_region(each, regions)} for each in groups],
        "runs": _runs(valid),
        "void_runs": _void_runs(ordered),
        "profiles": _profiles(groups, valid),
        "newest": [each for group in groups for each in _newest(group)],
        "method": _method(groups),
    }


_NO_ANSWER: Final = {
    "arm": None,
    "sentence": "No run has measured anything yet.",
    "slo": "",
    "n_packets": 0,
    "n_bursts": 0,
    "n_runs": 0,
}


def _answer(group: Group, told: Mapping[str, Any], regions: Sequence[str]) -> dict[str, Any]:
    place = (regions[0] or None) if len(regions) == 1 else words.counted(len(regions), "region")
    return {
        "arm": group.name,
        "sentence": words.answer(place, group.label, told["delay_s"], told["n_runs"]),
        "slo": told["slo"]["sentence"],
        **{name: told[name] for name in ("n_packets", "n_bursts", "n_runs")},
    }


# ---------------------------------------------------------------- what is said of an arm
def _described(group: Group) -> dict[str, Any]:
    first = group.profiles[0]
    names = ("arm", "hypervisor", "destination", "file_format", "aggregation_interval_s")
    return {"name": group.name, "label": group.label, **{name: getattr(first, name) for name in names}}


def _told(profiles: Sequence[Profile]) -> dict[str, Any]:
    """An arm's numbers over some runs: percentiles of all of their probes, intervals over the runs."""
    samples = samples_of(profiles)
    intervals = {name: percentile_interval(samples, share) for name, share in PERCENTILES.items()}
    return {
        "n_packets": sum(each.delivered for each in profiles),
        "n_bursts": sum(each.n_bursts for each in profiles),
        "n_runs": len(profiles),
        "undelivered": sum(each.undelivered for each in profiles),
        "delay_s": _delay(profiles, samples),
        "interval_s": {name: _bounds(found) for name, found in intervals.items()},
        "over_runs_s": {name: _range(profiles, name) for name in ("min", *PERCENTILES, "max")},
        "slo": _slo(profiles),
        "lookback_s": {f"{100 * seen:g}": needed_s(profiles, EVERY_S, seen) for seen in SEEN} if samples else None,
    }


def _delay(profiles: Sequence[Profile], samples: Sequence[RunSample]) -> dict[str, float | None]:
    """Of one run the exact numbers; of several those that their knots give."""
    if len(profiles) == 1:
        only = profiles[0].delay_s or {}
        return {name: only.get(name) for name in ("min", *PERCENTILES, "max")}
    ends = [each.delays for each in samples if len(each.delays)]
    return {
        "min": min((float(each[0]) for each in ends), default=None),
        **{name: _finite(pooled_percentile(samples, share)[0]) for name, share in PERCENTILES.items() if samples},
        "max": max((float(each[-1]) for each in ends), default=None),
    }


def _range(profiles: Sequence[Profile], name: str) -> list[float | None] | None:
    """The lowest and the highest run's; None where one fell on a probe that never came."""
    found = [None if each.delay_s is None else each.delay_s[name] for each in profiles]
    values = [inf if each is None else each for each in found]
    return [_finite(min(values)), _finite(max(values))] if values else None


def _slo(profiles: Sequence[Profile]) -> dict[str, Any]:
    found = bound([_random_probe(each) for each in profiles if each.delivered + each.undelivered], *SLO)
    return {
        "share": found.share,
        "confidence": found.confidence,
        "bound_s": found.bound_s,
        "runs_missing": found.runs_missing,
        "undelivered": found.undelivered,
        "sentence": f"{found.sentence[0].upper()}{found.sentence[1:]}.",
    }


def _random_probe(profile: Profile) -> RunSample:
    """The run as its random probe alone."""
    delay = profile.random_probe_s
    delays = np.array([] if delay is None else [delay], np.float64)
    return RunSample(profile.run_id, profile.started_at, delays, int(delay is None))


def _by_region(group: Group, regions: Sequence[str]) -> list[dict[str, Any]]:
    """What needs chance in a fixed order, which only NumPy has: changes, and whether the hour matters."""
    found = []
    for region in regions:
        samples = samples_of(each for each in group.profiles if (each.region or "") == region)
        if samples:
            found.append(
                {
                    "region": region,
                    "changes": [
                        {**each._asdict(), "at": _millis(each.at), "p_value": round(each.p_value, 4)}
                        for each in changes(samples)
                    ],
                    "hour_p_value": by_hour(samples).p_value,
                }
            )
    return found


# ---------------------------------------------------------------- columns
def _runs(profiles: Sequence[Profile]) -> dict[str, list[Any]]:
    runs = list({each.run_id: each for each in profiles}.values())
    names = ("run_id", "region", "verdict", "hypervisor", "instance_type", "rate", "cost_usd")
    columns = {name: [getattr(each, name) for each in runs] for name in names}
    return columns | {
        "started_at": [_millis(each.started_at) for each in runs],
        "reasons": [list(each.reasons) for each in runs],
    }


def _void_runs(profiles: Sequence[Profile]) -> list[dict[str, Any]]:
    void = {each.run_id: each for each in profiles if each.verdict == VOID}
    return [
        {
            "run_id": each.run_id,
            "region": each.region,
            "started_at": _millis(each.started_at),
            "reasons": list(each.reasons),
        }
        for each in void.values()
    ]


def _profiles(groups: Sequence[Group], profiles: Sequence[Profile]) -> dict[str, list[Any]]:
    """A column for each of what the page needs, one row a profile; milliseconds where they say nothing else."""
    run = {run_id: place for place, run_id in enumerate({each.run_id: None for each in profiles})}
    arm = {id(each): place for place, group in enumerate(groups) for each in group.profiles}
    return {
        "run": [run[each.run_id] for each in profiles],
        "arm": [arm[id(each)] for each in profiles],
        "n_bursts": [each.n_bursts for each in profiles],
        "counts": [_counts(each) for each in profiles],
        "exact": [_exact(each) for each in profiles],
        "knots": [_steps(each.knots) for each in profiles],
        "random_probe": [_thousandths(each.random_probe_s) for each in profiles],
        "stages": [[_thousandths(each.stages.get(name, {}).get("mean")) for name in STAGES] for each in profiles],
        "hours": [_hours(each) for each in profiles],
        "first_delivery": [_first_delivery(each) for each in profiles],
    }


def _counts(profile: Profile) -> list[int | None]:
    """In the order of COUNTS, without the zeros at its end."""
    counts = [profile.counts[name] for name in COUNTS]
    while counts and counts[-1] == 0:
        del counts[-1]
    return counts


def _exact(profile: Profile) -> list[int | None]:
    return [_thousandths((profile.delay_s or {}).get(name)) for name in PERCENTILES]


def _steps(knots: Sequence[float]) -> list[int]:
    """In hundredths of a second the first, and then from each to the next: small numbers are short."""
    whole = [round(each * _HUNDRED) for each in knots]
    return [later - earlier for later, earlier in zip(whole, [0, *whole], strict=False)]


def _hours(profile: Profile) -> list[list[int]]:
    """Hour of the day, p50 and p95 in tenths, of hours with at least half as many probes as the fullest."""
    fullest = max((n for _, n, _, _ in profile.hours), default=0)
    return [
        [at // _HOUR % 24, round(10 * p50), round(10 * p95)]
        for at, n, p50, p95 in profile.hours
        if 2 * n >= fullest
    ]


def _first_delivery(profile: Profile) -> list[Any] | None:
    row = profile.first_delivery
    if row is None:
        return None
    names = ("last_miss_s", "first_hit_s", "first_record_s", "first_probe_s")
    return [STATUSES.index(row["status"]), row["polls"], *(_thousandths(row[name]) for name in names)]


def _newest(group: Group) -> list[dict[str, Any]]:
    """The newest run of each region, closer: its capture windows, and what it lacks."""
    newest = {each.region: each for each in group.profiles if each.windows}
    return [
        {
            "arm": group.name,
            "region": each.region,
            "run_id": each.run_id,
            "started_at": _millis(each.started_at),
            "rate": each.rate,
            "n_packets": each.delivered,
            "n_bursts": each.n_bursts,
            "burst_period_s": each.burst_period_s,
            "capture_windows": each.capture_windows,
            "capture_window_s": each.capture_window_s,
            "delay_s": each.delay_s,
            "timestamp_error_s": each.timestamp_error_s,
            "sawtooth": each.sawtooth,
            "windows": list(_from_one_to_the_next(each)),
            "missing": each.missing,
        }
        for each in newest.values()
    ]


def _from_one_to_the_next(profile: Profile) -> Iterator[list[int]]:
    """Of each window its first send time since that of the window before; and since it the rest, in milliseconds.

    The rest are its last send time, its label and its delivery. The first window's is since the run began.
    """
    before = _millis(profile.started_at)
    for window in profile.windows:
        first, *others = map(_millis, window)
        yield [first - before, *(each - first for each in others)]
        before = first


def _method(groups: Sequence[Group]) -> dict[str, Any]:
    """What the page needs to compute as Python does."""
    most = max((len(each.profiles) for each in groups), default=0)
    return {
        "shares": SHARES,
        "curve": CURVE,
        "counts": COUNTS,
        "stages": list(STAGES),
        "statuses": STATUSES,
        "runs_for_interval": RUNS_FOR_INTERVAL,
        "level": 0.95,
        "t": [round(student.quantile(0.95, degrees), 9) for degrees in range(RUNS_FOR_INTERVAL - 2, most - 1)],
        "slo": {"share": SLO[0], "confidence": SLO[1], "runs_needed": runs_needed(*SLO)},
        "every_s": EVERY_S,
    }


def _bounds(found: Interval | None) -> list[float] | None:
    return None if found is None else [round(found.low, 6), round(found.high, 6)]


def _finite(seconds: float) -> float | None:
    return round(seconds, 6) if isfinite(seconds) else None


def _thousandths(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * _MILLI)


def _millis(at: Micros) -> int:
    return at // _MILLI
