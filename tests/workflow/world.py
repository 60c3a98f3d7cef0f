"""The world around the functions: Systems Manager, the instances that it orders about, the flow-log service.

A double, the same for every cloud. The functions reach its Systems Manager by an endpoint of its own; its flow
records go into the cloud's CloudWatch Logs. Nothing is left to chance: what becomes of each probe stands in
`Traffic`, and a test compares what a run says with that.
"""

import json
import re
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs
from uuid import uuid4

from local.cloud.documents import Document, InvalidParameters
from tests.workflow.clouds import Cloud
from tests.workflow.sources import resources

PORTS = 65_536
PATIENCE_S = 60
GARBAGE = "this is not a flow record"

type FlowLog = dict[str, Any]
type Order = dict[str, str]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a sender that was ordered to send has sent, and what becomes of each probe, by its place in the run.

    All probes are past when the order is given, so that no test waits for one.
    """

    order: Order
    ordered_ns: int

    @property
    def rate(self) -> int:
        """Probes a second."""
        return int(self.order["Rate"])

    @property
    def ticks(self) -> range:
        """The ticks, up to the order. None has source port 0, which is not sent."""
        first = self.ordered_ns * self.rate // 1_000_000_000 - N_PROBES
        if -first % PORTS < N_PROBES:
            first -= N_PROBES
        return range(first, first + N_PROBES)

    def sent_ns(self, tick: int) -> int:
        """When a probe left: up to 600 µs after it was due."""
        return -(-tick * 1_000_000_000 // self.rate) + tick % 7 * 100_000

    def seen_ns(self, tick: int) -> int:
        """When it arrived at the target."""
        return self.sent_ns(tick) + 350_000

    def recorded(self, burst: range) -> list[int]:
        """The ticks that a burst of deliveries reports."""
        return [self.ticks[place] for place in burst if place not in (LOST_ON_WIRE, NOT_RECORDED)]

    @property
    def observed(self) -> list[int]:
        """The ticks that a good run observes."""
        return self.recorded(FIRST_BURST) + self.recorded(SECOND_BURST)

    @property
    def ledger(self) -> str:
        """What the sender uploads when it is stopped."""
        lines = (f"{tick},{tick % PORTS},{self.sent_ns(tick)},sent" for tick in self.ticks)
        return "\n".join(["tick,srcport,sent_ns,outcome", *lines, "end", ""])

    @property
    def capture(self) -> str:
        """What the target uploads when it is stopped."""
        seen = [tick for place, tick in enumerate(self.ticks) if place != LOST_ON_WIRE]
        return "\n".join(["srcport,seen_ns", *(f"{tick % PORTS},{self.seen_ns(tick)}" for tick in seen), ""])


N_PROBES = 20
BEFORE_FLOW_LOG = range(3)
LOST_ON_WIRE = 9
NOT_RECORDED = 14
FIRST_BURST = range(3, 10)
SECOND_BURST = range(10, 20)
DELIVERED_TWICE = 5


@dataclass(slots=True)
class RunInTheWorld:
    """A run, as the world sees it. `is_silent`: nothing is ever delivered to its log groups."""

    is_silent: bool
    orders: list[str] = field(default_factory=list)
    traffic: Traffic | None = None
    is_stopped: bool = False
    flow_logs: dict[str, FlowLog] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class World:
    """The world of one cloud, for as long as it is entered. `runs` holds the runs that it is ready for, by id."""

    def __init__(self, cloud: Cloud) -> None:
        self.runs: dict[str, RunInTheWorld] = {}
        self._ec2, self._logs, self._s3 = cloud.client("ec2"), cloud.client("logs"), cloud.client("s3")
        self._ending = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Endpoint, self))
        self._threads = [
            threading.Thread(target=self._server.serve_forever),
            threading.Thread(target=self._deliver_first_bursts),
        ]

    @property
    def endpoint(self) -> str:
        """URL of Systems Manager, and of an EC2 that refuses every flow log."""
        return "http://{}:{}".format(*self._server.server_address)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()

    # ------------------------------------------------------------ the instances
    def carry_out(self, order: Order) -> None:
        """Do as an instance is ordered. Stopping what does not run is harmless."""
        run = self.runs[order["RunId"]]
        with run.lock:
            run.orders.append(order["Action"])
            match order["Action"]:
                case "start-sending":
                    run.traffic = Traffic(order, time.time_ns())
                case "stop-sending" if run.traffic and not run.is_stopped:
                    run.is_stopped = True
                    for flow_log in run.flow_logs.values():
                        self._put(flow_log, second_burst(flow_log, run.traffic))
                    self._await_decoder(order, deliveries=2 * len(run.flow_logs))
                    self._upload(order, "ledger.csv", run.traffic.ledger)
                case "stop-capture" if run.traffic:
                    self._upload(order, "capture.csv", run.traffic.capture)

    def _upload(self, order: Order, name: str, text: str) -> None:
        self._s3.put_object(Bucket=order["Bucket"], Key=f"control/{order['RunId']}/{name}", Body=text.encode())

    def _await_decoder(self, order: Order, deliveries: int) -> None:
        """Wait until the decoder has landed the deliveries: the drain, scaled down, leaves it no time."""
        deadline = time.monotonic() + PATIENCE_S
        prefix = f"landing/{order['RunId']}/"
        while self._s3.list_objects_v2(Bucket=order["Bucket"], Prefix=prefix)["KeyCount"] < deliveries:
            if self._ending.wait(0.05) or time.monotonic() > deadline:
                return

    # ------------------------------------------------------------ the flow-log service
    def _deliver_first_bursts(self) -> None:
        while not self._ending.wait(0.1):
            for flow_log in self._ec2.describe_flow_logs()["FlowLogs"]:
                _, run_id, arm = flow_log["LogGroupName"].rsplit("/", 2)
                run = self.runs[run_id]
                with run.lock:
                    if self._is_due(flow_log, run, look=f"control/{run_id}/{arm}.first_delivery.json"):
                        run.flow_logs[flow_log["FlowLogId"]] = flow_log
                        self._logs.create_log_stream(**stream_of(flow_log))
                        self._put(flow_log, first_burst(flow_log, run.traffic))

    def _is_due(self, flow_log: FlowLog, run: RunInTheWorld, look: str) -> bool:
        """A flow log delivers once a `look` has been written down, so that every run looks in vain at first."""
        if not run.traffic or run.is_silent or run.is_stopped or flow_log["FlowLogId"] in run.flow_logs:
            return False
        return self._s3.list_objects_v2(Bucket=run.traffic.order["Bucket"], Prefix=look)["KeyCount"] > 0

    def _put(self, flow_log: FlowLog, records: list[tuple[int, str]]) -> None:
        events = [{"timestamp": start * 1_000, "message": record} for start, record in sorted(records)]
        self._logs.put_log_events(**stream_of(flow_log), logEvents=events)


# ---------------------------------------------------------------- flow records, each with its `start`
def first_burst(flow_log: FlowLog, traffic: Traffic) -> list[tuple[int, str]]:
    """Probes."""
    return [record(flow_log, traffic, tick) for tick in traffic.recorded(FIRST_BURST)]


def second_burst(flow_log: FlowLog, traffic: Traffic) -> list[tuple[int, str]]:
    """Probes, one of them again, and one each of everything else that a flow log may hold."""
    ticks = [*traffic.recorded(SECOND_BURST), traffic.ticks[DELIVERED_TWICE]]
    last = traffic.ticks[-1]
    nodata = dict.fromkeys(("srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes"), "-")
    return [
        *(record(flow_log, traffic, tick) for tick in ticks),
        record(flow_log, traffic, last, dstport="443"),
        record(flow_log, traffic, last, **nodata, **{"log-status": "NODATA"}),
        (traffic.sent_ns(last) // 1_000_000_000, GARBAGE),
    ]


def record(flow_log: FlowLog, traffic: Traffic, tick: int, **other: str) -> tuple[int, str]:
    """A probe's record, in the format that the flow log asks for; `other` fields than a probe's, if given."""
    start = traffic.sent_ns(tick) // 1_000_000_000
    fields = {
        "version": 5,
        "account-id": "123456789012",
        "interface-id": flow_log["ResourceId"],
        "srcaddr": traffic.order["SourceAddress"],
        "dstaddr": traffic.order["TargetAddress"],
        "srcport": tick % PORTS,
        "dstport": traffic.order["TargetPort"],
        "protocol": 6,
        "packets": 1,
        "bytes": int(traffic.order["PayloadBytes"]) + 40,
        "start": start,
        "end": start + 1,
        "action": "ACCEPT",
        "tcp-flags": 2,
        "log-status": "OK",
        **other,
    }
    return start, re.sub(r"\$\{([a-z-]+)\}", lambda name: str(fields.get(name[1], "-")), flow_log["LogFormat"])


def stream_of(flow_log: FlowLog) -> dict[str, str]:
    """Where a flow log's records go."""
    return {"logGroupName": flow_log["LogGroupName"], "logStreamName": f"{flow_log['ResourceId']}-all"}


