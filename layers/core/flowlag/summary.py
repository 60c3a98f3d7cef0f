"""The summary of a run: its verdict, and of each arm what was counted and how late its records were."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from flowlag.distribution import BURST_GAP_S, Distribution, burst_period_s, bursts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowlag.instants import Micros
    from flowlag.reconcile import Counts
    from flowlag.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayColumns:
    """The columns of an arm's observations that its summary is made of; None where nothing was delivered."""

    delay_s: Sequence[float | None]
    ingest_delay_s: Sequence[float | None]
    timestamp_error_s: Sequence[float | None]
    ingested_at: Sequence[Micros | None]
    window_start: Sequence[Micros]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    """One arm: counts of its ticks, and its distributions in seconds (None below one delivered record)."""

    arm: str
    counts: Counts
    n_bursts: int
    burst_period_s: float | None
    capture_windows: int
    first_delivery_s: float | None
    delay_s: Distribution | None
    ingest_delay_s: Distribution | None
    timestamp_error_s: Distribution | None

    @classmethod
    def of(
        cls,
        arm: str,
        counts: Counts,
        columns: DelayColumns,
        *,
        first_delivery_s: float | None = None,
        burst_gap_s: float = BURST_GAP_S,
    ) -> ArmSummary:
        """Summarize the observations of an arm."""
        groups = bursts(_known(columns.ingested_at), burst_gap_s)
        return cls(
            arm=arm,
            counts=counts,
            n_bursts=len(groups),
            burst_period_s=burst_period_s(groups),
            capture_windows=len(set(columns.window_start)),
            first_delivery_s=first_delivery_s,
            delay_s=Distribution.of(_known(columns.delay_s)),
            ingest_delay_s=Distribution.of(_known(columns.ingest_delay_s)),
            timestamp_error_s=Distribution.of(_known(columns.timestamp_error_s)),
        )


def _known[T](values: Sequence[T | None]) -> list[T]:
    return [value for value in values if value is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run in one value, small enough for the state machine to carry."""

    run_id: str
    source: str
    verdict: str
    reasons: tuple[str, ...]
    arms: tuple[ArmSummary, ...]

    @classmethod
    def of(cls, run_id: str, source: str, verdict: Verdict, arms: Sequence[ArmSummary]) -> RunSummary:
        """Join a verdict to the arms it was reached from."""
        return cls(run_id=run_id, source=source, verdict=verdict.verdict, reasons=verdict.reasons, arms=tuple(arms))

    def to_json(self) -> Mapping[str, Any]:
        """The summary as plain JSON values."""
        return asdict(self)
