"""Flow-log files as AWS writes them to S3: which records are probes. The files hold no time of delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flowlag.errors import InvalidFormat, UnparsableRecord
from flowlag.probe import TCP
from flowlag.record import SKIPDATA, VERSION_OF, FlowRecord, RecordFormat
from flowlag.signature import HEADERS_BYTES
from flowlag.stamp import PORTS, decode, due_at
from local.sources.dataset import Row, UnusableInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NEEDED: Final = ("srcport", "dstport", "protocol", "packets", "bytes", "start")


def is_header(line: str) -> bool:
    """Whether a first line names fields of a flow log."""
    return "," not in line and not VERSION_OF.keys().isdisjoint(line.split())


def require(path: Path, names: Iterable[str]) -> None:
    """Refuse a flow log that lacks a field by which probes are told.

    Raises:
        UnusableInput: it does, and which one.
    """
    for needed in NEEDED:
        if needed not in names:
            raise UnusableInput(f"the flow log '{path}' lacks the field '{needed}', by which probes are told")


def candidates(path: Path, header: str, lines: Iterable[str], port: int) -> Iterator[FlowRecord]:
    """The records of a text file that may be probes to `port`, and those that say SKIPDATA.

    A substring test decides first: in a busy log most records are foreign, and parsing is what costs.

    Raises:
        UnusableInput: a line is not a record of the format that the header names.
    """
    try:
        record_format = RecordFormat.of_header(header)
    except InvalidFormat as reason:
        raise UnusableInput(f"the header line of '{path}' is not one of a flow log: {reason}") from None
    require(path, record_format.names)
    spaces = len(record_format.names) - 1
    for number, line in enumerate(lines, start=2):
        record = line.rstrip("\r\n")
        if f" {port} " not in f" {record} " and SKIPDATA not in record and record.count(" ") == spaces:
            continue
        try:
            yield record_format.parse(record)
        except UnparsableRecord as reason:
            raise UnusableInput(f"line {number} of '{path}' is not a flow record: {reason}") from None


class Sieve:
    """Collects the probes to `port` among flow records, and counts the SKIPDATA ones.

    A file of one flow log does not say which run sent a probe, so the signature cannot be checked; but a probe
    has a payload, which the target's refusal (an RST, to the same port for the one probe from it) has not.
    """

    def __init__(self, port: int, rate: int) -> None:
        self.rows: list[Row] = []
        self.skipdata = 0
        self._port = port
        self._rate = rate

    def sift(self, records: Iterable[FlowRecord]) -> None:
        """Take what belongs here from `records`."""
        for record in records:
            if record.status == SKIPDATA:
                self.skipdata += 1
            elif row := self._row(record):
                self.rows.append(row)

    def _row(self, record: FlowRecord) -> Row | None:
        number = record.number
        srcport, packets, size, start = (
            number("srcport"),
            number("packets"),
            number("bytes"),
            record.window_start,
        )
        if (
            number("dstport") != self._port
            or number("protocol") != TCP
            or srcport is None
            or packets is None
            or size is None
            or start is None
            or not srcport < PORTS
            or size <= HEADERS_BYTES * packets
        ):
            return None
        tick = decode(srcport, start, self._rate)
        return Row(tick, due_at(tick, self._rate), start, None)
