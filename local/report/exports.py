"""A profile from files that name no run: a Logs Insights export, or observations without the other tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flowlag.plan import CLOUDWATCH
from flowlag.reconcile import EXPECTED_MISSING, LOST_ON_WIRE, NEVER_SENT, NOT_RECORDED
from flowlag.stamp import PORTS, UNSENDABLE_PORT
from flowlag_report.profile import AFTER, BEFORE, COUNTS, NULL, profile_of
from local import sources
from local.analysis.flow_log import FlowLog
from local.sources import EXPORT, FLOW_LOG, UnusableInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from flowlag_report.profile import Columns, Profile
    from local.sources import Dataset, SentTicks

_UNKNOWN_OF_RUN: Final = dict.fromkeys(
    ("region", "experiment", "verdict", "reasons", "hypervisor", "instance_type", "code_version", "cost_usd")
)
_UNKNOWN_OF_ARM: Final = dict.fromkeys(("file_format", "aggregation_interval_s", "level"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What is known of a run beside its records: how it was sent, the sender's ledger and the target's capture."""

    rate: int = 1
    port: int = 7_777
    ledger: Path | None = None
    capture: Path | None = None

    @property
    def is_given(self) -> bool:
        """Whether anything is."""
        return bool(self.ledger or self.capture)


def profiles_of_files(paths: Sequence[Path], beside: Beside, burst_gap_s: float) -> list[Profile]:
    """A profile for each flow log of each run.

    Raises:
        UnusableInput: a file is damaged, of several kinds, or does not say when records were delivered.
    """
    dataset = sources.read(paths, port=beside.port, rate=beside.rate)
    if dataset.kind == FLOW_LOG:
        raise UnusableInput(
            f"'{paths[0]}' holds flow-log files, which do not say when they were delivered: there is no delay to"
            " report"
        )
    ledger = sources.read_ledger(beside.ledger, beside.rate) if beside.ledger else None
    captured = sources.read_capture(beside.capture, beside.port, beside.rate) if beside.capture else None
    flow_logs = [FlowLog.of(each, burst_gap_s) for each in dataset.series]
    if ledger:
        flow_logs = [each for each in flow_logs if ledger.sent.intersection(each.series.ticks.tolist())]
    if not flow_logs:
        raise UnusableInput(
            f"none of the recorded probes is in the ledger '{beside.ledger}': give that of their run"
        )
    rows = sum(len(each) for each in dataset.series)
    repeated = rows - sum(len(each.series) for each in flow_logs) if len(flow_logs) == len(dataset.series) else None
    return [
        profile_of(
            _observations(each),
            _ledger(ledger),
            _run(dataset, each, beside.rate),
            {
                **_UNKNOWN_OF_ARM,
                "arm": each.series.arm,
                "destination": CLOUDWATCH if dataset.kind == EXPORT else None,
                "bursts": each.n_bursts,
                **_counts(each, ledger, captured),
                "duplicates": repeated,
            },
            None,
            burst_gap_s=burst_gap_s,
        )
        for each in flow_logs
    ]


def _observations(flow_log: FlowLog) -> Columns:
    series = flow_log.series
    unknown = np.full(len(series), NULL)
    return {
        "tick": series.ticks,
        "sent_at": series.sent_at,
        "window_start": series.window_start,
        "window_end": unknown,
        "ingested_at": series.ingested_at,
        "received_at": unknown,
    }


def _ledger(ledger: SentTicks | None) -> Columns:
    """Every tick from the first to the last; when exactly it was sent does not matter."""
    ticks = np.arange(ledger.first, ledger.last + 1) if ledger else np.empty(0, np.int64)
    sent = ledger.sent if ledger else frozenset()
    return {
        "tick": ticks,
        "sent_ns": np.array([tick if tick in sent else NULL for tick in ticks.tolist()], np.int64),
    }


def _run(dataset: Dataset, flow_log: FlowLog, rate: int) -> dict[str, Any]:
    row = dataset.runs.get(flow_log.series.run)
    return {
        **_UNKNOWN_OF_RUN,
        "run_id": flow_log.series.run,
        "source": dataset.source,
        "rate": rate,
        "started_at": row.started_at if row else int(flow_log.series.sent_at.min()),
    }


def _counts(
    flow_log: FlowLog, ledger: SentTicks | None, captured: AbstractSet[int] | None
) -> dict[str, int | None]:
    """What became of the ticks; None: nobody can tell."""
    recorded = flow_log.series.ticks
    counts: dict[str, int | None] = dict.fromkeys(COUNTS) | {"observed": len(recorded)}
    if ledger is None:
        return counts
    unrecorded = np.setdiff1d(np.fromiter(ledger.sent, np.int64, len(ledger.sent)), recorded)
    before, after = (int(each.sum()) for each in (unrecorded < recorded.min(), unrecorded > recorded.max()))
    between = unrecorded[(unrecorded > recorded.min()) & (unrecorded < recorded.max())].tolist()
    lost = None if captured is None else sum(tick not in captured for tick in between)
    n_ticks = ledger.last - ledger.first + 1
    skipped = sum(tick % PORTS == UNSENDABLE_PORT for tick in range(ledger.first, ledger.last + 1))
    return counts | {
        "ledger_ticks": n_ticks - before,
        NEVER_SENT: n_ticks - len(ledger.sent) - skipped,
        EXPECTED_MISSING: skipped,
        LOST_ON_WIRE: lost,
        NOT_RECORDED: len(between) - (lost or 0),
        BEFORE: before,
        AFTER: after,
    }
