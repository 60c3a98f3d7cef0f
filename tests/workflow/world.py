"""The world around the functions: Systems Manager, the two instances that it orders about, the flow-log service.

A double, small and the same on every cloud. Functions reach its Systems Manager by an endpoint of its own; records
go into the cloud's own CloudWatch Logs. Nothing is random: what it does to each probe stands in `Traffic`, and a test
compares what the run says with that.
"""

import json
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs
from uuid import uuid4

from tests.workflow.clouds import Cloud
from tests.workflow.sources import resources

RUN_TAG = "flowlag:run-id"
PORTS = 65_536
PATIENCE_S = 60

REFUSED = """<CreateFlowLogsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>9f0d1a6e</requestId><flowLogIdSet/><unsuccessful><item><error><code>400</code>
<message>Access Denied for LogDestination</message></error><resourceId>{interface}</resourceId></item></unsuccessful>
</CreateFlowLogsResponse>"""
"""What EC2 answers, with HTTP 200, when it will not create a flow log."""


@dataclass(frozen=True)
class Traffic:
    """What a sender that was ordered to send has sent, and what becomes of it: by a probe's place in the run.

    All of it is two seconds old when the order is given, so that no test waits for it.
    """

    order: dict[str, str]
    ordered_ns: int

    N_PROBES = 20
    BEFORE_FLOW_LOG = range(3)
    LOST_ON_WIRE = 9
    NOT_RECORDED = 14
    FIRST_BURST = range(3, 10)
    SECOND_BURST = range(10, 20)
    DELIVERED_TWICE = 5

    @property
    def rate(self) -> int:
        return int(self.order["Rate"])

    @property
    def ticks(self) -> range:
        """The ticks. None has source port 0, which is not sent."""
        first = self.ordered_ns * self.rate // 1_000_000_000 - self.N_PROBES
        if -first % PORTS < self.N_PROBES:
            first -= self.N_PROBES
        return range(first, first + self.N_PROBES)

    def sent_ns(self, tick: int) -> int:
        """When a probe left: at most 600 µs after it was due."""
        return -(-tick * 1_000_000_000 // self.rate) + tick % 7 * 100_000

    def seen_ns(self, tick: int) -> int:
        """When it arrived at the target."""
        return self.sent_ns(tick) + 350_000

    def recorded(self, burst: range) -> list[int]:
        """The ticks of a burst of deliveries."""
        ticks = self.ticks
        return [ticks[place] for place in burst if place not in (self.LOST_ON_WIRE, self.NOT_RECORDED)]

    @property
    def observed(self) -> list[int]:
        """The ticks that a good run observes."""
        return self.recorded(self.FIRST_BURST) + self.recorded(self.SECOND_BURST)

    @property
    def ledger(self) -> str:
        """What the sender uploads in the end."""
        lines = (f"{tick},{tick % PORTS},{self.sent_ns(tick)},sent" for tick in self.ticks)
        return "\n".join(["tick,srcport,sent_ns,outcome", *lines, "end", ""])

    @property
    def capture(self) -> str:
        """What the target uploads in the end."""
        seen = [tick for place, tick in enumerate(self.ticks) if place != self.LOST_ON_WIRE]
        return "\n".join(["srcport,seen_ns", *(f"{tick % PORTS},{self.seen_ns(tick)}" for tick in seen), ""])


@dataclass
class RunInTheWorld:
    """What the world knows of one run."""

    orders: list[str] = field(default_factory=list)
    traffic: Traffic | None = None
    is_stopped: bool = False
    delivered: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


GARBAGE = "this is not a flow record"


class World:
    """Plays the world for one cloud, between `__enter__` and `__exit__`.

    `silent` holds the runs for whose flow logs it never delivers anything.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.runs: dict[str, RunInTheWorld] = defaultdict(RunInTheWorld)
        self.silent: set[str] = set()
        self._ec2, self._logs, self._s3 = cloud.client("ec2"), cloud.client("logs"), cloud.client("s3")
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Endpoint, self))
        self._threads = [
            threading.Thread(target=self._server.serve_forever),
            threading.Thread(target=self._deliver_first_bursts),
        ]

    @property
    def endpoint(self) -> str:
        """Where Systems Manager answers; and an EC2 that refuses every flow log."""
        return "http://{}:{}".format(*self._server.server_address)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    # ------------------------------------------------------------ the instances
    def carry_out(self, order: dict[str, str]) -> None:
        """Do what an instance is ordered to."""
        run = self.runs[order["RunId"]]
        with run.lock:
            run.orders.append(order["Action"])
            match order["Action"]:
                case "start-sending":
                    run.traffic = Traffic(order, time.time_ns())
                case "stop-sending" if run.traffic and not run.is_stopped:
                    run.is_stopped = True
                    for flow_log in run.delivered.values():
                        self._deliver(flow_log, run.traffic, Traffic.SECOND_BURST)
                    self._upload(order, "ledger.csv", run.traffic.ledger)
                    self._await_landing(order, 2 * len(run.delivered))
                case "stop-capture" if run.traffic:
                    self._upload(order, "capture.csv", run.traffic.capture)

    def _upload(self, order: dict[str, str], name: str, text: str) -> None:
        self._s3.put_object(Bucket=order["Bucket"], Key=f"control/{order['RunId']}/{name}", Body=text.encode())

    def _await_landing(self, order: dict[str, str], objects: int) -> None:
        """Wait for the decoder: a drain that is scaled down leaves it no time."""
        deadline = time.monotonic() + PATIENCE_S
        prefix = f"landing/{order['RunId']}/"
        while self._s3.list_objects_v2(Bucket=order["Bucket"], Prefix=prefix)["KeyCount"] < objects:
            if self._closing.wait(0.05) or time.monotonic() > deadline:
                return

    # ------------------------------------------------------------ the flow-log service
    def _deliver_first_bursts(self) -> None:
        while not self._closing.wait(0.1):
            for flow_log in self._ec2.describe_flow_logs()["FlowLogs"]:
                run_id = next(tag["Value"] for tag in flow_log["Tags"] if tag["Key"] == RUN_TAG)
                if run_id in self.silent:
                    continue
                run = self.runs[run_id]
                with run.lock:
                    if run.traffic and not run.is_stopped and flow_log["FlowLogId"] not in run.delivered:
                        run.delivered[flow_log["FlowLogId"]] = flow_log
                        self._deliver(flow_log, run.traffic, Traffic.FIRST_BURST)

    def _deliver(self, flow_log: dict[str, Any], traffic: Traffic, burst: range) -> None:
        record = partial(self._record, flow_log, traffic)
        lines = [record(tick) for tick in traffic.recorded(burst)]
        if burst is Traffic.FIRST_BURST:
            stream = {"logGroupName": flow_log["LogGroupName"], "logStreamName": f"{flow_log['ResourceId']}-all"}
            self._logs.create_log_stream(**stream)
        else:
            lines += [
                record(traffic.ticks[Traffic.DELIVERED_TWICE]),
                record(traffic.ticks[0], dstport="443"),
                record(traffic.ticks[0], **dict.fromkeys(("srcport", "dstport", "bytes"), "-"), status="NODATA"),
                GARBAGE,
            ]
        stream = {"logGroupName": flow_log["LogGroupName"], "logStreamName": f"{flow_log['ResourceId']}-all"}
        now = time.time_ns() // 1_000_000
        self._logs.put_log_events(**stream, logEvents=[{"timestamp": now, "message": line} for line in lines])

    def _record(
        self, flow_log: dict[str, Any], traffic: Traffic, tick: int, status: str = "OK", **other: str
    ) -> str:
        order = traffic.order
        start = traffic.sent_ns(tick) // 1_000_000_000
        fields = {
            "version": 5,
            "account-id": "123456789012",
            "interface-id": flow_log["ResourceId"],
            "srcaddr": order["SourceAddress"],
            "dstaddr": order["TargetAddress"],
            "srcport": tick % PORTS,
            "dstport": order["TargetPort"],
            "protocol": 6,
            "packets": 1,
            "bytes": int(order["PayloadBytes"]) + 40,
            "start": start,
            "end": start + 1,
            "action": "ACCEPT",
            "tcp-flags": 2,
            "log-status": status,
            **other,
        }
        return re.sub(r"\$\{([a-z-]+)\}", lambda name: str(fields.get(name[1], "-")), flow_log["LogFormat"])


# ---------------------------------------------------------------- Systems Manager
class Endpoint(BaseHTTPRequestHandler):
    """Systems Manager's two calls; and CreateFlowLogs, refused."""

    def __init__(self, world: World, *args: Any) -> None:  # noqa: ANN401 - what a server hands over
        self._world = world
        super().__init__(*args)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        match self.headers.get("X-Amz-Target"):
            case "AmazonSSM.SendCommand":
                self._send_command(**json.loads(body))
            case "AmazonSSM.GetCommandInvocation":
                done = {"Status": "Success", "StatusDetails": "Success", "StandardOutputContent": "done\n"}
                self._answer(200, json.dumps(done))
            case None:
                (interface,) = parse_qs(body)["ResourceId.1"]
                self._answer(200, REFUSED.format(interface=interface))

    def _send_command(self, Parameters: dict[str, list[str]], **_: Any) -> None:  # noqa: ANN401, N803 - AWS's names
        order = {name: value for name, (value,) in Parameters.items()}
        try:
            check(order)
        except ValueError as reason:
            self._answer(400, json.dumps({"__type": "InvalidParameters", "message": str(reason)}))
        else:
            self._world.carry_out(order)
            self._answer(200, json.dumps({"Command": {"CommandId": str(uuid4())}}))

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def check(order: dict[str, str]) -> None:
    """Refuse what Systems Manager would: parameters that the template's document does not have or not allow."""
    (document,) = resources("AWS::SSM::Document").values()
    parameters = document["Content"]["parameters"]
    if order.keys() != parameters.keys():
        raise ValueError(f"the document takes {', '.join(parameters)}, not {', '.join(order)}")
    for name, value in order.items():
        allowed = parameters[name]
        fits = (
            value in allowed["allowedValues"]
            if "allowedValues" in allowed
            else re.search(allowed["allowedPattern"], value)
        )
        if not fits:
            raise ValueError(f"the document does not allow {name} to be '{value}'")
