"""A glance at the records of a flow-log file: in a busy log most are foreign, and parsing is what costs.

Where a glance is enough, records are only counted. The others come as lines, whatever the file's format is, so that
one judge decides about the records of every destination.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from flowlag.errors import UnparsableRecord
from flowlag.record import NODATA, OK, SKIPDATA, RecordFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STATUSES: Final = (OK, NODATA, SKIPDATA)

CHUNK_BYTES: Final = 262_144
"""What a `TextReader` is best given at once: less is slower, and more is not faster."""


@dataclass(frozen=True, slots=True)
class Glance:
    """Records that follow one another in a file.

    Attributes:
        record_format: of the lines.
        foreign: how many are OK, and not to the port that was looked for.
        nodata: how many say that there was no traffic.
        skipdata: how many say that AWS skipped records.
        doubtful: the others, in order, each with its number in the file: they may be to the port, or cannot be
            read. The first record of a file, which is number 1, is always among them: its age is the file's.
    """

    record_format: RecordFormat
    foreign: int = 0
    nodata: int = 0
    skipdata: int = 0
    doubtful: list[tuple[int, str]] = field(default_factory=list)

    @property
    def records(self) -> int:
        """How many there are."""
        return self.foreign + self.nodata + self.skipdata + len(self.doubtful)


@dataclass(frozen=True)
class TextReader:
    """Reads the text of a flow-log file after its header.

    Where `log-status` is the last field, as AWS and flowlag have it, the lines of a chunk are told together by how
    they end. Whether a record that ends well, and is not to the port, has its number of fields is not checked:
    nothing of ours could be in it, and to look would take an eighth longer.
    """

    record_format: RecordFormat
    port: int

    def glances(self, chunks: Iterable[bytes]) -> Iterator[Glance]:
        r"""Glance at the records of a text, wherever it was cut into chunks.

        Bytes that are not UTF-8 come as `\xff`. Where `chunks` raises, the line that this cuts is no record.
        """
        number = 1
        for block in _whole_lines(chunks):
            lines = block
            if number == 1:
                first, _, lines = block.partition(b"\n")
                yield Glance(self.record_format, doubtful=[(number, _text(first))])
                number += 1
            glance = self._together(lines, number) or self._one_by_one(lines, number)
            number += glance.records
            yield glance

    @cached_property
    def _mark(self) -> str:
        return self.record_format.mark("dstport", self.port)

    @cached_property
    def _ends(self) -> dict[str, str]:
        """How a line ends by its status; empty where the status is not the last field."""
        is_last = self.record_format.status_index == len(self.record_format.names) - 1
        return {f" {status}": status for status in STATUSES} if is_last else {}

    def _together(self, lines: bytes, first: int) -> Glance | None:
        """Glance at whole lines, the first of which has the number `first`; None where an end tells no status."""
        marked, end = self._marked(lines, first)
        statuses = self._statuses(lines, end - first)
        if statuses.total() < end - first:
            return None
        statuses -= self._statuses(b"".join(line for _, line in marked), len(marked))
        return self._glance(statuses, [(number, _text(line[:-1])) for number, line in marked])

    def _marked(self, lines: bytes, number: int) -> tuple[list[tuple[int, bytes]], int]:
        """The lines that bear the mark, with their numbers, and the number of the line after the last."""
        mark = self._mark.encode()
        marked = []
        begin = 0
        while (at := lines.find(mark, begin)) >= 0:
            start, end = max(begin, lines.rfind(b"\n", begin, at) + 1), lines.index(b"\n", at) + 1
            number += lines.count(b"\n", begin, start)
            marked.append((number, lines[start:end]))
            number, begin = number + 1, end
        return marked, number + lines.count(b"\n", begin)

    def _statuses(self, lines: bytes, count: int) -> Counter[str]:
        """How many of `count` lines have each status, as far as their ends tell one."""
        statuses: Counter[str] = Counter()
        for end, status in self._ends.items():
            if statuses.total() < count:
                statuses[status] = lines.count(f"{end}\n".encode())
        return statuses

    def _one_by_one(self, lines: bytes, first: int) -> Glance:
        statuses: Counter[str] = Counter()
        doubtful = []
        for number, line in enumerate(_text(lines).split("\n")[:-1], first):
            status = self._status(line)
            if status is None or self._mark in line:
                doubtful.append((number, line))
            else:
                statuses[status] += 1
        return self._glance(statuses, doubtful)

    def _status(self, line: str) -> str | None:
        """The status of a line; None where it has none that is known, or fields that are seen to be wrong."""
        if self._ends:
            return self._ends.get(line[line.rfind(" ") :])
        try:
            status = self.record_format.status_of(line)
        except UnparsableRecord:
            return None
        return status if status in STATUSES else None

    def _glance(self, statuses: Counter[str], doubtful: list[tuple[int, str]]) -> Glance:
        return Glance(self.record_format, statuses[OK], statuses[NODATA], statuses[SKIPDATA], doubtful)


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes cut behind line feeds; a last line without one gets it."""
    rest = b""
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
    if rest:
        yield rest + b"\n"


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")
