"""`flowlag analyze`: how late the flow records of a data set are, and what is missing from them.

Pure: what was read goes in, numbers come out. Every percentile is of raw observations.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from flowlag.distribution import BURST_GAP_S, Distribution, burst_period_s, bursts
from flowlag.errors import InvalidRequest
from flowlag.stamp import UNSENDABLE_PORT, encode
from local.sources.dataset import EXPORT, FLOW_LOG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set

    from flowlag.observation import Micros
    from local.sources.dataset import Dataset, Series
    from local.sources.ledger import SentTicks

RUNS_FOR_INTERVAL: Final = 5
"""Packets of one run are not samples of anything; with fewer runs than this no interval is given."""


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
class Error:
    """What the capture window's label is off by, in seconds."""

    min: float
    mean: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What became of the probes; None where no ledger, or no capture, was given to say.

    `sent + never_sent + expected_missing` is the range of the ledger, and
    `sent = recorded + missing_in_range + outside_range`.

    Attributes:
        sent: ticks sent, by the ledger.
        never_sent: ticks of the ledger's range that it did not send.
        never_sent_spacing_s: from one such tick to the next.
        expected_missing: ticks that are not sent because their port is 0.
        seen: probes captured at the target.
        lost_on_wire: sent and not captured.
        recorded: ticks with a flow record.
        missing_in_range: sent between the first and the last recorded tick, and without a record.
        outside_range: sent before the first or after the last recorded tick.
        duplicates: records beyond the first for the same tick.
        not_in_ledger: records of ticks that the ledger did not send; they are in no other number.
    """

    sent: int | None
    never_sent: int | None
    never_sent_spacing_s: Spread | None
    expected_missing: int | None
    seen: int | None
    lost_on_wire: int | None
    recorded: int
    missing_in_range: int | None
    outside_range: int | None
    duplicates: int
    not_in_ledger: int | None
