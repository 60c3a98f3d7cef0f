"""Objects as AWS delivers them: flow records in gzipped text and in Parquet, under the keys of every layout."""

import gzip
from collections.abc import Sequence
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq

from flowlag.probe import ProbeFilter, Sifted
from flowlag.record import INTEGERS, PROBE_FORMAT, FlowRecord, RecordFormat
from tests.flow_records import DELIVERED_AT, OURS, PORT, WITHOUT_TRAFFIC, Record

FLOW_LOG = "fl-0123456789abcdef0"
FOREIGN: Record = {"dstport": 443}
REFUSAL: Record = {"srcport": PORT, "dstport": 4_184, "bytes": 40}
NODATA: Record = {"log-status": "NODATA", **WITHOUT_TRAFFIC}
SKIPDATA: Record = {"log-status": "SKIPDATA", **WITHOUT_TRAFFIC}
_THIRTY_TWO_BITS = ("version", "srcport", "dstport", "protocol", "tcp-flags")


def lines_of(records: Sequence[Record], record_format: RecordFormat = PROBE_FORMAT) -> list[str]:
    return [record_format.format(FlowRecord(each)) for each in records]


def text(lines: Sequence[str | bytes], record_format: RecordFormat = PROBE_FORMAT) -> bytes:
    """The object before it is gzipped."""
    encoded = [each.encode() if isinstance(each, str) else each for each in lines]
    return b"".join(each + b"\n" for each in [" ".join(record_format.names).encode(), *encoded])


def gzipped(records: Sequence[Record], record_format: RecordFormat = PROBE_FORMAT) -> bytes:
    return gzip.compress(text(lines_of(records, record_format), record_format))


def parquet(
    records: Sequence[Record], record_format: RecordFormat = PROBE_FORMAT, *, row_group: int = 1_000_000
) -> bytes:
    """AWS's types: INT_32, INT_64 and STRING; a number that is absent is null."""
    columns = {
        name.replace("-", "_"): pa.array(
            [each[name] if name in INTEGERS else each[name] or "-" for each in records],
            pa.string() if name not in INTEGERS else pa.int32() if name in _THIRTY_TWO_BITS else pa.int64(),
        )
        for name in record_format.names
    }
    return written(pa.table(columns), row_group=row_group)


def written(table: pa.Table, *, row_group: int = 1_000_000) -> bytes:
    file = BytesIO()
    pq.write_table(table, file, row_group_size=row_group, compression="gzip")
    return file.getvalue()


def key(
    minute: str, digest: str = "fe123456", *, flow_log: str = FLOW_LOG, layout: str = "{day}", kind: str = "gz"
) -> str:
    """The key, below the prefix, of the records that ended in the five minutes from `minute` (`yyyymmddThhmm`).

    `layout` has `{day}` and `{hour}` where AWS puts them.
    """
    day, hour = f"{minute[:4]}/{minute[4:6]}/{minute[6:8]}", minute[9:11]
    name = f"012345678901_vpcflowlogs_us-east-1_{flow_log}_{minute}Z_{digest}.log.{kind}"
    return f"AWSLogs/{layout.format(day=day, hour=hour)}/{name}"


def sift_every(name: str, lines: Sequence[str], record_format: RecordFormat) -> Sifted:
    """What sifting every line of an object gives."""
    events = [(f"{name}#{number}", line, DELIVERED_AT) for number, line in enumerate(lines, 1)]
    return ProbeFilter(record_format, OURS.interface_id, PORT, OURS.payload_bytes, OURS.rate, OURS.since).sift(
        events
    )
