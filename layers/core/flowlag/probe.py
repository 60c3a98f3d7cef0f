"""The probe, as a flow log reports it: which records are ours, and which tick each one carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from sys import intern
from typing import TYPE_CHECKING, Final, NamedTuple

from flowlag.errors import StampDisagreement, UnparsableRecord
from flowlag.record import NODATA, OK, SKIPDATA, FlowRecord, RecordFormat, instant
from flowlag.signature import is_signed
from flowlag.stamp import PORTS, decode_delivered, due_at

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable

    from flowlag.instants import Micros
    from flowlag.plan import RunPlan

TCP = 6


class Probe(NamedTuple):
    """A probe read from its flow record. Instants in microseconds."""

    tick: int
    srcport: int
    due_at: Micros
    window_start: Micros
    window_end: Micros | None
    packets: int
    bytes: int
    tcp_flags: int | None
    action: str | None
    log_status: str | None


class Event(NamedTuple):
    """One delivered message: the destination's id for it, its text, and when it was delivered (microseconds).

    `delivered_at` is the destination's ingestion time, or when we received it where that is all we know.
    """

    event_id: str
    message: str
    delivered_at: Micros


type Delivered = tuple[str, str, Micros]
"""An event's three values bare; thousands come at once. An `Event` is one, too."""


class Unparsable(NamedTuple):
    """A delivered message that could not be read, whole, and why."""

    event_id: str
    message: str
    reason: str


@dataclass(slots=True)
class Sifted:
    """Records of a flow log, told apart.

    Attributes:
        probes: ours, each with the event that reported it.
        unparsable: what could not be read, whole.
        foreign: how many records are of other traffic.
        nodata: how many say that there was no traffic.
        skipdata: how many say that AWS skipped records.
        stale: how many are older than the flow log: an older one's, which goes on delivering for minutes.
        late: how many came after the run was closed.
        first_record_at: delivery of the earliest record of any kind; None where nobody has looked, or none came.
    """

    probes: list[tuple[Event, Probe]] = field(default_factory=list)
    unparsable: list[Unparsable] = field(default_factory=list)
    foreign: int = 0
    nodata: int = 0
    skipdata: int = 0
    stale: int = 0
    late: int = 0
    first_record_at: Micros | None = None

    def add(self, other: Sifted) -> None:
        """Take in what was found elsewhere in the same flow log."""
        self.probes += other.probes
        self.unparsable += other.unparsable
        self.foreign += other.foreign
        self.nodata += other.nodata
        self.skipdata += other.skipdata
        self.stale += other.stale
        self.late += other.late
        firsts = [at for at in (self.first_record_at, other.first_record_at) if at is not None]
        self.first_record_at = min(firsts, default=None)

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {
            "probes": len(self.probes),
            "foreign": self.foreign,
            "nodata": self.nodata,
            "skipdata": self.skipdata,
            "stale": self.stale,
            "unparsable": len(self.unparsable),
        }


STALE_TOLERANCE_US: Final = 60_000_000
"""A capture window may have begun so long before the flow log that reports it."""


_READ: Final = ("srcport", "packets", "bytes", "start", "end", "tcp-flags", "action", "log-status")
_NEEDED: Final = frozenset({"interface-id", "dstport", "protocol", *_READ[:4]})
_GROUPS: Final = tuple(name.replace("-", "_") for name in _READ)

type _Read = tuple[int, int, int, Micros, Micros | None, int | None, str | None, str | None]
"""The fields `_READ` of a record of our interface, port and protocol; the instants in microseconds."""


