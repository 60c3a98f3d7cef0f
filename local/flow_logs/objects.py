"""The objects that a flow log writes into S3: their keys and their bodies, as AWS documents them; no I/O.

https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html, read 2026-11.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from flowlag.plan import PARQUET
from flowlag.record import INTEGERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowlag.record import FlowRecord, RecordFormat, Value
    from local.flow_logs.records import Interface

RESERVED: Final = "AWSLogs"
"""The folder that every key has; a prefix may not."""

FILE_S: Final = 300
"""A file holds records whose `end` lies in the same five minutes. Its name says which; not when it comes.

These five minutes are never sped up: a name has no seconds. A service that is thirty times as fast writes thirty
files of the same name but for its hash.
"""

_BUCKET_ARN: Final = "arn:aws:s3:::"
_INT_32: Final = frozenset({"version", "srcport", "dstport", "protocol", "tcp-flags", "traffic-path"})
"""The Parquet type of these fields; other numbers are INT_64, and the rest is STRING (flow-log-records.html)."""

_ABSENT: Final = "-"


# ---------------------------------------------------------------- keys
@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Where in S3 a flow log delivers to, and how: its destination and its DestinationOptions."""

    bucket: str
    prefix: str
    file_format: str
    hive_compatible: bool
    per_hour: bool

    @classmethod
    def of_arn(cls, arn: str, *, file_format: str, hive_compatible: bool, per_hour: bool) -> Folder:
        """The folder of a LogDestination, as in `arn:aws:s3:::bucket/prefix`, with or without a `/` behind."""
        bucket, _, prefix = arn.removeprefix(_BUCKET_ARN).partition("/")
        return cls(
            bucket=bucket,
            prefix=prefix.strip("/"),
            file_format=file_format,
            hive_compatible=hive_compatible,
            per_hour=per_hour,
        )

    def path(self, account_id: str, region: str, second: int) -> str:
        """What precedes the names of files, `/` included; `second`, since the epoch, is about when records end."""
        at = datetime.fromtimestamp(second, UTC)
        if self.hive_compatible:
            parts = [f"aws-account-id={account_id}", "aws-service=vpcflowlogs", f"aws-region={region}"]
            parts += [f"year={at:%Y}", f"month={at:%m}", f"day={at:%d}", f"hour={at:%H}"]
        else:
            parts = [account_id, "vpcflowlogs", region, f"{at:%Y}", f"{at:%m}", f"{at:%d}", f"{at:%H}"]
        return "/".join([*filter(None, [self.prefix]), RESERVED, *(parts if self.per_hour else parts[:-1]), ""])

    def key(self, flow_log_id: str, interface: Interface, second: int, digest: str) -> str:
        """The key of a file.

        Args:
            flow_log_id: whose it is.
            interface: in which account and region.
            second: a multiple of `FILE_S`: where the five minutes begin that its records end in.
            digest: eight hexadecimal digits that tell files of the same five minutes apart.
        """
        account_id, region = interface.account_id, interface.region
        kind = "parquet" if self.file_format == PARQUET else "gz"
        at = datetime.fromtimestamp(second, UTC)
        name = f"{account_id}_vpcflowlogs_{region}_{flow_log_id}_{at:%Y%m%dT%H%MZ}_{digest}.log.{kind}"
        return self.path(account_id, region, second) + name


# ---------------------------------------------------------------- bodies
def body(file_format: str, record_format: RecordFormat, records: Sequence[FlowRecord]) -> bytes:
    """A file of flow records, in either format."""
    return parquet(record_format, records) if file_format == PARQUET else text(record_format, records)


def text(record_format: RecordFormat, records: Sequence[FlowRecord]) -> bytes:
    """A text file, gzipped as one member: the field names, then a line a record."""
    lines = [" ".join(record_format.names), *map(record_format.format, records)]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)


def parquet(record_format: RecordFormat, records: Sequence[FlowRecord]) -> bytes:
    """A Parquet file: a column a field, `_` for `-` in its name; gzip inside.

    Where a field says nothing a text has `-`, as the documentation has it; a number, which cannot, is null.
    """
    schema = pa.schema([(name.replace("-", "_"), _arrow_type(name)) for name in record_format.names])
    columns = [[_cell(name, record.fields.get(name)) for record in records] for name in record_format.names]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), sink, compression="gzip")
    contents: bytes = sink.getvalue().to_pybytes()
    return contents


def _arrow_type(name: str) -> Any:  # noqa: ANN401 - pyarrow carries no types
    if name not in INTEGERS:
        return pa.string()
    return pa.int32() if name in _INT_32 else pa.int64()


def _cell(name: str, value: Value) -> Value:
    return _ABSENT if value is None and name not in INTEGERS else value
