"""A run in virtual time: what it meets once in hours or days happens here at once.

The functions are the real ones, on moto; the ledger and the capture are written by the sender's own code, and the
flow logs deliver by the local service's, all on a clock that is only set. Systems Manager is left out, which would
carry the orders to the instances.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import moto.ec2.models.flow_logs
import moto.logs.models
import moto.s3.models
import pytest
from moto.awslambda.models import LambdaBackend
from mypy_boto3_logs import CloudWatchLogsClient
from mypy_boto3_s3 import S3Client

from flowlag.capture import Seen
from flowlag.delivery import PRESETS
from flowlag.plan import Arm, RunPlan, RunRequest
from flowlag_aws import clients, clock
from local.flow_logs.destinations import Destination, Told, destination_of
from local.flow_logs.faults import NONE, Faults
from local.flow_logs.flow_log import FlowLog
from local.flow_logs.records import EGRESS, Delivery, Flow, Interface, Packet, Pipeline, records
from sender.capturing import capture
from sender.order import Order
from sender.sending import send
from tests.functions.run import ACCOUNT, REGION, Json, instant, pack
from tests.functions.stack import Cloud

PRESET = PRESETS["xen-600"]
SECOND = 1_000_000
AWAKE_AFTER_S = 0.0004
"""How late the sender wakes up."""
TRAVEL_NS = 300_000
"""How long a probe is on its way."""
RECEIVED_AFTER = 400_000
"""How long CloudWatch Logs takes to invoke the decoder."""
CREATED_AFTER, LOOKED_AFTER, DRAINED_AFTER = 60 * SECOND, 30 * SECOND, 1_500 * SECOND


class VirtualClock:
    """The time of the functions and of moto, in microseconds, until somebody sets it anew."""

    def __init__(self, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = at
        monkeypatch.setattr(clock, "time_ns", lambda: self.at * 1_000)
        for module in (moto.ec2.models.flow_logs, moto.logs.models, moto.s3.models):
            monkeypatch.setattr(module, "utcnow", self._utcnow)

    def _utcnow(self) -> datetime:
        whole, micros = divmod(self.at, SECOND)
        return datetime.fromtimestamp(whole, UTC).replace(microsecond=micros, tzinfo=None)


@dataclass(frozen=True, slots=True)
class MotoForTheService:
    """What the flow-log service asks of a cloud."""

    s3: S3Client
    policy: str

    def bucket_policy(self, _bucket: str) -> str:
        return self.policy

    def logs_as(self, _role_arn: str) -> CloudWatchLogsClient:
        return clients.logs()


@dataclass(frozen=True, slots=True)
class Watch:
    """A flow log that the service works for."""

    flow_log: FlowLog
    pipeline: Pipeline
    destination: Destination


class VirtualRun:
    """A run, which `take_place` lets happen. Its sender sends from when it is planned.

    Args:
        cloud: the stack.
        plan: the run, on an interface that the stack has.
        request: what it is asked for.
        began_at: when it is planned, in seconds since the epoch.
        traffic_s: for how long its sender sends.
        home: the sender's.
        monkeypatch: undoes what is done to clocks.
        faults: of the flow-log service.
    """

    def __init__(
        self,
        cloud: Cloud,
        plan: RunPlan,
        request: RunRequest,
        *,
        began_at: int,
        traffic_s: int,
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
        faults: Faults = NONE,
    ) -> None:
        self.plan = replace(plan, planned_at=instant(began_at), request=request)
        self.sent: dict[int, int] = {}
        self._ends_at = instant(began_at + traffic_s)
        self._cloud, self._faults = cloud, faults
        self._clock = VirtualClock(self.plan.planned_at, monkeypatch)
        self._ahead: deque[Packet] = deque()
        self._watches: list[Watch] = []
        self._subscribed: list[Json] = []
        self._order = Order(
            run_id=self.plan.run_id,
            bucket=cloud.store.bucket,
            source=self.plan.sender_address,
            target=self.plan.target_address,
            port=self.plan.target_port,
            rate=self.plan.rate,
            payload_bytes=self.plan.payload_bytes,
            duration_s=request.longest_traffic_s,
            home=home,
        )
        monkeypatch.setattr(LambdaBackend, "send_log_event", self._subscribe)
        cloud.store.put_control(self.plan.run_id, "plan", self.plan.to_json())

    def take_place(self) -> "VirtualRun":
        """All of it, from its first probe to its row."""
        self._send()
        self._pass(self.plan.planned_at + CREATED_AFTER)
        waiting = [self._create(arm) for arm in self.plan.arms]
        while waiting:
            self._pass(self._clock.at + LOOKED_AFTER)
            waiting = [event for event in waiting if self._look(event) == "waiting"]
        assert self._clock.at < self._ends_at  # every first delivery came while it was sending
        self._pass(self._ends_at)
        self._stop()
        self._pass(self._ends_at + DRAINED_AFTER)
        self._cloud.invoke("delete_flow_logs", {"execution": self.plan.execution})
        reconciled = self._cloud.invoke("reconcile_run", {"run_id": self.plan.run_id, "outcomes": []})
        self._cloud.invoke("summarize_run", {"run_id": self.plan.run_id, "reconciled": reconciled})
        return self

    # ------------------------------------------------------------ what came of it
    def rows(self, table: str) -> list[Json]:
        """The rows of a table, in order of their objects; instants are microseconds."""
        return [row for key in self._cloud.results.keys(f"{table}/") for row in self._cloud.rows(key)]

    def observed(self, arm: str) -> dict[int, Json]:
        """Tick to its observation."""
        return {row["tick"]: row for row in self.rows("observations") if row["arm"] == arm}

    def landed(self, arm: str) -> list[Json]:
        """What the decoder wrote down of an arm."""
        keys = self._cloud.store.landing_keys(self.plan.run_id, arm)
        return [row for key in keys for row in self._cloud.rows(key)]

    def counts(self, arm: str) -> Json:
        """What its row counts of an arm."""
        (run,) = self.rows("runs")
        (counts,) = [each for each in run["arms"] if each["arm"] == arm]
        return counts

    # ------------------------------------------------------------ the instances
    def _send(self) -> None:
        """Send until the end, by the sender's own code; `sent` is what really left, and when."""
        now_ns = self.plan.planned_at * 1_000

        def wait(seconds: float) -> bool:
            nonlocal now_ns
            now_ns += round((seconds + AWAKE_AFTER_S) * 1e9)
            return now_ns >= self._ends_at * 1_000

        def transmit(probe: bytes) -> None:
            srcport = int.from_bytes(probe)
            self.sent[now_ns * self.plan.rate // 10**9] = now_ns
            plan = self.plan
            flow = Flow(plan.sender_address, plan.target_address, srcport, plan.target_port, 6, EGRESS)
            self._ahead.append(Packet(now_ns, flow, 40 + plan.payload_bytes, tcp_flags=2))

        send(self._order, build=lambda port: port.to_bytes(2), wire=transmit, wait=wait, clock=lambda: now_ns)
        arrived = iter([Seen(packet.flow.srcport, packet.at_ns + TRAVEL_NS) for packet in self._ahead])
        receptions = iter([False] * len(self._ahead))
        capture(
            self._order,
            receive=lambda: next(arrived),
            wait=lambda _: next(receptions, True),
            clock=lambda: 0.0,
        )

    def _stop(self) -> None:
        """What StopTraffic leaves."""
        run_id = self.plan.run_id
        self._cloud.store.put_control(run_id, "stop", {"requested_at": self._ends_at})
        for file in (self._order.ledger, self._order.capture):
            self._cloud.store.put(f"control/{run_id}/{file.name}", file.read_bytes())
        self._cloud.store.put_control(run_id, "traffic", {"sending": {"clock_offset_s": 0.0}})

    # ------------------------------------------------------------ the arms
    def _create(self, arm: Arm) -> Json:
        """Create an arm's flow log, for which the service then works; returns the event of a look."""
        event = {"run_id": self.plan.run_id, "arm": arm.name}
        creation = self._cloud.invoke("create_flow_log", event)
        (described,) = clients.ec2().describe_flow_logs(FlowLogIds=[creation["flow_log_id"]])["FlowLogs"]
        flow_log = FlowLog.of_description(described)
        policy = self._cloud.template.resolve(self._cloud.template.resource("WorkBucketPolicy")["PolicyDocument"])
        service: Any = MotoForTheService(clients.s3(), json.dumps(policy))
        self._watches.append(
            Watch(
                flow_log,
                Pipeline(flow_log.schedule(PRESET), self._clock.at, self._faults),
                destination_of(flow_log, self._interface, service, self._faults),
            )
        )
        return {**event, "creation": creation, "check": {}}

    def _look(self, event: Json) -> str:
        event["check"] = self._cloud.invoke("check_first_delivery", event)["check"]
        status: str = event["check"]["status"]
        return status

    # ------------------------------------------------------------ the flow-log service
    def _pass(self, until: int) -> None:
        """Let time pass: probes leave, and flow logs deliver."""
        while self._ahead and self._ahead[0].at_ns <= until * 1_000:
            packet = self._ahead.popleft()
            self._deliver(packet.at_ns // 1_000)
            for watch in self._watches:
                watch.pipeline.add(packet)
        self._deliver(until)
        self._clock.at = until

    def _deliver(self, until: int) -> None:
        due = [(delivery.at, watch, delivery) for watch in self._watches for delivery in watch.pipeline.due(until)]
        for at, watch, delivery in sorted(due, key=lambda each: each[0]):
            self._clock.at = at
            for parcel in watch.destination.parcels(list(self._told(watch, delivery))):
                watch.destination.send(parcel)
            self._decode()

    def _told(self, watch: Watch, delivery: Delivery) -> Iterator[Told]:
        for window in delivery.windows:
            every = records(window, self._interface, watch.flow_log.record_format)
            yield Told(window, self._faults.spare(every, f"{watch.flow_log.flow_log_id} {window.start}"))

    @property
    def _interface(self) -> Interface:
        plan = self.plan
        return Interface(
            interface_id=plan.interface_id,
            account_id=ACCOUNT,
            instance_id=plan.sender_instance_id,
            subnet_id=plan.subnet_id,
            vpc_id=plan.vpc_id,
            region=REGION,
            az_id=str(plan.az_id),
        )

    def _subscribe(self, _function: str, name: str, group: str, stream: str, events: list[Json]) -> None:
        """Keep what moto would run in a container. Its ids are numbers there, and text in FilterLogEvents."""
        self._subscribed.append(
            {
                "messageType": "DATA_MESSAGE",
                "owner": ACCOUNT,
                "logGroup": group,
                "logStream": stream,
                "subscriptionFilters": [name],
                "logEvents": [each | {"id": str(each["id"])} for each in events],
            }
        )

    def _decode(self) -> None:
        self._clock.at += RECEIVED_AFTER
        while self._subscribed:
            self._cloud.invoke("decode_records", pack(self._subscribed.pop()))
