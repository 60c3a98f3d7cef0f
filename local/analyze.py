"""`flowlag analyze`: how late the flow records of a data set are, and what is missing from them.

Pure: what was read goes in, numbers come out. Every percentile is of raw observations.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Final

from flowlag.distribution import BURST_GAP_S, Distribution, burst_period_s, bursts
from flowlag.errors import InvalidRequest
from flowlag.stamp import UNSENDABLE_PORT, due_at, encode
from local.sources import EXPORT, FLOW_LOG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from flowlag.instants import Micros
    from local.sources import Dataset, SentTicks, Series

RUNS_FOR_INTERVAL: Final = 5
"""The run is the unit of replication: with fewer runs than this, no confidence interval is given."""

_MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Spread:
    """The smallest, the middle and the largest of some values."""

    min: float
    p50: float
    max: float

    @classmethod
    def of(cls, values: Collection[float]) -> Spread | None:
        """The spread of `values`; None where there are none."""
        return cls(min(values), median(values), max(values)) if values else None


@dataclass(frozen=True, slots=True)
class LabelError:
    """Seconds from a probe's send to the label of the capture window that reported it."""

    min: float
    mean: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How records were delivered. `capture_windows` are known from every source; None: no ingestion times.

    Attributes:
        capture_windows: distinct window labels of each flow log.
        capture_window_spacing_s: from one label to the next.
        deliveries: distinct ingestion times of each flow log.
        capture_windows_per_delivery: how many windows became visible together.
        deliveries_per_burst: how many deliveries came less than the burst gap apart.
        n_bursts: how many bursts there were.
        burst_period_s: from one burst to the next: the median over flow logs of each one's median.
        burst_spacing_s: the same, from all bursts.
    """

    capture_windows: int
    capture_window_spacing_s: Spread | None
    deliveries: int | None
    capture_windows_per_delivery: Spread | None
    deliveries_per_burst: Spread | None
    n_bursts: int | None
    burst_period_s: float | None
    burst_spacing_s: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What became of the probes; None where no ledger, or no capture, was given that could tell.

    `sent + never_sent + expected_missing` is the range of the ledger, and
    `sent = recorded + missing_in_range + outside_range`.

    Attributes:
        recorded: ticks with a flow record.
        duplicates: records beyond the first of the same tick in the same flow log.
        sent: ticks sent, by the ledger.
        never_sent: ticks of the ledger's range that it did not send.
        never_sent_spacing_s: from one such tick to the next.
        expected_missing: ticks that are not sent because their source port is 0.
        seen: probes captured at the target.
        lost_on_wire: sent and not captured.
        missing_in_range: sent between the first and the last recorded tick, and without a record.
        outside_range: sent before the first or after the last recorded tick.
        not_in_ledger: records of ticks that the ledger did not send; they are part of no other number.
    """

    recorded: int
    duplicates: int
    sent: int | None = None
    never_sent: int | None = None
    never_sent_spacing_s: Spread | None = None
    expected_missing: int | None = None
    seen: int | None = None
    lost_on_wire: int | None = None
    missing_in_range: int | None = None
    outside_range: int | None = None
    not_in_ledger: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The answer, in the order in which it is told.

    `delay_p50_over_runs_s` is the range of the runs' medians; `quarantined` counts records that were left out
    because their window and their delivery name different ticks; `notes` are sentences about the numbers.
    """

    source: str
    n_packets: int
    n_runs: int
    delay_s: Distribution | None
    ingest_delay_s: Distribution | None
    timestamp_error_s: LabelError
    delay_p50_over_runs_s: Spread | None
    cadence: Cadence
    loss: Loss
    quarantined: int
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """One flat object but for distributions and `loss`; seconds to the microsecond, as instants resolve."""
        named = asdict(self)
        named |= named.pop("cadence")
        first = ("source", "n_packets", "n_bursts", "n_runs")
        last = ("loss", "quarantined", "notes")
        middle = (name for name in named if name not in (*first, *last))
        return {name: _rounded(named[name]) for name in (*first, *middle, *last)}


def _rounded(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return value


def analyze(
    dataset: Dataset,
    *,
    ledger: SentTicks | None = None,
    captured: AbstractSet[int] | None = None,
    burst_gap_s: float = BURST_GAP_S,
) -> Analysis:
    """Measure a data set.

    Args:
        dataset: what the sources hold.
        ledger: what the sender sent; records of other ticks are counted and left out.
        captured: the ticks that arrived at the target.
        burst_gap_s: deliveries less than this apart are one burst.

    Raises:
        InvalidRequest: the ledger has none of the recorded ticks.
    """
    known = dataset.series if ledger is None else _in_ledger(dataset.series, ledger)
    series = [_once(each) for each in known]
    by_run = _delays_by_run(series)
    loss = _loss(
        series,
        ledger,
        captured,
        duplicates=_rows(known) - _rows(series),
        not_in_ledger=_rows(dataset.series) - _rows(known),
    )
    return Analysis(
        source=dataset.source,
        n_packets=_rows(series),
        n_runs=len({each.run for each in series}),
        delay_s=Distribution.of(array("d", chain.from_iterable(by_run))),
        ingest_delay_s=Distribution.of(
            array("d", (delay for each in series for delay in _since(each.window_start, each.ingested_at)))
        ),
        timestamp_error_s=_label_error(series),
        delay_p50_over_runs_s=Spread.of([median(delays) for delays in by_run]),
        cadence=_cadence(series, burst_gap_s),
        loss=loss,
        quarantined=dataset.disagreements,
        notes=tuple(_notes(dataset, series, ledger, loss)),
    )


def _rows(series: Iterable[Series]) -> int:
    return sum(len(each.ticks) for each in series)


def _in_ledger(series: Sequence[Series], ledger: SentTicks) -> list[Series]:
    known = [each.take([at for at, tick in enumerate(each.ticks) if tick in ledger.sent]) for each in series]
    if not _rows(known):
        raise InvalidRequest(
            f"none of the {_rows(series):,} recorded probes is in the ledger: give the ledger of their run,"
            " and the --rate that it was sent at"
        )
    return [each for each in known if each.ticks]


def _once(series: Series) -> Series:
    """One row a tick: the one that was delivered first."""
    if len(set(series.ticks)) == len(series.ticks):
        return series
    unknown_last = [(ingested is None, ingested or 0) for ingested in series.ingested_at]
    first: dict[int, int] = {}
    for at in sorted(range(len(unknown_last)), key=unknown_last.__getitem__):
        first.setdefault(series.ticks[at], at)
    return series.take(sorted(first.values()))


def _delays_by_run(series: Iterable[Series]) -> list[array[float]]:
    """The delays of each run, in order: sorted pieces make the sort of the whole nearly linear."""
    runs: dict[str, array[float]] = defaultdict(lambda: array("d"))
    for each in series:
        runs[each.run].extend(_since(each.sent_at, each.ingested_at))
    return [array("d", sorted(delays)) for delays in runs.values() if delays]


def _since(earlier: Iterable[Micros], later: Iterable[Micros | None]) -> Iterator[float]:
    """Seconds from one column to another, where the later instant is known."""
    return ((b - a) / _MICROS for a, b in zip(earlier, later, strict=True) if b is not None)


def _label_error(series: Iterable[Series]) -> LabelError:
    errors = array("d", (error for each in series for error in _since(each.sent_at, each.window_start)))
    return LabelError(min(errors), fmean(errors), max(errors))


def _cadence(series: Sequence[Series], burst_gap_s: float) -> Cadence:
    windows = [sorted(set(each.window_start)) for each in series]
    deliveries = [_windows_by_delivery(each) for each in series]
    grouped = [bursts(each, burst_gap_s) for each in deliveries if each]
    periods = [period for period in map(burst_period_s, grouped) if period is not None]
    begins = [[burst[0] for burst in groups] for groups in grouped]
    return Cadence(
        capture_windows=sum(map(len, windows)),
        capture_window_spacing_s=_spacing(windows),
        deliveries=sum(map(len, deliveries)) if grouped else None,
        capture_windows_per_delivery=Spread.of([len(held) for each in deliveries for held in each.values()]),
        deliveries_per_burst=Spread.of([len(burst) for groups in grouped for burst in groups]),
        n_bursts=sum(map(len, grouped)) if grouped else None,
        burst_period_s=median(periods) if periods else None,
        burst_spacing_s=_spacing(begins),
    )


def _windows_by_delivery(series: Series) -> dict[Micros, set[Micros]]:
    deliveries: dict[Micros, set[Micros]] = defaultdict(set)
    for ingested, start in zip(series.ingested_at, series.window_start, strict=True):
        if ingested is not None:
            deliveries[ingested].add(start)
    return deliveries


def _spacing(instants: Iterable[Sequence[Micros]]) -> Spread | None:
    """From one instant to the next, in seconds, within each of several ordered sequences."""
    return Spread.of([(later - earlier) / _MICROS for each in instants for earlier, later in pairwise(each)])


def _loss(
    series: Sequence[Series],
    ledger: SentTicks | None,
    captured: AbstractSet[int] | None,
    *,
    duplicates: int,
    not_in_ledger: int,
) -> Loss:
    if ledger is None:
        seen = None if captured is None else len(captured)
        return Loss(recorded=_rows(series), duplicates=duplicates, seen=seen)
    unsent = [tick for tick in range(ledger.first, ledger.last + 1) if tick not in ledger.sent]
    never_sent = [tick for tick in unsent if encode(tick) != UNSENDABLE_PORT]
    recorded = {tick for each in series for tick in each.ticks}
    first, last = min(recorded), max(recorded)
    unrecorded = ledger.sent - recorded
    in_range = sum(first < tick < last for tick in unrecorded)
    seen = None if captured is None else len(ledger.sent & captured)
    return Loss(
        sent=len(ledger.sent),
        never_sent=len(never_sent),
        never_sent_spacing_s=_spacing([[due_at(tick, ledger.rate) for tick in never_sent]]),
        expected_missing=len(unsent) - len(never_sent),
        seen=seen,
        lost_on_wire=None if seen is None else len(ledger.sent) - seen,
        recorded=len(recorded),
        missing_in_range=in_range,
        outside_range=len(unrecorded) - in_range,
        duplicates=duplicates,
        not_in_ledger=not_in_ledger,
    )


def _notes(dataset: Dataset, series: Sequence[Series], ledger: SentTicks | None, loss: Loss) -> Iterator[str]:
    """What a reader of the numbers has to know, a sentence each."""
    runs, arms = ({getattr(each, name) for each in series} for name in ("run", "arm"))
    if len(runs) < RUNS_FOR_INTERVAL:
        yield (
            f"Below {RUNS_FOR_INTERVAL} runs no confidence interval is given:"
            " the packets of a run are not independent, however many they are."
        )
    if len(arms) > 1:
        yield f"{len(arms)} arms are together in these numbers: give the paths of one to see it alone."
    if dataset.kind == FLOW_LOG:
        yield "Flow-log files do not say when they were delivered, so that no delay can be told from them."
    elif unknown := sum(ingested is None for each in series for ingested in each.ingested_at):
        yield f"Observations that have no ingestion time yet, and so are in no delay: {unknown:,}."
    if dataset.disagreements:
        yield (
            "Records left out because their capture window and their delivery name different ticks for the same"
            f" source port: {dataset.disagreements:,}."
        )
    if dataset.skipdata:
        yield f"Records by which AWS says that it skipped others (SKIPDATA): {dataset.skipdata:,}."
    if loss.not_in_ledger:
        yield f"Records left out because the ledger did not send their ticks: {loss.not_in_ledger:,}."
    if ledger and not ledger.closed:
        yield "The ledger has no end: its sender was cut short."
    if loss.outside_range and dataset.kind == EXPORT:
        yield (
            "Outside the range of an export nothing counts as lost: its time filter, or its limit of 10,000 rows,"
            " may have cut it there."
        )
