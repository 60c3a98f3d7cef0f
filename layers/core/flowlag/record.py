"""The flow record: one line of a flow log, in any format that AWS writes.

Fields and their versions follow the VPC user guide's "Flow log records" and, for version 6, the Transit Gateway
guide's; version 11 came on 2026-06-10. A format is given by the `LogFormat` of CreateFlowLogs, by the header of a
file in S3, or is the default one. `-` means that the field does not apply or could not be computed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from flowlag.errors import InvalidFormat, UnparsableRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

type Value = int | str | None

FIELDS_BY_VERSION: Mapping[int, tuple[str, ...]] = {
    2: (
        "version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol",
        "packets", "bytes", "start", "end", "action", "log-status",
    ),
    3: ("vpc-id", "subnet-id", "instance-id", "tcp-flags", "type", "pkt-srcaddr", "pkt-dstaddr"),
    4: ("region", "az-id", "sublocation-type", "sublocation-id"),
    5: ("pkt-src-aws-service", "pkt-dst-aws-service", "flow-direction", "traffic-path"),
    6: (
        "resource-type", "tgw-id", "tgw-attachment-id", "tgw-src-vpc-account-id", "tgw-dst-vpc-account-id",
        "tgw-src-vpc-id", "tgw-dst-vpc-id", "tgw-src-subnet-id", "tgw-dst-subnet-id", "tgw-src-eni",
        "tgw-dst-eni", "tgw-src-az-id", "tgw-dst-az-id", "tgw-pair-attachment-id", "packets-lost-no-route",
        "packets-lost-blackhole", "packets-lost-mtu-exceeded", "packets-lost-ttl-expired",
    ),
    7: (
        "ecs-cluster-arn", "ecs-cluster-name", "ecs-container-instance-arn", "ecs-container-instance-id",
        "ecs-container-id", "ecs-second-container-id", "ecs-service-name", "ecs-task-definition-arn",
        "ecs-task-arn", "ecs-task-id",
    ),
    8: ("reject-reason",),
    9: ("resource-id",),
    10: ("encryption-status",),
    11: (
        "interface-type", "next-hop-interface-id", "next-hop-subnet-id", "next-hop-az-id", "next-hop-vpc-id",
        "next-hop-interface-type", "instance-tag", "interface-tag",
    ),
}  # fmt: skip

INTEGERS = frozenset(
    {
        "version", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end", "tcp-flags",
        "traffic-path", "encryption-status", "packets-lost-no-route", "packets-lost-blackhole",
        "packets-lost-mtu-exceeded", "packets-lost-ttl-expired",
    }
)  # fmt: skip
"""Fields that hold a number. An account id does not: it may begin with zeros."""

VERSION_OF: Mapping[str, int] = {name: v for v, names in FIELDS_BY_VERSION.items() for name in names}

OK = "OK"
NODATA = "NODATA"
"""There was no traffic in the aggregation interval: the flow's fields are `-`."""
SKIPDATA = "SKIPDATA"
"""AWS skipped records in the interval, for lack of capacity or an internal error."""

ABSENT = "-"
"""A field that does not apply, or that could not be computed."""

_PLACEHOLDER = re.compile(r"\$\{([a-z0-9-]+)\}")
_MILLISECONDS_FROM = 100_000_000_000
"""A `start` beyond this many seconds (the year 5138) is given in milliseconds."""
_MOST_DIGITS = 15
"""No count or instant has more; within it, an instant in microseconds fits 64 bits."""
_NUMBER = f"[0-9]{{1,{_MOST_DIGITS}}}"
_WORD = "[^ ]+"
_NOT_ABSENT = f"(?!{ABSENT}(?: |$))"


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """One flow record: its fields by their AWS names, None where the log has `-`."""

    fields: Mapping[str, Value]

    def text(self, name: str) -> str | None:
        """A text field; None where it is absent or not part of the format."""
        value = self.fields.get(name)
        return None if value is None else str(value)

    def number(self, name: str) -> int | None:
        """A numeric field; None where it is absent or not part of the format."""
        value = self.fields.get(name)
        return value if isinstance(value, int) else None

    @property
    def status(self) -> str | None:
        """OK, NODATA or SKIPDATA."""
        return self.text("log-status")

    @property
    def window_start(self) -> int | None:
        """`start` in microseconds: the label of the capture window, not the time of a packet.

        AWS documents it as the first packet's time (flow-log-records.html, read 2026-11); in Episode 18's run A
        97.7 % of the records carry a `start` before their only packet was sent.
        """
        return _instant(self.number("start"))

    @property
    def window_end(self) -> int | None:
        """`end` in microseconds: the end of the capture window."""
        return _instant(self.number("end"))


def instant(value: int) -> int:
    """A `start` or an `end` in microseconds."""
    # Contra the documentation ("Unix seconds"), some records carry milliseconds:
    # https://github.com/obsrvbl-oss/flowlogs-reader, comment in flowlogs_reader.py, read 2026-11.
    return value * 1_000 if value >= _MILLISECONDS_FROM else value * 1_000_000


