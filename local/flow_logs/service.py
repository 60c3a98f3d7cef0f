"""The flow-log service that no emulator has: from packets on the sender's interface to records in Logs and in S3.

It finds the flow logs by asking the embedded AWS for them, cuts the captured traffic into capture windows, and
delivers those in bursts as the delivery model deals them: to CloudWatch Logs with the rights of the role that a
flow log names, to S3 as far as the bucket's policy goes.

Everything that it does is written to its own log, one JSON object a line and flushed, so that a test can hold what
flowlag measured against what happened. Instants are nanoseconds since the epoch; `windows` are the `start` labels
that the records carry. The events:

    captured       at_ns, src, srcport, dst, dstport, length
    delivery       flow_log_id, <place>, began_ns, finished_ns, records, lost, windows
    undeliverable  flow_log_id, <place>, at_ns, reason, records, windows
    unreachable    at_ns, reason: the embedded AWS did not answer when asked for its flow logs

The place is `log_group` in CloudWatch Logs. In S3 it is `bucket`, `key`, `truncated` (a fault), and in a delivery
`last_modified`: ISO 8601, as HeadObject says it. Of a truncated object `records` counts what it was cut from. Where
all records of an object got lost, there is none, and `key` and `last_modified` are null.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.flow_logs.cloud import Cloud
from local.flow_logs.destinations import AccessRefused, Destination, Told, destination_of
from local.flow_logs.faults import NONE, Faults
from local.flow_logs.records import Delivery, Interface, Packet, Pipeline, Window, records
from local.network.virtual import SENDER_ADDRESS

if TYPE_CHECKING:
    from pathlib import Path

    from flowlag.delivery import Preset
    from flowlag.instants import Micros
    from local.flow_logs.flow_log import FlowLog
    from local.network.capture import PacketSource

POLL_S: Final = 0.3
"""How often the embedded AWS is asked for its flow logs; a new one is seen that late at most."""

_ACCESS_ERRORS = {
    "AccessDenied", "AccessDeniedException", "NoSuchBucket", "ResourceNotFoundException", "ValidationError",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Watch:
    """A flow log that the service works for."""

    flow_log: FlowLog
    interface: Interface
    pipeline: Pipeline
    destination: Destination

    def add(self, packet: Packet) -> None:
        # Nothing is ever rejected here: there are no security groups.
        if self.flow_log.traffic_type != "REJECT":
            self.pipeline.add(packet)


class FlowLogService:
    """The service, in a thread of its own between `start` and `stop`.

    Args:
        endpoint: URL of the embedded AWS.
        region: the region that it plays.
        preset: the habits to show, unscaled.
        time_scale: how many times as fast.
        packets: what the sender's interface sees; closed by `stop`.
        log: the file to write events to; an older one is replaced.
        faults: what it does wrong.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        region: str,
        preset: Preset,
        time_scale: float,
        packets: PacketSource,
        log: Path,
        faults: Faults = NONE,
    ) -> None:
        self._cloud = Cloud(endpoint, region)
        self._preset = preset
        self._time_scale = time_scale
        self._packets = packets
        self._journal = _Journal(log)
        self._faults = faults
        self._watches: dict[str, _Watch] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flow-log service", daemon=True)

    def start(self) -> None:
        """Begin to capture, and to work for every flow log on the sender's interface, its subnet or its VPC."""
        self._thread.start()

    def stop(self) -> None:
        """Stop at once: what is not delivered yet never will be."""
        self._stopping.set()
        self._thread.join()
        self._packets.close()
        self._journal.close()

    def _run(self) -> None:
        next_poll = time.time_ns()
        while not self._stopping.is_set():
            now = time.time_ns()
            self._capture()  # after `now`: so every packet of that instant is counted before its window leaves
            if now >= next_poll:
                self._poll()
                next_poll = now + round(POLL_S * 1e9)
            self._deliver_due(now // 1_000)
            self._stopping.wait((self._next_due(next_poll) - time.time_ns()) / 1e9)
        self._capture()

    def _next_due(self, next_poll: int) -> int:
        return min([next_poll, *(watch.pipeline.next_due * 1_000 for watch in self._watches.values())])

    def _capture(self) -> None:
        for packet in self._packets.drain():
            flow = packet.flow
            self._journal.write(
                "captured",
                at_ns=packet.at_ns,
                src=flow.source,
                srcport=flow.srcport,
                dst=flow.destination,
                dstport=flow.dstport,
                length=packet.length,
            )
            for watch in self._watches.values():
                watch.add(packet)

    def _poll(self) -> None:
        """Learn which flow logs there are. A new one counts from now on; one that is gone counted until now."""
        seen_at = time.time_ns() // 1_000
        try:
            flow_logs = self._cloud.active_flow_logs()
            new = [flow_log for flow_log in flow_logs if flow_log.flow_log_id not in self._watches]
            interface = self._cloud.interface(SENDER_ADDRESS) if new else None
        except (BotoCoreError, ClientError) as reason:
            self._journal.write("unreachable", at_ns=time.time_ns(), reason=str(reason))
            return
        for gone in self._watches.keys() - {flow_log.flow_log_id for flow_log in flow_logs}:
            self._watches[gone].pipeline.delete(seen_at)
        for flow_log in new:
            if interface and flow_log.resource_id in interface.resources:
                self._watches[flow_log.flow_log_id] = self._watch(flow_log, interface, seen_at)

    def _watch(self, flow_log: FlowLog, interface: Interface, since: Micros) -> _Watch:
        return _Watch(
            flow_log,
            interface,
            Pipeline(flow_log.schedule(self._preset, self._time_scale), since, self._faults),
            destination_of(flow_log, interface, self._cloud, self._faults),
        )

    def _deliver_due(self, now: int) -> None:
        for flow_log_id, watch in list(self._watches.items()):
            for delivery in watch.pipeline.due(now):
                self._deliver(watch, delivery)
            if watch.pipeline.is_over:
                del self._watches[flow_log_id]

    def _deliver(self, watch: _Watch, delivery: Delivery) -> None:
        for parcel in watch.destination.parcels([self._told(watch, window) for window in delivery.windows]):
            facts = {
                "flow_log_id": watch.flow_log.flow_log_id,
                **parcel.place,
                "records": len(parcel.records),
                "windows": parcel.windows,
            }
            began_ns = time.time_ns()
            try:
                answer = watch.destination.send(parcel)
            except (AccessRefused, BotoCoreError, ClientError) as reason:
                facts |= {"at_ns": time.time_ns(), "reason": _explained(reason)}
                self._journal.write("undeliverable", **facts)
            else:
                facts |= {**answer, "began_ns": began_ns, "finished_ns": time.time_ns(), "lost": parcel.lost}
                self._journal.write("delivery", **facts)

    def _told(self, watch: _Watch, window: Window) -> Told:
        flow_log = watch.flow_log
        every = records(window, watch.interface, flow_log.record_format)
        spared = self._faults.spare(every, f"{flow_log.flow_log_id} {window.start}")
        return Told(window, spared, len(every) - len(spared))


def _explained(reason: Exception) -> str:
    """The reason in AWS's words, as `DeliverLogsErrorMessage` has them, and in its own."""
    code = reason.response["Error"]["Code"] if isinstance(reason, ClientError) else ""
    is_refused = isinstance(reason, AccessRefused) or code in _ACCESS_ERRORS
    return f"{'Access error' if is_refused else 'Unknown error'}: {reason}"


class _Journal:
    """The service's own log."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, event: str, **facts: object) -> None:
        """Write one event; a reader has it when this returns."""
        self._file.write(json.dumps({"event": event, **facts}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
