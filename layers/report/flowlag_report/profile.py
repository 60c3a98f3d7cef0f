"""Profiles: all that the report needs of one arm in one run, in a few kilobytes.

The page is made of profiles and of nothing else. SummarizeRun writes one for each arm of a run; `flowlag report`
makes the same ones from the tables. docs/report.md has the schema of their JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from flowlag.distribution import BURST_GAP_S, burst_period_s, bursts
from flowlag.errors import FlowlagError
from flowlag.first_delivery import t0
from flowlag.instants import seconds_between
from flowlag.reconcile import EXPECTED_MISSING, LOST_ON_WIRE, NEVER_SENT, NOT_RECORDED
from flowlag.stamp import UNSENDABLE_PORT, encode
from flowlag_report import rows
from flowlag_stats import sawtooth
from flowlag_stats.percentiles import percentiles
from flowlag_stats.samples import RunSample
from flowlag_stats.slo import random_probe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from flowlag.instants import Micros

type Whole = NDArray[np.int64]
type Columns = Mapping[str, NDArray[Any]]

PROFILE_VERSION: Final = 1

OBSERVATION_COLUMNS: Final = ("tick", "sent_at", "window_start", "window_end", "ingested_at", "received_at")
"""What is read of `observations`, in any order of rows."""
LEDGER_COLUMNS: Final = ("tick", "sent_ns")
"""What is read of `ledger`."""
FIRST_DELIVERY_COLUMNS: Final = (
    "t0_before_call",
    "t0_service",
    "status",
    "polls",
    "last_miss_at",
    "first_hit_at",
    "first_record_s",
    "first_probe_s",
)
"""What is read of `first_deliveries`."""
NULL: Final = int(np.iinfo(np.int64).min)
"""An instant that is not known, as NumPy has it in NaT."""

SHARES: Final = (*(round(number / 40, 3) for number in range(40)), 0.98, 0.985, 0.99, 0.995, 0.999, 1.0)
"""Of the delivered probes: where a profile has a knot. One in forty, and more in the tail, whose percentiles a few
late deliveries would else move."""

COUNTS: Final = (
    "ledger_ticks",
    "observed",
    NEVER_SENT,
    LOST_ON_WIRE,
    NOT_RECORDED,
    EXPECTED_MISSING,
    "before_first_record",
    "after_last_record",
    "duplicates",
    "not_in_ledger",
    "stale",
    "foreign",
    "nodata",
    "skipdata",
    "unparsable",
)
"""As in `runs.arms`; `after_last_record` counts where a run was not closed, and is 0 where it was."""

UNRECORDED: Final = "unrecorded"
"""Sent, and without a record: lost on the wire or not recorded."""
BEFORE: Final = "before_first_record"
AFTER: Final = "after_last_record"

SPANS_AT_MOST: Final = 400
"""Of what is missing, as many spans of ticks are kept; counts are of all."""

PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_HOUR: Final = 3_600_000_000
_SECOND: Final = 1_000_000


class UnreadableProfile(FlowlagError):
    """A document is no profile, or one of another version; the message says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One arm in one run. Instants are microseconds since the epoch, `_s` is seconds; None: not known, or never.

    Attributes:
        run_id: the run.
        region: where; None where nothing says so, as of an export.
        started_at: when it was planned.
        source: `aws`, `local` or `simulated`.
        experiment: what the run did, by name.
        verdict: of the run; None where nothing closed it.
        reasons: for the verdict.
        hypervisor: the sender's.
        instance_type: the sender's.
        code_version: flowlag's.
        rate: probes a second.
        cost_usd: of the whole run, at list prices.
        arm: its name.
        destination: the flow log's; so are the next three.
        file_format: of S3.
        aggregation_interval_s: as asked for.
        level: interface, subnet or VPC.
        counts: of ticks and records, by the names in `COUNTS`; None where the source cannot tell.
        n_bursts: groups of deliveries.
        burst_period_s: median time from one to the next.
        capture_windows: distinct labels.
        capture_window_s: median distance between them.
        delay_s: `min, mean, max` of the delivered probes; `p50, p90, p95, p99` of these and the missing ones, type
            7, None where one falls on a missing probe. None where nothing was delivered.
        knots: type-7 percentiles of the delivered delays at `SHARES`, to the hundredth of a second; empty where
            nothing was.
        random_probe_s: the delay of one probe, chosen by the run's id for the service level; None: undelivered.
        stages: mean and median seconds of each stage, by its name in `STAGES`; what is not known is left out.
        timestamp_error_s: `min, mean, max`.
        hours: of each hour in which probes were sent: its beginning, how many were delivered, their p50 and p95.
        windows: what each capture window delivered at once: first and last send time, label, delivery.
        missing: spans of ticks without a record by fate, each the first tick and how many.
        first_delivery: `status, polls`, and in seconds since the flow log's creation `last_miss_s, first_hit_s,
            first_record_s, first_probe_s`.
        sawtooth: the fit, by the names of `flowlag_stats.sawtooth.Sawtooth`.
    """

    run_id: str
    region: str | None
    started_at: Micros
    source: str
    experiment: str | None
    verdict: str | None
    reasons: tuple[str, ...]
    hypervisor: str | None
    instance_type: str | None
    code_version: str | None
    rate: int
    cost_usd: float | None
    arm: str
    destination: str | None
    file_format: str | None
    aggregation_interval_s: int | None
    level: str | None
    counts: Mapping[str, int | None]
    n_bursts: int
    burst_period_s: float | None
    capture_windows: int
    capture_window_s: float | None
    delay_s: Mapping[str, float | None] | None
    knots: tuple[float, ...]
    random_probe_s: float | None
    stages: Mapping[str, Mapping[str, float]]
    timestamp_error_s: Mapping[str, float] | None
    hours: tuple[tuple[Micros, int, float, float], ...]
    windows: tuple[tuple[Micros, Micros, Micros, Micros], ...]
    missing: Mapping[str, Sequence[tuple[int, int]]]
    first_delivery: Mapping[str, Any] | None
    sawtooth: Mapping[str, float] | None

    @property
    def delivered(self) -> int:
        """Probes with a record."""
        return self.counts["observed"] or 0

    @property
    def undelivered(self) -> int:
        """Probes that were sent, and did not come by the deadline: later than everything."""
        return _undelivered(self.counts)

    @property
    def sample(self) -> RunSample | None:
        """What statistics are computed from: the delays spread evenly between the knots; None without a probe."""
        if not self.delivered + self.undelivered:
            return None
        shares = np.linspace(0, 1, self.delivered)
        delays = np.interp(shares, SHARES, self.knots) if self.knots else np.empty(0)
        return RunSample(self.run_id, self.started_at, delays, self.undelivered)

    def to_json(self) -> dict[str, Any]:
        """The profile as plain JSON values."""
        return {"profile_version": PROFILE_VERSION, **asdict(self)}

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            UnreadableProfile: it is no profile, or one of another version.
        """
        version = document.get("profile_version") if isinstance(document, dict) else None
        if version != PROFILE_VERSION:
            raise UnreadableProfile(
                f"it is a profile of version {version}, and this flowlag reads {PROFILE_VERSION}: make it anew from"
                " the tables"
                if version
                else "it is no profile"
            )
        names = [field.name for field in fields(cls)]
        if lacking := [name for name in names if name not in document]:
            raise UnreadableProfile(f"it is no whole profile: it lacks {', '.join(lacking)}")
        known = {name: document[name] for name in names}
        for name in ("reasons", "knots"):
            known[name] = tuple(known[name])
        for name in ("hours", "windows"):
            known[name] = tuple(map(tuple, known[name]))
        known["missing"] = {fate: [tuple(each) for each in spans] for fate, spans in known["missing"].items()}
        return cls(**known)

    @classmethod
    def of_bytes(cls, data: bytes) -> Self:
        """Read a profile's file.

        Raises:
            UnreadableProfile: as of `of_json`, or it is not JSON.
        """
        try:
            document = json.loads(data)
        except ValueError:
            raise UnreadableProfile("it is not JSON") from None
        return cls.of_json(document)

    def to_bytes(self) -> bytes:
        """The profile's file; the same profile gives the same bytes."""
        return json.dumps(self.to_json(), separators=(",", ":"), allow_nan=False).encode()


def column(values: Sequence[int | None]) -> Whole:
    """A column of instants or ticks, as Parquet readers give them, with NULL for None."""
    return np.array([NULL if value is None else value for value in values], np.int64)


# ---------------------------------------------------------------- from columns to a profile
STAGES: Final = {
    "to_window_end": ("sent_at", "window_end"),
    "to_ingestion": ("window_end", "ingested_at"),
    "to_lambda": ("ingested_at", "received_at"),
}
"""The stages of a record's way: from one instant to another."""


def profile_of(
    observations: Columns,
    ledger: Columns,
    run: Mapping[str, Any],
    arm: Mapping[str, Any],
    first_delivery: Mapping[str, Any] | None,
    *,
    burst_gap_s: float = BURST_GAP_S,
) -> Profile:
    """Profile one arm of one run.

    Args:
        observations: of this arm, `OBSERVATION_COLUMNS`, int64, instants in microseconds, NULL where not known.
        ledger: of the run, `LEDGER_COLUMNS`, int64; empty columns where there is none.
        run: its row of `runs`, and `region` beside it.
        arm: the arm's member of `runs.arms`.
        first_delivery: its row of `first_deliveries`.
        burst_gap_s: deliveries less than this apart are one burst.
    """
    counts = {name: arm.get(name, 0) for name in COUNTS}
    undelivered = _undelivered(counts)
    known = _delivered(observations)
    sent, label, ingested = known["sent_at"], known["window_start"], known["ingested_at"]
    delays = np.sort((ingested - sent) / _SECOND)
    fit = sawtooth.fit(sent, label, ingested, burst_gap_s=burst_gap_s)
    windows = rows.windows_of(sent, label, ingested)
    labels = sorted({start for _, _, start, _ in windows})
    deliveries = {delivered_at for *_, delivered_at in windows}
    return Profile(
        **{name: run[name] for name in _OF_RUN},
        reasons=tuple(run["reasons"] or ()),
        **{name: arm[name] for name in _OF_ARM},
        counts=counts,
        n_bursts=arm.get("bursts") or 0,
        burst_period_s=burst_period_s(bursts(deliveries, burst_gap_s)),
        capture_windows=len(labels),
        capture_window_s=float(np.median(np.diff(labels))) / _SECOND if len(labels) > 1 else None,
        delay_s=_delay(delays, undelivered) if len(delays) else None,
        knots=tuple(np.round(_type_7(delays, SHARES), 2).tolist()) if len(delays) else (),
        random_probe_s=_random_probe_s(run["run_id"], delays, undelivered),
        stages=_stages(known),
        timestamp_error_s=_error((label - sent) / _SECOND) if len(sent) else None,
        hours=tuple(_hours(sent, ingested)),
        windows=windows,
        missing=_missing(observations["tick"], ledger, is_closed=run["verdict"] is not None),
        first_delivery=_first_delivery(first_delivery) if first_delivery else None,
        sawtooth=_rounded(asdict(fit)) if fit else None,
    )


_OF_RUN: Final = (
    "run_id",
    "region",
    "started_at",
    "source",
    "experiment",
    "verdict",
    "hypervisor",
    "instance_type",
    "code_version",
    "rate",
    "cost_usd",
)
_OF_ARM: Final = ("arm", "destination", "file_format", "aggregation_interval_s", "level")


def _undelivered(counts: Mapping[str, int | None]) -> int:
    return (counts[LOST_ON_WIRE] or 0) + (counts[NOT_RECORDED] or 0)


def _delivered(observations: Columns) -> dict[str, Whole]:
    """The rows that have a time of delivery, and one of sending."""
    is_known = (observations["ingested_at"] != NULL) & (observations["sent_at"] != NULL)
    if is_known.all():
        return {name: observations[name] for name in OBSERVATION_COLUMNS}
    return {name: observations[name][is_known] for name in OBSERVATION_COLUMNS}


def _delay(delays: NDArray[np.float64], undelivered: int) -> dict[str, float | None]:
    found = percentiles(delays, tuple(PERCENTILES.values()), missing=undelivered)
    return {
        "min": float(delays[0]),
        **dict(zip(PERCENTILES, found, strict=True)),
        "max": float(delays[-1]),
        "mean": round(float(delays.mean()), 6),
    }


def _type_7(ascending: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.float64]:
    """Percentiles of values that are in order already, which `numpy.quantile` would put in order again."""
    places = np.array(shares) * (len(ascending) - 1)
    found: NDArray[np.float64] = np.interp(places, np.arange(len(ascending)), ascending)
    return found


def _random_probe_s(run_id: str, delays: NDArray[np.float64], undelivered: int) -> float | None:
    if not len(delays) + undelivered:
        return None
    found = random_probe(RunSample(run_id, 0, delays, undelivered))
    return found if np.isfinite(found) else None


def _stages(known: Mapping[str, Whole]) -> dict[str, dict[str, float]]:
    stages = {}
    for name, (begin, end) in STAGES.items():
        both = (known[begin] != NULL) & (known[end] != NULL)
        seconds = (known[end] - known[begin])[both] / _SECOND
        if len(seconds):
            stages[name] = _rounded({"mean": float(seconds.mean()), "p50": float(np.median(seconds))})
    return stages


def _error(errors: NDArray[np.float64]) -> dict[str, float]:
    return _rounded({"min": float(errors.min()), "mean": float(errors.mean()), "max": float(errors.max())})


def _hours(sent: Whole, ingested: Whole) -> list[tuple[Micros, int, float, float]]:
    if not len(sent):
        return []
    hours = sent // _HOUR
    found = []
    for hour in range(int(hours.min()), int(hours.max()) + 1):
        within = hours == hour
        if not within.any():
            continue
        p50, p95 = _type_7(np.sort((ingested - sent)[within] / _SECOND), (0.5, 0.95)).tolist()
        found.append((hour * _HOUR, int(within.sum()), round(p50, 3), round(p95, 3)))
    return found


def _missing(observed: Whole, ledger: Columns, *, is_closed: bool) -> dict[str, list[tuple[int, int]]]:
    """Spans of ticks without a record, by fate; a run that nobody closed says nothing of those after its last."""
    ticks, is_sent = ledger["tick"], ledger["sent_ns"] != NULL
    unrecorded = np.setdiff1d(ticks[is_sent], observed, assume_unique=True)
    first, last = (int(observed.min()), int(observed.max())) if len(observed) else (NULL, NULL)
    is_after = (unrecorded > last) & (not is_closed)
    unsent = ticks[~is_sent]
    is_expected = np.array([encode(tick) == UNSENDABLE_PORT for tick in unsent.tolist()], np.bool_)
    fates = {
        NEVER_SENT: unsent[~is_expected],
        EXPECTED_MISSING: unsent[is_expected],
        UNRECORDED: unrecorded[(unrecorded > first) & ~is_after],
        BEFORE: unrecorded[unrecorded < first],
        AFTER: unrecorded[is_after],
    }
    return {fate: _spans(np.sort(each)) for fate, each in fates.items() if len(each)}


def _spans(ticks: Whole) -> list[tuple[int, int]]:
    parts = np.split(ticks, np.flatnonzero(np.diff(ticks) > 1) + 1)
    return [(int(part[0]), len(part)) for part in parts[:SPANS_AT_MOST]]


def _first_delivery(row: Mapping[str, Any]) -> dict[str, Any]:
    created_at = t0(row)
    return {
        "status": row["status"],
        "polls": row["polls"],
        "last_miss_s": seconds_between(row["last_miss_at"], created_at),
        "first_hit_s": seconds_between(row["first_hit_at"], created_at),
        "first_record_s": row["first_record_s"],
        "first_probe_s": row["first_probe_s"],
    }


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in seconds.items()}