def _instant(value: int | None) -> int | None:
    return None if value is None else instant(value)


@dataclass(frozen=True)
class RecordFormat:
    """The fields of a flow log's lines, in order."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise InvalidFormat("the format names no field")
        unknown = [name for name in self.names if name not in VERSION_OF]
        if unknown:
            raise InvalidFormat(f"flow logs have no field '{unknown[0]}'")
        if len(set(self.names)) != len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise InvalidFormat(f"the format names the field '{twice}' twice")

    @classmethod
    def of_string(cls, log_format: str) -> RecordFormat:
        """The format that `LogFormat` asks for, as in `${version} ${interface-id} ${srcport}`."""
        names = []
        for each in log_format.split():
            name = _PLACEHOLDER.fullmatch(each)
            if name is None:
                raise InvalidFormat(f"'{each}' in the log format is not of the form ${{field}}")
            names.append(name[1])
        return cls(tuple(names))

    @classmethod
    def of_header(cls, line: str) -> RecordFormat:
        """The format that the header line of a file in S3 names. Parquet columns use `_` for `-`."""
        return cls(tuple(line.replace("_", "-").split()))

    @property
    def version(self) -> int:
        """What AWS writes into the `version` field: the highest version among the fields."""
        return max(VERSION_OF[name] for name in self.names)

    @property
    def log_format(self) -> str:
        """The format as `LogFormat` of CreateFlowLogs."""
        return " ".join(f"${{{name}}}" for name in self.names)

    @cached_property
    def status_index(self) -> int | None:
        """Where `log-status` stands, for readers that look before they parse."""
        return self.names.index("log-status") if "log-status" in self.names else None

    def mark(self, name: str, value: object) -> str:
        """What stands in every line whose field `name` is `value`, for readers that look before they parse."""
        before = "" if self.names[0] == name else " "
        after = "" if self.names[-1] == name else " "
        return f"{before}{value}{after}"

    def pattern(self, known: Mapping[str, str], picked: Collection[str]) -> re.Pattern[str]:
        """Matches lines that `parse` reads, in which the fields `known` have these values and none `picked` is `-`.

        The picked ones are groups, called like the fields with `_` for `-`. That of a field outside the format is
        empty.
        """

        def shape(name: str) -> str:
            if name in known:
                return re.escape(known[name])
            value = _NUMBER if name in INTEGERS else _WORD
            return f"({_group(name)}{_NOT_ABSENT}{value})" if name in picked else f"(?:{ABSENT}|{value})"

        outside = "".join(f"({_group(name)})" for name in picked if name not in self.names)
        return re.compile(" ".join(map(shape, self.names)) + outside)

    def status_of(self, line: str) -> str:
        """The log status of a line, told without parsing it; OK where the format has no such field.

        Raises:
            UnparsableRecord: it has more or fewer fields.
        """
        last, index = len(self.names) - 1, self.status_index
        if line.count(" ") != last:
            raise self._misfit(line)
        if index is None:
            return OK
        return line.rpartition(" ")[2] if index == last else line.split(" ", index + 1)[index]

    def parse(self, line: str) -> FlowRecord:
        """Read one line.

        Raises:
            UnparsableRecord: it has more or fewer fields, or text where a number belongs.
        """
        values = line.split(" ")
        if len(values) != len(self.names):
            raise self._misfit(line)
        return FlowRecord({name: _value(name, raw) for name, raw in zip(self.names, values, strict=True)})

    def _misfit(self, line: str) -> UnparsableRecord:
        return UnparsableRecord(f"the line has {line.count(' ') + 1} fields where its format has {len(self.names)}")

    def format(self, record: FlowRecord) -> str:
        """Write one line: the inverse of `parse`."""
        values = (record.fields.get(name) for name in self.names)
        return " ".join(ABSENT if value is None else str(value) for value in values)


def _group(name: str) -> str:
    return f"?P<{name.replace('-', '_')}>"


def _value(name: str, raw: str) -> Value:
    if raw == ABSENT:
        return None
    if name not in INTEGERS:
        if not raw:
            raise UnparsableRecord(f"the field '{name}' is empty")
        return raw
    if not (raw.isascii() and raw.isdecimal() and len(raw) <= _MOST_DIGITS):
        raise UnparsableRecord(f"the field '{name}' is '{raw[:40]}', not a number")
    return int(raw)


DEFAULT_FORMAT = RecordFormat(FIELDS_BY_VERSION[2])
"""What AWS writes where no `LogFormat` is given."""

PROBE_FORMAT = RecordFormat(
    (
        "version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol",
        "packets", "bytes", "start", "end", "action", "tcp-flags", "flow-direction", "instance-id",
        "pkt-srcaddr", "pkt-dstaddr", "az-id", "log-status",
    )
)  # fmt: skip
"""What flowlag asks for: the default fields, and those that tell a probe's direction, flags and zone."""
