"""The whole answer, from the data set to the sentences about its numbers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from math import isinf
from typing import TYPE_CHECKING, Any

import numpy as np

from flowlag.distribution import BURST_GAP_S
from flowlag.errors import InvalidRequest
from flowlag_stats.intervals import RUNS_FOR_INTERVAL, Interval
from flowlag_stats.percentiles import percentiles
from flowlag_stats.sawtooth import BURSTS_FOR_FIT
from local.analysis.arms import Arm, never_if_none, watched
from local.analysis.cadence import Cadence
from local.analysis.comparisons import Difference, differences
from local.analysis.flow_log import FlowLog
from local.analysis.loss import Loss, loss_of, ticks_of
from local.analysis.spread import Delays, LabelError, Spread
from local.instants import iso
from local.sources import EXPORT, FLOW_LOG

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from flowlag_stats.samples import RunSample
    from flowlag_stats.sawtooth import Sawtooth
    from local.sources import Dataset, SentTicks, Series


@dataclass(frozen=True, slots=True)
class Fitted:
    """A flow log of a run, and the sawtooth that fits it."""

    run: str
    arm: str
    sawtooth: Sawtooth

    def as_json(self) -> dict[str, Any]:
        """One flat object; the next delivery is the one after the last that was fitted."""
        named = asdict(self.sawtooth)
        next_delivery_at = iso(self.sawtooth.next_after(named.pop("last_burst_at")))
        return {"run": self.run, "arm": self.arm, **named, "next_delivery_at": next_delivery_at}


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The answer, in the order in which it is told.

    Distributions are over all arms; `arms` has them apart, and `comparisons` says by how much they differ.
    `delay_p50_over_runs_s` is the range of the runs' medians; `quarantined` counts records that were left out
    because their window and their delivery name different ticks; `void_runs` were left out because nothing can be
    said of them; `notes` are sentences about the numbers.
    """

    source: str
    n_packets: int
    n_runs: int
    missing: int | None
    delay_s: Delays | None
    ingest_delay_s: Delays | None
    timestamp_error_s: LabelError
    delay_p50_over_runs_s: Spread | None
    cadence: Cadence
    arms: tuple[Arm, ...]
    comparisons: tuple[Difference, ...]
    sawtooth: tuple[Fitted, ...]
    loss: Loss
    quarantined: int
    void_runs: tuple[str, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """One object, flat at its top; seconds to the microsecond, as instants resolve."""
        named = asdict(self)
        named |= named.pop("cadence") | {"sawtooth": [each.as_json() for each in self.sawtooth]}
        first = ("source", "n_packets", "n_bursts", "n_runs", "missing")
        last = ("loss", "quarantined", "void_runs", "notes")
        middle = (name for name in named if name not in (*first, *last))
        return {name: _plain(named[name]) for name in (*first, *middle, *last)}


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    match value:
        case float():
            return None if isinf(value) else round(value, 6)
        case Interval():
            return _plain(value._asdict())
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
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
        ledger: what the sender of one run sent; records of other ticks are counted and left out.
        captured: the ticks that arrived at the target.
        burst_gap_s: deliveries less than this apart are one burst.

    Raises:
        InvalidRequest: the ledger has none of the recorded ticks.
    """
    known = dataset.series if ledger is None else _in_ledger(dataset.series, ledger)
    flow_logs = [FlowLog.of(each, burst_gap_s) for each in known]
    series = [each.series for each in flow_logs]
    present = {each.run for each in series}
    runs = {run: row for run, row in dataset.runs.items() if ledger is None or run in present}
    arms = watched(flow_logs, runs)
    samples = [sample for arm in arms for sample in arm.samples]
    missing = sum(sample.missing for sample in samples)
    loss = loss_of(
        series,
        ledger,
        captured,
        duplicates=_rows(known) - _rows(series),
        not_in_ledger=_rows(dataset.series) - _rows(known),
    )
    return Analysis(
        source=dataset.source,
        n_packets=_rows(series),
        n_runs=len(present | {sample.run_id for sample in samples}),
        missing=missing if runs else None,
        delay_s=Delays.of([sample.delays for sample in samples], missing),
        ingest_delay_s=Delays.of([each.ingest_delays for each in flow_logs], missing),
        timestamp_error_s=LabelError.of(series),
        delay_p50_over_runs_s=Spread.of(_medians(samples)),
        cadence=Cadence.of(flow_logs),
        arms=tuple(map(Arm.of, arms)),
        comparisons=tuple(differences(flow_logs)),
        sawtooth=tuple(
            Fitted(each.series.run, each.series.arm, each.sawtooth) for each in flow_logs if each.sawtooth
        ),
        loss=loss,
        quarantined=dataset.disagreements,
        void_runs=tuple(dataset.void),
        notes=tuple(_notes(dataset, flow_logs, ledger, loss, missing)),
    )


def _rows(series: Iterable[Series]) -> int:
    return sum(map(len, series))


def _in_ledger(series: Sequence[Series], ledger: SentTicks) -> list[Series]:
    sent = ticks_of(ledger.sent)
    known = [each.take(np.flatnonzero(np.isin(each.ticks, sent))) for each in series]
    if not _rows(known):
        raise InvalidRequest(
            f"none of the {_rows(series):,} recorded probes is in the ledger: give the ledger of their run,"
            " and the --rate that it was sent at"
        )
    return [each for each in known if len(each)]


def _medians(samples: Iterable[RunSample]) -> list[float]:
    """Of each run, over its arms; infinite where it falls on a missing probe."""
    by_run: dict[str, list[RunSample]] = defaultdict(list)
    for sample in samples:
        by_run[sample.run_id].append(sample)
    return [
        never_if_none(
            percentiles(
                np.concatenate([sample.delays for sample in run]),
                (0.5,),
                missing=sum(sample.missing for sample in run),
            )[0]
        )
        for run in by_run.values()
    ]


# ---------------------------------------------------------------- notes
def _notes(
    dataset: Dataset, flow_logs: Sequence[FlowLog], ledger: SentTicks | None, loss: Loss, missing: int
) -> Iterator[str]:
    """What a reader of the numbers has to know, a sentence each."""
    runs = {each.series.run for each in flow_logs}
    if len(runs) < RUNS_FOR_INTERVAL:
        yield (
            f"Below {RUNS_FOR_INTERVAL} runs no confidence interval is given:"
            " the packets of a run are not independent, however many they are."
        )
    if dataset.void:
        yield f"Runs left out because their verdict is void: {len(dataset.void):,}."
    if dataset.runs and (unaccounted := len(runs - dataset.runs.keys())):
        yield f"Runs that are not in the table of runs yet, so that what they miss is not known: {unaccounted:,}."
    if missing:
        yield f"Probes that were never delivered, and count as later than everything: {missing:,}."
    if dataset.kind == FLOW_LOG:
        yield "Flow-log files do not say when they were delivered, so that no delay can be told from them."
    else:
        yield from _notes_on_deliveries(flow_logs)
    yield from _notes_on_loss(dataset, ledger, loss)


def _notes_on_deliveries(flow_logs: Sequence[FlowLog]) -> Iterator[str]:
    if unknown := sum(len(each.series) - len(each.delays) for each in flow_logs):
        yield f"Observations that have no ingestion time yet, and so are in no delay: {unknown:,}."
    if unfitted := sum(each.sawtooth is None for each in flow_logs):
        yield f"Flow logs of fewer than {BURSTS_FOR_FIT} bursts, to which no sawtooth is fitted: {unfitted:,}."


def _notes_on_loss(dataset: Dataset, ledger: SentTicks | None, loss: Loss) -> Iterator[str]:
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
