"""The world around the functions: Systems Manager, the instances that it orders about, the flow-log service.

A double, the same for every cloud. The functions reach its Systems Manager by an endpoint of its own; its flow
records go into the cloud's CloudWatch Logs and S3. What becomes of each probe stands in `Traffic`, and a test
compares what a run says with that.
"""

import json
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
from tests.cloudformation import of_type
from tests.workflow import records
from tests.workflow.clouds import REGION, Cloud
from tests.workflow.records import GARBAGE, FlowLog, Record
from tests.workflow.traffic import Order, Traffic

PATIENCE_S = 60
LOOK_EVERY_S = 0.2

SENDER_AHEAD_S = 0.0012
TARGET_AHEAD_S = -0.0003
"""By how much the clocks of the two instances are ahead."""


@dataclass(slots=True)
class RunInTheWorld:
    """A run, as the world sees it. `is_silent`: for now, its flow logs deliver nothing."""

    is_silent: bool = False
    orders: list[str] = field(default_factory=list)
    interfaces: dict[str, str] = field(default_factory=dict)
    traffic: Traffic | None = None
    is_stopped: bool = False
    delivering: dict[str, FlowLog] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_waiting(self) -> bool:
        """Whether its flow logs may deliver."""
        return self.traffic is not None and not self.is_silent and not self.is_stopped


