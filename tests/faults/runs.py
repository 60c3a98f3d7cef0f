"""Whole runs on the embedded AWS with faults planted in it, and what really became of their probes.

The truth is told by who knows it: the flow-log service's own log says which packets left the sender and which of
them the target answered, and the destinations say which records were delivered, and when. They are read here by
other code than flowlag's.
"""

import contextlib
import io
import json
import re
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache, cached_property
from itertools import chain
from typing import Any, NamedTuple

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from local.cloud.deploy import deploy
from local.cloud.region import Region
from local.demo import DemoOptions
from local.network.virtual import SENDER_ADDRESS, TARGET_ADDRESS

type Row = dict[str, Any]
type Json = dict[str, Any]

OPTIONS = DemoOptions(traffic_s=4)
REQUEST = OPTIONS.request()
"""What the demo asks for, with less traffic."""

CLOUDWATCH_ARMS = ("cloudwatch-60", "cloudwatch-600")
S3_ARMS = ("s3-text-600", "s3-parquet-600")
ARMS = (*CLOUDWATCH_ARMS, *S3_ARMS)

PORT = 7777
PATIENCE_S = 600
LOOK_EVERY_S = 0.5
ENDED = {"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}


# ---------------------------------------------------------------- the stack
class Stack:
    """The unchanged template on an embedded AWS that is up."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.outputs = deploy(region)
        self.client = cache(region.client)
        self._states = region.client("stepfunctions")

    def start(self, run_id: str, **settings: object) -> "Run":
        """Start a run of the default experiment, as the demo does."""
        started = self._states.start_execution(
            stateMachineArn=self.outputs["StateMachineArn"],
            name=run_id,
            input=json.dumps(REQUEST | settings),
        )
        return Run(self, run_id, started["executionArn"])

    @property
    def events(self) -> list[Json]:
        """What the flow-log service has logged so far."""
        return [json.loads(line) for line in self.region.service_log.read_text().splitlines()]

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def get(self, bucket: str, key: str) -> bytes:
        return self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()

    @property
    def work(self) -> str:
        return self.outputs["WorkBucketName"]

    def log_groups(self, prefix: str = "/flowlag/") -> list[str]:
        pages = self.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
        return [each["logGroupName"] for page in pages for each in page["logGroups"]]

    def flow_logs(self) -> list[str]:
        return [each["FlowLogId"] for each in self.client("ec2").describe_flow_logs()["FlowLogs"]]

    def sweep(self) -> None:
        """Sweep as the schedule does by the hour."""
        answer = self.client("lambda").invoke(FunctionName=self.outputs["SweepFunctionName"], Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()

    def processes(self, run_id: str) -> list[list[str]]:
        """The command lines of the processes of a run: workers, shippers and what they started."""
        return [words for _, words in self._processes() if run_id in " ".join(words) or words[0] == "tcpdump"]

    def sender(self, run_id: str) -> psutil.Process:
        """The process that sends the probes of a run."""
        (process,) = [
            process for process, words in self._processes() if words[2:4] == ["sender", "send"] and run_id in words
        ]
        return process

    def _processes(self) -> Iterator[tuple[psutil.Process, list[str]]]:
        for process in psutil.Process(self.region.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if words := process.cmdline():  # a zombie has none
                    yield process, words


# ---------------------------------------------------------------- a run
class Copy(NamedTuple):
    """A probe's record as one delivery brought it: when, in microseconds, and where it is."""

    at: int
    event_id: str


class Run:
    """A run: what flowlag says of it, and what really happened."""

    def __init__(self, stack: Stack, run_id: str, execution: str) -> None:
        self.stack = stack
        self.run_id = run_id
        self.execution = execution

    def until(self, state: str) -> "Run":
        """Wait until the execution has entered a state."""
        wait_until(lambda: state in self._entered() or self._described()["status"] in ENDED)
        assert state in self._entered(), self._described()
        return self

    def _entered(self) -> set[str]:
        events = self.stack.client("stepfunctions").get_execution_history(
            executionArn=self.execution, maxResults=1000
        )["events"]
        return {
            event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event
        }

    def _described(self) -> Json:
        return self.stack.client("stepfunctions").describe_execution(executionArn=self.execution)

    def ended(self) -> "Run":
        """Wait for its end, and say why if that is not a good one."""
        wait_until(lambda: self._described()["status"] in ENDED)
        assert self._described()["status"] == "SUCCEEDED", self._described().get("cause")
        return self

    def abort(self) -> None:
        self.stack.client("stepfunctions").stop_execution(executionArn=self.execution)
        assert self._described()["status"] == "ABORTED"

    # ------------------------------------------------------------ what flowlag says
    def rows(self, table: str) -> list[Row]:
        """The rows of a run in a table; instants are microseconds."""
        bucket = self.stack.outputs["ResultsBucketName"]
        keys = [key for key in self.stack.keys(bucket, f"{table}/") if f"/{self.run_id}." in key]
        return list(chain.from_iterable(_rows(self.stack.get(bucket, key)) for key in keys))

    @cached_property
    def row(self) -> Row:
        """Its row in `runs`."""
        (row,) = self.rows("runs")
        return row

    def counts(self, arm: str) -> Row:
        """What its row counts of an arm."""
        (of_arm,) = [each for each in self.row["arms"] if each["arm"] == arm]
        return of_arm

    @cached_property
    def observations(self) -> dict[str, dict[int, Row]]:
        """Arm and tick to the observation. A tick is observed once."""
        observed: dict[str, dict[int, Row]] = defaultdict(dict)
        for row in self.rows("observations"):
            assert row["tick"] not in observed[row["arm"]]
            observed[row["arm"]][row["tick"]] = row
        return observed

    @cached_property
    def ledger(self) -> dict[int, str]:
        """Tick to its outcome."""
        return {row["tick"]: row["outcome"] for row in self.rows("ledger")}

    def control(self, name: str) -> Json:
        """A control document."""
        return json.loads(self.stack.get(self.stack.work, f"control/{self.run_id}/{name}.json"))

    def flow_log_id(self, arm: str) -> str:
        return self.control(f"{arm}.creation")["flow_log_id"]

    # ------------------------------------------------------------ what really happened
    @cached_property
    def plan(self) -> Json:
        return self.control("plan")

    @cached_property
    def closed_at(self) -> int:
        return self.control("closed")["at"]

    @cached_property
    def left(self) -> list[int]:
        """The ticks whose probes left the sender, in order, by the service's own capture."""
        length = 40 + self.plan["payload_bytes"]
        captured = [
            event
            for event in self.stack.events
            if (event["event"], event.get("dstport"), event.get("length")) == ("captured", PORT, length)
        ]
        ticks = [event["at_ns"] * self.plan["request"]["rate"] // 10**9 for event in captured]
        assert [tick % 65_536 for tick in ticks] == [event["srcport"] for event in captured]
        return ticks

    @cached_property
    def lost_on_the_wire(self) -> set[int]:
        """The ticks whose probes did not arrive: the target listens on no port, and refuses each one that does."""
        refused = {
            event["dstport"]
            for event in self.stack.events
            if (event["event"], event.get("src"), event.get("srcport")) == ("captured", TARGET_ADDRESS, PORT)
        }
        return {tick for tick in self.left if tick % 65_536 not in refused}

    @cached_property
    def delivered(self) -> dict[str, dict[int, list[Copy]]]:
        """Arm and tick to the copies of its record that can be read, the first one first; later ones are late."""
        tick_of = {tick % 65_536: tick for tick in self.left}
        found: dict[str, dict[int, list[Copy]]] = {}
        for arm in (each["arm"] for each in self.row["arms"]):
            copies = defaultdict(list)
            for copy, record in self._log_events(arm) if arm in CLOUDWATCH_ARMS else self._objects(arm):
                is_probe = (record["srcaddr"], str(record["dstport"])) == (SENDER_ADDRESS, str(PORT))
                if is_probe and copy.at <= self.closed_at:
                    copies[tick_of[int(record["srcport"])]].append(copy)
            found[arm] = {tick: sorted(each) for tick, each in copies.items()}
        return found

    def _log_events(self, arm: str) -> Iterator[tuple[Copy, Row]]:
        names = re.findall(r"\$\{([a-z-]+)\}", self.plan["log_format"])
        pages = (
            self.stack.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=f"/flowlag/flowlag/{self.run_id}/{arm}")
        )
        for page in pages:
            for event in page["events"]:
                fields = dict(zip(names, event["message"].split(), strict=True))
                yield Copy(event["ingestionTime"] * 1_000, event["eventId"]), fields

    def _objects(self, arm: str) -> Iterator[tuple[Copy, Row]]:
        bucket = self.stack.work
        for key in self.stack.keys(bucket, f"deliveries/{self.run_id}/{arm}/"):
            answer = self.stack.client("s3").get_object(Bucket=bucket, Key=key)
            at = round(answer["LastModified"].timestamp() * 1_000_000)
            for number, record in enumerate(_records(key, answer["Body"].read()), start=1):
                yield Copy(at, f"{key.rpartition('/')[2]}#{number}"), record

    def truncated(self, arm: str) -> list[str]:
        """The names of the arm's objects that the service cut in their middle, up to when the run was closed."""
        cut = [
            event
            for event in self.stack.events
            if event["event"] == "delivery"
            and event["flow_log_id"] == self.flow_log_id(arm)
            and event.get("truncated")
        ]
        return sorted(
            event["key"].rpartition("/")[2]
            for event in cut
            if _micros(datetime.fromisoformat(event["last_modified"])) <= self.closed_at
        )

    def account(self, arm: str, never_sent: range = range(0)) -> Row:
        """What a row of `runs` must count of an arm's ticks.

        Args:
            arm: the arm.
            never_sent: ticks that a sender did not live to see.
        """
        ticks = self.ledger | dict.fromkeys(never_sent, "missed")
        observed = self.delivered[arm]
        begin = min(observed)
        fates = Counter(
            self._fate(tick, outcome, is_observed=tick in observed)
            for tick, outcome in ticks.items()
            if tick >= begin
        )
        reasons = ("observed", "never_sent", "lost_on_wire", "not_recorded", "expected_missing")
        return {
            "ledger_ticks": fates.total(),
            **{reason: fates[reason] for reason in reasons},
            "before_first_record": len([tick for tick in ticks if tick < begin]),
            "duplicates": sum(len(copies) - 1 for copies in observed.values()),
            "not_in_ledger": 0,
            "stale": 0,
        }

    def _fate(self, tick: int, outcome: str, *, is_observed: bool) -> str:
        if is_observed:
            return "observed"
        if outcome == "skipped":
            return "expected_missing"
        if tick not in self.left:
            return "never_sent"
        return "lost_on_wire" if tick in self.lost_on_the_wire else "not_recorded"


# ---------------------------------------------------------------- reading
def _rows(data: bytes) -> list[Row]:
    rows: list[Row] = pq.ParquetFile(io.BytesIO(data)).read().to_pylist()
    return [{name: _micros(value) for name, value in row.items()} for row in rows]


def _micros(value: object) -> object:
    return round(value.timestamp() * 1_000_000) if isinstance(value, datetime) else value


def _records(key: str, data: bytes) -> list[Row]:
    """The whole records of an object, as far as it goes."""
    if key.endswith(".parquet"):
        try:
            table = pq.ParquetFile(io.BytesIO(data)).read()
        except pa.ArrowInvalid:
            return []
        return table.to_pylist()
    lines = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data).decode().split("\n")[:-1]
    return [dict(zip(lines[0].split(), line.split(), strict=True)) for line in lines[1:]]


def wait_until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(LOOK_EVERY_S)
