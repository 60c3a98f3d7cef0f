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
    from collections.abc import Iterable
    from pathlib import Path

    from flowlag.glance import Glance

NEEDED: Final = ("srcport", "dstport", "protocol", "packets", "bytes", "start")


def is_header(line: str) -> bool:
    """Whether a first line names fields of a flow log."""
    return "," not in line and not VERSION_OF.keys().isdisjoint(line.split())


def format_of(path: Path, header: str) -> RecordFormat:
    """The format that the header line of a text names.

    Raises:
        UnusableInput: flow logs have no such field, or one is missing by which probes are told.
    """
    try:
        record_format = RecordFormat.of_header(header)
    except InvalidFormat as reason:
        raise UnusableInput(f"the header line of '{path}' is not one of a flow log: {reason}") from None
    require(path, record_format)
    return record_format


def require(path: Path, record_format: RecordFormat) -> None:
    """Refuse a flow log that lacks a field by which probes are told.

    Raises:
        UnusableInput: it does, and which one.
    """
    for needed in NEEDED:
        if needed not in record_format.names:
            raise UnusableInput(f"the flow log '{path}' lacks the field '{needed}', by which probes are told")


@dataclass(frozen=True, slots=True)
class Sifted:
    """The probes among flow records, and how many records say SKIPDATA."""

    rows: list[Row]
    skipdata: int


def sift(path: Path, glances: Iterable[Glance], port: int, rate: int, *, header_lines: int) -> Sifted:
    """Tell the probes to `port` among the records of a file, which begin after `header_lines`.

    Raises:
        UnusableInput: a record is not one of the file's format.
    """
    rows: list[Row] = []
    skipdata = 0
    for glance in glances:
        skipdata += glance.skipdata
        for number, line in glance.doubtful:
            try:
                record = glance.record_format.parse(line.rstrip("\r"))
            except UnparsableRecord as reason:
                line_number = number + header_lines
                raise UnusableInput(f"line {line_number} of '{path}' is not a flow record: {reason}") from None
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