class World:
    """The world of one cloud, for as long as it is entered.

    `runs` holds the runs that it is ready for, by id; `printed`, what commands said, by theirs.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.runs: dict[str, RunInTheWorld] = {}
        self.printed: dict[str, str] = {}
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
    def carry_out(self, order: Order, instance_id: str) -> str:
        """Do as an instance is ordered, and say what it prints. Stopping what does not run is harmless."""
        run = self.runs[order["RunId"]]
        with run.lock:
            run.orders.append(order["Action"])
            run.interfaces[order["Action"]] = self._interface_of(instance_id)
            match order["Action"]:
                case "start-sending":
                    sender, target = (run.interfaces[f"start-{what}"] for what in ("sending", "capture"))
                    run.traffic = Traffic(order, time.time_ns(), sender, target)
                case "stop-sending":
                    if run.traffic and not run.is_stopped:
                        self._end(run, order)
                    return json.dumps({"clock_offset_s": SENDER_AHEAD_S})
                case "stop-capture":
                    if run.traffic:
                        self._upload(order, "capture.csv", run.traffic.capture)
                    return json.dumps({"clock_offset_s": TARGET_AHEAD_S})
        return f"{order['Action']}: it is under way"

    def _interface_of(self, instance_id: str) -> str:
        (reservation,) = self._ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        return reservation["Instances"][0]["NetworkInterfaces"][0]["NetworkInterfaceId"]

    def _end(self, run: RunInTheWorld, order: Order) -> None:
        """End the traffic: the flow logs deliver all the rest, and the sender uploads its ledger."""
        run.is_stopped = True
        if not run.is_silent:
            for flow_log in self._ec2.describe_flow_logs()["FlowLogs"]:
                if run_and_arm(flow_log)[0] == order["RunId"]:
                    self._deliver_first_burst(run, flow_log)
                    self._deliver_second_burst(run, flow_log)
        self._await_decoder(run, order)
        self._upload(order, "ledger.csv", run.traffic.ledger)

    def _upload(self, order: Order, name: str, text: str) -> None:
        self._s3.put_object(Bucket=order["Bucket"], Key=f"control/{order['RunId']}/{name}", Body=text.encode())

    def _await_decoder(self, run: RunInTheWorld, order: Order) -> None:
        """Wait until the decoder has landed the deliveries: the drain, scaled down, leaves it no time."""
        n_deliveries = 2 * sum(not is_to_s3(flow_log) for flow_log in run.delivering.values())
        deadline = time.monotonic() + PATIENCE_S
        prefix = f"landing/{order['RunId']}/"
        while self._s3.list_objects_v2(Bucket=order["Bucket"], Prefix=prefix)["KeyCount"] < n_deliveries:
            if self._ending.wait(0.05) or time.monotonic() > deadline:
                return

    # ------------------------------------------------------------ the flow-log service
    def deliver_late(self, run_id: str) -> None:
        """Have every flow log of a run, deleted or not, deliver once more."""
        run = self.runs[run_id]
        for flow_log in run.delivering.values():
            self._deliver(run, flow_log, records.late_burst(run.traffic))

    def _deliver_first_bursts(self) -> None:
        """Let every flow log deliver once somebody has looked and written it down: a run looks in vain at first."""
        while not self._ending.wait(LOOK_EVERY_S):
            waiting = {run_id: run for run_id, run in [*self.runs.items()] if run.is_waiting}
            for flow_log in self._ec2.describe_flow_logs()["FlowLogs"] if waiting else []:
                run_id, arm = run_and_arm(flow_log)
                run = waiting.get(run_id)
                if run and self._is_looked_for(run.traffic.order["Bucket"], run_id, arm):
                    with run.lock:
                        if run.is_waiting:
                            self._deliver_first_burst(run, flow_log)

    def _is_looked_for(self, bucket: str, run_id: str, arm: str) -> bool:
        look = f"control/{run_id}/{arm}.first_delivery.json"
        return self._s3.list_objects_v2(Bucket=bucket, Prefix=look)["KeyCount"] > 0

    def _deliver_first_burst(self, run: RunInTheWorld, flow_log: FlowLog) -> None:
        if flow_log["FlowLogId"] in run.delivering:
            return
        run.delivering[flow_log["FlowLogId"]] = flow_log
        if not is_to_s3(flow_log):
            self._logs.create_log_stream(**stream_of(flow_log))
        self._deliver(run, flow_log, records.first_burst(flow_log, run.traffic))

    def _deliver_second_burst(self, run: RunInTheWorld, flow_log: FlowLog) -> None:
        self._deliver(run, flow_log, records.second_burst(flow_log, run.traffic), GARBAGE)
        if is_to_s3(flow_log):
            # An older flow log's, in the same folder. AWS cannot do that to a fresh one; a person can.
            self._put_file(flow_log, records.late_burst(run.traffic), flow_log_id="fl-00000000000000000")

    def _deliver(self, run: RunInTheWorld, flow_log: FlowLog, burst: list[Record], *garbage: str) -> None:
        if is_to_s3(flow_log):
            _, arm = run_and_arm(flow_log)
            run.files.setdefault(arm, []).append(self._put_file(flow_log, burst, *garbage))
        else:
            self._put_events(flow_log, burst, *garbage)

    def _put_events(self, flow_log: FlowLog, burst: list[Record], *garbage: str) -> None:
        events = [
            *((each["start"], records.line(flow_log["LogFormat"], each)) for each in burst),
            *((burst[-1]["start"], each) for each in garbage),
        ]
        self._logs.put_log_events(
            **stream_of(flow_log),
            logEvents=[{"timestamp": start * 1_000, "message": message} for start, message in sorted(events)],
        )

    def _put_file(
        self, flow_log: FlowLog, burst: list[Record], *garbage: str, flow_log_id: str | None = None
    ) -> str:
        bucket, _, _ = flow_log["LogDestination"].rpartition(":")[2].partition("/")
        key = records.key(flow_log, REGION, burst[-1]["end"], flow_log_id=flow_log_id)
        if key.endswith(".parquet"):
            body = records.parquet_file(flow_log["LogFormat"], burst)  # which has no room for garbage
        else:
            body = records.text_file(flow_log["LogFormat"], burst, garbage)
        self._s3.put_object(Bucket=bucket, Key=key, Body=body)
        return key


def is_to_s3(flow_log: FlowLog) -> bool:
    """Whether a flow log delivers to S3, and not to CloudWatch Logs."""
    return flow_log["LogDestinationType"] == "s3"


def run_and_arm(flow_log: FlowLog) -> tuple[str, str]:
    """Whose flow log it is, by where it delivers to."""
    place = flow_log["LogDestination" if is_to_s3(flow_log) else "LogGroupName"]
    _, run_id, arm = place.rsplit("/", 2)
    return run_id, arm


def stream_of(flow_log: FlowLog) -> dict[str, str]:
    """Where the records of a flow log to CloudWatch Logs go."""
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
                self._send_command(json.loads(body))
            case "AmazonSSM.GetCommandInvocation":
                printed = self._world.printed[json.loads(body)["CommandId"]]
                done = {"Status": "Success", "StatusDetails": "Success", "StandardOutputContent": f"{printed}\n"}
                self._answer(200, json.dumps(done))
            case None:
                (resource,) = parse_qs(body)["ResourceId.1"]
                self._answer(200, REFUSED.format(resource=resource))

    def _send_command(self, request: dict[str, Any]) -> None:
        parameters, (instance_id,) = request["Parameters"], request["InstanceIds"]
        (document,) = of_type("AWS::SSM::Document").values()
        try:
            Document.of_content(document["Content"]).steps(parameters)
        except InvalidParameters as reason:
            self._answer(400, json.dumps({"__type": "InvalidParameters", "message": str(reason)}))
        else:
            command_id = str(uuid4())
            order = {name: value for name, (value,) in parameters.items()}
            self._world.printed[command_id] = self._world.carry_out(order, instance_id)
            self._answer(200, json.dumps({"Command": {"CommandId": command_id}}))

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
    "<message>Access Denied for LogDestination</message></error><resourceId>{resource}</resourceId></item>"
    "</unsuccessful></CreateFlowLogsResponse>"
)
"""What EC2 answers, with HTTP 200, when it does not create a flow log."""