@dataclass(frozen=True, slots=True)
class ProbeFilter:
    """Which records are probes of one run: its sender's interface, its target's port and its signature.

    `since` is when the flow log was created, where that is known; what it reports of earlier windows is stale.
    """

    record_format: RecordFormat
    interface_id: str
    target_port: int
    payload_bytes: int
    rate: int
    since: Micros | None = None

    @classmethod
    def of(cls, plan: RunPlan, since: Micros | None = None) -> ProbeFilter:
        """The filter of a run, for a flow log that was created at `since`."""
        return cls(
            RecordFormat.of_string(plan.log_format),
            plan.interface_id,
            plan.target_port,
            plan.payload_bytes,
            plan.rate,
            since,
        )

    def is_stale(self, window_start: Micros) -> bool:
        """Whether a record of this capture window is older than the flow log."""
        return self.since is not None and window_start < self.since - STALE_TOLERANCE_US

    def sift(self, events: Iterable[Delivered]) -> Sifted:
        """Tell events apart.

        In a busy log most records are foreign, and parsing is what costs. So one that a glance shows to be whole,
        OK by its last field and without our port is only counted.
        """
        sifted = Sifted()
        mark = self.record_format.mark("dstport", self.target_port)
        last, ok = len(self.record_format.names) - 1, f" {OK}"
        may_glance = self.record_format.status_index == last
        usual = self._usual()
        foreign = 0
        for event_id, message, delivered_at in events:
            if may_glance and mark not in message and message.endswith(ok) and message.count(" ") == last:
                foreign += 1
            else:
                self._sift_doubtful(sifted, Event(event_id, message, delivered_at), mark, usual)
        sifted.foreign += foreign
        return sifted

    def _sift_doubtful(self, sifted: Sifted, event: Event, mark: str, usual: re.Pattern[str] | None) -> None:
        try:
            if mark in event.message:
                self._sift_candidate(sifted, event, usual)
            else:
                self._sift_rest(sifted, event.message)
        except (UnparsableRecord, StampDisagreement) as reason:
            sifted.unparsable.append(Unparsable(event.event_id, event.message, str(reason)))

    def _sift_candidate(self, sifted: Sifted, event: Event, usual: re.Pattern[str] | None) -> None:
        match = usual and usual.fullmatch(event.message)
        probe = (
            self._probe(_read(match), event.delivered_at)
            if match
            else self.probe(self.record_format.parse(event.message), event.delivered_at)
        )
        if probe is None:
            sifted.foreign += 1
        elif self.is_stale(probe.window_start):
            sifted.stale += 1
        else:
            sifted.probes.append((event, probe))

    def _sift_rest(self, sifted: Sifted, message: str) -> None:
        status = self.record_format.status_of(message)
        if status == OK:
            sifted.foreign += 1
        elif status == NODATA:
            sifted.nodata += 1
        elif status == SKIPDATA:
            sifted.skipdata += 1
        else:
            raise UnparsableRecord(f"the log status is '{status[:40]}'")

    def probe(self, record: FlowRecord, delivered_at: Micros) -> Probe | None:
        """The probe in `record`, or None if the record is not one of ours.

        Raises:
            UnparsableRecord: it is ours by every other sign, but its source port is none.
            StampDisagreement: it is ours by every sign, but its tick cannot be told.
        """
        number = record.number
        srcport, packets, size, start = (
            number("srcport"),
            number("packets"),
            number("bytes"),
            record.window_start,
        )
        if (
            record.text("interface-id") != self.interface_id
            or number("dstport") != self.target_port
            or number("protocol") != TCP
            or srcport is None
            or packets is None
            or size is None
            or start is None
        ):
            return None
        rest = record.window_end, number("tcp-flags"), record.text("action"), record.status
        return self._probe((srcport, packets, size, start, *rest), delivered_at)

    def _usual(self) -> re.Pattern[str] | None:
        """Matches nearly any probe's line, in a third of the time of parsing. What it does not match is parsed."""
        if not _NEEDED.issubset(self.record_format.names):
            return None
        known = {"interface-id": self.interface_id, "dstport": str(self.target_port), "protocol": str(TCP)}
        return self.record_format.pattern(known, _READ)

    def _probe(self, read: _Read, delivered_at: Micros) -> Probe | None:
        srcport, packets, size, start, end, flags, action, status = read
        if not is_signed(size, packets, self.payload_bytes):
            return None
        if srcport >= PORTS:
            raise UnparsableRecord(f"the source port is {srcport}")
        tick = decode_delivered(srcport, start, delivered_at, self.rate)
        return Probe(tick, srcport, due_at(tick, self.rate), start, end, packets, size, flags, action, status)


def _read(match: re.Match[str]) -> _Read:
    srcport, packets, size, start, end, flags, action, status = match.group(*_GROUPS)
    return (
        int(srcport),
        int(packets),
        int(size),
        instant(int(start)),
        instant(int(end)) if end else None,
        int(flags) if flags else None,
        intern(action) if action else None,
        intern(status) if status else None,
    )
