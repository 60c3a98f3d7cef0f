"""S3: the objects that a flow log delivers, and the records in them.

An object is one delivery: what it holds became visible at its `LastModified`. Its key ends in

    <account>_vpcflowlogs_<region>_<flow log>_<yyyymmddThhmmZ>_<hash>.log.gz (or .log.parquet)

below folders that depend on the day, and on whether they are hive-compatible or one an hour
(https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html, read 2026-11). A run may last over
midnight, and an arm's prefix is its own: so everything below it is listed.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from contextlib import closing
from dataclasses import replace
from functools import partial
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from flowlag.errors import FlowlagError, InvalidFormat, UnparsableRecord
from flowlag.glance import CHUNK_BYTES, TextReader
from flowlag.probe import Sifted, Unparsable
from flowlag.record import RecordFormat
from flowlag_aws import clients
from flowlag_aws.clock import micros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flowlag.glance import Glance
    from flowlag.instants import Micros
    from flowlag.probe import ProbeFilter

LONGEST_HEADER: Final = 65_536


class NotAFlowLog(FlowlagError):
    """An object is not what a flow log delivers, or not all of it."""


def sift(bucket: str, prefix: str, flow_log_id: str, probes: ProbeFilter, *, until: Micros | None = None) -> Sifted:
    """Tell the records of a flow log apart, each with the `LastModified` of its object.

    All counts are of records, also where objects are read only to be counted: those of other flow logs, by their
    keys, are `stale`, for a deleted one goes on delivering for minutes.

    Args:
        bucket: where the flow log delivers to.
        prefix: the folder in it.
        flow_log_id: of the flow log.
        probes: which records are ours; its `since` is when the flow log was created.
        until: objects that came later are `late`: the run was closed by then.
    """
    sifted = Sifted()
    for key, delivered_at in _objects(bucket, prefix):
        with closing(clients.s3().get_object(Bucket=bucket, Key=key)["Body"]) as body:
            found = sift_object(key, cast("BinaryIO", body), delivered_at, probes)
        if until is not None and delivered_at > until:
            sifted.late += sum(found.counts().values())
        elif f"_{flow_log_id}_" not in _name(key):
            sifted.stale += sum(found.counts().values())
        else:
            sifted.add(found)
    return sifted


def sift_object(key: str, body: BinaryIO, delivered_at: Micros, probes: ProbeFilter) -> Sifted:
    """Tell the records of one object apart. A record's id is the object's name and its number in there, from 1.

    An object that cannot be read, or not to its end, is quarantined under its name; what was read of it counts. It
    is a first delivery if it holds a probe, or begins with a record that is not stale.

    Args:
        key: the object's.
        body: what it holds; only read, and not to the end where it is damaged.
        delivered_at: its `LastModified`.
        probes: which records are ours, whatever the object's own format is.
    """
    sifted = Sifted()
    is_current = False
    try:
        for glance in _reader(key)(body, probes.target_port):
            of_object = replace(probes, record_format=glance.record_format)
            found = of_object.sift(
                (f"{_name(key)}#{number}", line, delivered_at) for number, line in glance.doubtful
            )
            found.foreign += glance.foreign
            found.nodata += glance.nodata
            found.skipdata += glance.skipdata
            sifted.add(found)
            is_current = is_current or bool(found.probes) or _begins_current(glance, of_object)
    except NotAFlowLog as reason:
        read = sum(sifted.counts().values())
        sifted.unparsable.append(Unparsable(_name(key), key, f"{reason}; records that could be read: {read}"))
    if is_current:
        sifted.first_record_at = delivered_at
    return sifted


def _objects(bucket: str, prefix: str) -> Iterator[tuple[str, Micros]]:
    # With a slash at its end, for one arm's name may be the beginning of another's.
    folder = f"{prefix.rstrip('/')}/"
    pages = clients.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder)
    for page in pages:
        for each in page.get("Contents", []):
            if each["Key"].endswith(tuple(_READERS)):
                yield each["Key"], micros(each["LastModified"])


def _name(key: str) -> str:
    """The last part of a key. There is a hash in it: no two objects have the same."""
    return key.rpartition("/")[2]


def _begins_current(glance: Glance, probes: ProbeFilter) -> bool:
    """Whether a file begins with these records, and the first does not say that it is stale."""
    number, line = next(iter(glance.doubtful), (0, ""))
    if number != 1:
        return False
    try:
        start = probes.record_format.parse(line).window_start
    except UnparsableRecord:
        return True
    return start is None or not probes.is_stale(start)


# ---------------------------------------------------------------- what is in an object
def _reader(key: str) -> Callable[[BinaryIO, int], Iterator[Glance]]:
    return next(reader for suffix, reader in _READERS.items() if key.endswith(suffix))


def _text(body: BinaryIO, port: int) -> Iterator[Glance]:
    with gzip.GzipFile(fileobj=body, mode="rb") as text:
        try:
            header = text.readline(LONGEST_HEADER).decode(errors="backslashreplace")
            reader = TextReader(RecordFormat.of_header(header), port)
            yield from reader.glances(iter(partial(text.read1, CHUNK_BYTES), b""))
        except InvalidFormat as reason:
            raise NotAFlowLog(f"its first line does not name the fields of a flow log ({reason!s:.200})") from None
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise NotAFlowLog("it is damaged or cut short as a gzip file") from None


def _parquet(body: BinaryIO, port: int) -> Iterator[Glance]:
    from flowlag_aws import flow_log_parquet  # noqa: PLC0415 - arms in text need no pyarrow, and it takes its time

    # The index of a Parquet file is at its end. In memory it might be large; AWS closes a file at 75 MB.
    with TemporaryFile() as file:
        shutil.copyfileobj(body, file)
        try:
            with flow_log_parquet.opened(file) as opened:
                yield from flow_log_parquet.glances(opened, flow_log_parquet.format_of(opened), port)
        except (InvalidFormat, flow_log_parquet.Damaged) as reason:
            raise NotAFlowLog(f"it is not a flow log in Parquet ({reason!s:.200})") from None


_READERS: Final[Mapping[str, Callable[[BinaryIO, int], Iterator[Glance]]]] = {
    ".log.gz": _text,
    ".log.parquet": _parquet,
}
