"""Flow-log files as AWS writes them to S3: which records are probes. The files hold no time of delivery."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Sifted:
    """The probes among flow records, and how many records say SKIPDATA."""

    rows: list[Row]
    skipdata: int


def sift(records: Iterable[FlowRecord], port: int, rate: int) -> Sifted:
    """Tell the probes to `port` among `records`."""
    rows: list[Row] = []
    skipdata = 0
    for record in records:
        if record.status == SKIPDATA:
            skipdata += 1
        elif row := _row(record, port, rate):
            rows.append(row)
    return Sifted(rows, skipdata)


def _row(record: FlowRecord, port: int, rate: int) -> Row | None:
    """The probe in a record, or None.

    A flow log does not say which run it reports, so a signature cannot be checked. But a probe has a payload. The
    target's refusal of one has none, and would be taken for a probe where it goes to the target's own port.
    """
    number = record.number
    srcport, packets, size, start = number("srcport"), number("packets"), number("bytes"), record.window_start
    if (
        number("dstport") != port
        or number("protocol") != TCP
        or srcport is None
        or srcport >= PORTS
        or packets is None
        or size is None
        or size <= HEADERS_BYTES * packets
        or start is None
    ):
        return None
    tick = decode(srcport, start, rate)
    return Row(tick, due_at(tick, rate), start, None)
