"""The probe, as a flow log reports it: which records are ours, and which tick each one carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from flowlag.errors import StampDisagreement, UnparsableRecord
from flowlag.record import NODATA, OK, SKIPDATA, FlowRecord, RecordFormat
from flowlag.signature import is_signed
from flowlag.stamp import PORTS, decode_delivered, due_at

if TYPE_CHECKING:
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
    """Events of a flow log, told apart."""

    probes: list[tuple[Event, Probe]] = field(default_factory=list)
    unparsable: list[Unparsable] = field(default_factory=list)
    foreign: int = 0
    nodata: int = 0
    skipdata: int = 0

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {
            "probes": len(self.probes),
            "foreign": self.foreign,
            "nodata": self.nodata,
            "skipdata": self.skipdata,
            "unparsable": len(self.unparsable),
        }


@dataclass(frozen=True, slots=True)
class ProbeFilter:
    """Which records are probes of one run: its sender's interface, its target's port and its signature."""

    record_format: RecordFormat
    interface_id: str
    target_port: int
    payload_bytes: int
    rate: int

    @classmethod
    def of(cls, plan: RunPlan) -> ProbeFilter:
        """The filter of a run."""
        return cls(
            RecordFormat.of_string(plan.log_format),
            plan.interface_id,
            plan.target_port,
            plan.payload_bytes,
            plan.rate,
        )

    def sift(self, events: Iterable[Delivered]) -> Sifted:
        """Tell events apart.

        In a busy log most records are foreign, and parsing is what costs. So one that a glance shows to be whole,
        OK by its last field and without our port is only counted.
        """
        sifted = Sifted()
        needle, last, ok = self._needle(), len(self.record_format.names) - 1, f" {OK}"
        may_glance = self.record_format.status_index == last
        foreign = 0
        for event_id, message, delivered_at in events:
            if may_glance and needle not in message and message.endswith(ok) and message.count(" ") == last:
                foreign += 1
            else:
                self._sift_doubtful(sifted, Event(event_id, message, delivered_at), needle)
        sifted.foreign += foreign
        return sifted

    def _sift_doubtful(self, sifted: Sifted, event: Event, needle: str) -> None:
        try:
            if needle in event.message:
                self._sift_candidate(sifted, event)
            else:
                self._sift_rest(sifted, event.message)
        except (UnparsableRecord, StampDisagreement) as reason:
            sifted.unparsable.append(Unparsable(event.event_id, event.message, str(reason)))

    def _needle(self) -> str:
        names = self.record_format.names
        before = "" if names[0] == "dstport" else " "
        after = "" if names[-1] == "dstport" else " "
        return f"{before}{self.target_port}{after}"

    def _sift_candidate(self, sifted: Sifted, event: Event) -> None:
        probe = self.probe(self.record_format.parse(event.message), event.delivered_at)
        if probe is None:
            sifted.foreign += 1
        else:
            sifted.probes.append((event, probe))

    def _sift_rest(self, sifted: Sifted, message: str) -> None:
        status = self._status(message)
        if status == OK:
            sifted.foreign += 1
        elif status == NODATA:
            sifted.nodata += 1
        elif status == SKIPDATA:
            sifted.skipdata += 1
        else:
            raise UnparsableRecord(f"the log status is '{status[:40]}'")

    def _status(self, message: str) -> str:
        width, index = len(self.record_format.names), self.record_format.status_index
        if message.count(" ") != width - 1 or index is None:
            self.record_format.parse(message)
            return OK
        return message.rpartition(" ")[2] if index == width - 1 else message.split(" ")[index]

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
            or not is_signed(size, packets, self.payload_bytes)
        ):
            return None
        if srcport >= PORTS:
            raise UnparsableRecord(f"the source port is {srcport}")
        tick = decode_delivered(srcport, start, delivered_at, self.rate)
        return Probe(
            tick=tick,
            srcport=srcport,
            due_at=due_at(tick, self.rate),
            window_start=start,
            window_end=record.window_end,
            packets=packets,
            bytes=size,
            tcp_flags=number("tcp-flags"),
            action=record.text("action"),
            log_status=record.status,
        )