# ---------------------------------------------------------------- the endpoint
class Endpoint(BaseHTTPRequestHandler):
    """Systems Manager, as far as the functions call it; and EC2's CreateFlowLogs, refused."""

    def __init__(self, world: World, *connection: Any) -> None:
        self._world = world
        super().__init__(*connection)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        match self.headers.get("X-Amz-Target"):
            case "AmazonSSM.SendCommand":
                self._send_command(json.loads(body)["Parameters"])
            case "AmazonSSM.GetCommandInvocation":
                done = {"Status": "Success", "StatusDetails": "Success", "StandardOutputContent": "{}\n"}
                self._answer(200, json.dumps(done))
            case None:
                (interface,) = parse_qs(body)["ResourceId.1"]
                self._answer(200, REFUSED.format(interface=interface))

    def _send_command(self, parameters: dict[str, list[str]]) -> None:
        (document,) = resources("AWS::SSM::Document").values()
        try:
            Document.of_content(document["Content"]).steps(parameters)
        except InvalidParameters as reason:
            self._answer(400, json.dumps({"__type": "InvalidParameters", "message": str(reason)}))
        else:
            self._world.carry_out({name: value for name, (value,) in parameters.items()})
            self._answer(200, json.dumps({"Command": {"CommandId": str(uuid4())}}))

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


REFUSED = (
    '<CreateFlowLogsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
    "<requestId>9f0d1a6e</requestId><flowLogIdSet/><unsuccessful><item><error><code>400</code>"
    "<message>Access Denied for LogDestination</message></error><resourceId>{interface}</resourceId></item>"
    "</unsuccessful></CreateFlowLogsResponse>"
)
"""What EC2 answers, with HTTP 200, when it does not create a flow log."""
