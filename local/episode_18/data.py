"""What Episode 18 published of its run A, read whole, and checked to be what the page tells of."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flowlag.stamp import encode
from flowlag_report import rows
from local import sources
from local.analysis import analyze
from local.sources import UnusableInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from local.sources import Dataset, SentTicks, Series

EXPORT: Final = "logs-insights-results.csv"
LEDGER: Final = "test3A.csv"
CAPTURE: Final = "tcpdump.pcap"
LISTED: Final = "missingSrcPorts.csv"

# What the write-up says in words or shows in a screenshot; no file has it.
SETTING: Final = "t2.micro to CloudWatch Logs, aggregation interval 600 s"
PORT: Final = 7777
RATE: Final = 1
ROW_LIMIT: Final = 10_000
"""Of the query, and of the console."""
MATCHED: Final = 10_706
"""How many records the console found."""
BY_HAND: Final = 1
"""Packets that were sent by hand, hours later. Its record sorted first, and was taken out of the export."""

SECOND: Final = 1_000_000


@dataclass(frozen=True)
class Fates:
    """The ticks of the run, by what became of them: each is in one of these."""

    recorded: frozenset[int]
    before: frozenset[int]
    beyond: frozenset[int]
    never_sent: frozenset[int]
    lost: frozenset[int]


@dataclass(frozen=True)
class Episode:
    """Run A.

    Attributes:
        dataset: the export.
        ledger: the sender's log.
        analysis: what `flowlag analyze --json` says of the two and the capture.
        listed: the source ports that the write-up calls missing.
    """

    dataset: Dataset
    ledger: SentTicks
    analysis: Mapping[str, Any]
    listed: Sequence[int]

    @property
    def records(self) -> Series:
        """The flow records, in order of their windows."""
        return self.dataset.series[0]

    @cached_property
    def windows(self) -> list[rows.Row]:
        """Its capture windows, as charts draw them."""
        return rows.windows(self.records.sent_at, self.records.window_start, self.records.ingested_at)

    @cached_property
    def fates(self) -> Fates:
        """What became of every tick from the first to the last of the sender's log."""
        recorded = frozenset(self.records.ticks.tolist())
        unrecorded = self.ledger.sent - recorded
        before = frozenset(tick for tick in unrecorded if tick < min(recorded))
        beyond = frozenset(tick for tick in unrecorded if tick > max(recorded))
        return Fates(
            recorded=recorded,
            before=before,
            beyond=beyond,
            never_sent=frozenset(range(self.ledger.first, self.ledger.last + 1)) - self.ledger.sent,
            lost=unrecorded - before - beyond,
        )

    @property
    def skipped_in_export(self) -> list[int]:
        """The ticks that were never sent, of those between the first and the last exported row."""
        first, last = min(self.fates.recorded), max(self.fates.recorded)
        return sorted(tick for tick in self.fates.never_sent if first < tick < last)

    @cached_property
    def window_s(self) -> float:
        """How far apart the capture windows are: the slope of their labels, which are cut to whole seconds."""
        labels = np.unique(self.records.window_start)
        return float(np.polyfit(np.arange(len(labels)), (labels - labels[0]) / SECOND, 1)[0])


def read(folder: Path) -> Episode:
    """Read Episode 18's data.

    Raises:
        UnusableInput: a file is missing or unusable, or this is other data than the page tells of.
    """
    for name in (EXPORT, LEDGER, CAPTURE, LISTED):
        if not (folder / name).is_file():
            raise UnusableInput(f"'{folder}' lacks '{name}': give the folder that holds Episode 18's data")
    dataset = sources.read([folder / EXPORT], port=PORT, rate=RATE)
    ledger = sources.read_ledger(folder / LEDGER, RATE)
    captured = sources.read_capture(folder / CAPTURE, PORT, RATE)
    analysis = analyze(dataset, ledger=ledger, captured=captured).as_json()
    episode = Episode(dataset, ledger, analysis, _listed(folder / LISTED))
    _check(episode)
    return episode


def _listed(path: Path) -> list[int]:
    with path.open(encoding="utf-8", newline="") as lines:
        try:
            return [int(line[0]) for line in csv.reader(lines)]
        except (ValueError, IndexError, csv.Error):
            raise UnusableInput(f"'{path}' is not a list of source ports, one a line") from None


def _check(episode: Episode) -> None:
    """Hold the data against what the prose takes for granted: of other data it would not be true."""
    loss, fates = episode.analysis["loss"], episode.fates
    for holds, otherwise in (
        (episode.analysis["n_runs"] == 1, "it has several runs"),
        (not fates.lost and not loss["lost_on_wire"] and not loss["duplicates"], "packets are lost or doubled"),
        (
            episode.listed == [encode(tick) for tick in episode.skipped_in_export],
            f"'{LISTED}' lists other ports than the sender skipped",
        ),
        (len(fates.recorded) + BY_HAND == ROW_LIMIT, "it does not end at the row limit"),
        (
            len(episode.ledger.sent) - len(fates.before) + BY_HAND == MATCHED,
            "the console matched another number of records",
        ),
    ):
        if not holds:
            raise UnusableInput(f"this is not Episode 18's run A, of which the page tells: {otherwise}")
