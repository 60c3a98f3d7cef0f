"""The demo: one whole run on the embedded AWS, with real packets, from the plan to a query of its results."""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from flowlag.delivery import PRESETS
from flowlag.distribution import BURST_GAP_S
from flowlag.errors import FlowlagError
from flowlag_aws.athena import run_query
from local.checkout import CHECKOUT
from local.cloud.deploy import deploy
from local.cloud.region import Region
from local.download import download_results
from local.flow_logs.faults import Faults
from local.progress import Steps
from local.render import demo_intro, demo_result
from local.report import report, write_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.progress import Expected

RATE: Final = 5
"""Probes a second: enough for a distribution in half a minute."""

STARTING: Final = "starting the embedded AWS"
DEPLOYING: Final = "deploying the stack"
ASKING: Final = "asking Athena"

_SLACK_S: Final = 3
_LOOK_EVERY_S: Final = 0.5
_LATEST_EVENTS: Final = 50
"""Of an execution, among which is the last state that it entered. All of them come with their data."""

_ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"})


class DemoFailed(FlowlagError):
    """The demo's run did not end in success; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What a demo may be asked to do.

    Attributes:
        preset: whose habits the flow-log service has.
        time_scale: how many times as fast as the preset it is.
        traffic_s: length of the traffic window.
        loss: share of records that the service loses.
        out: folder that the run's tables and the page are left in.
    """

    preset: str = "xen-600"
    time_scale: float = 60
    traffic_s: int = 15
    loss: float = 0.0
    out: Path = Path("out")

    def request(self) -> dict[str, Any]:
        """The default experiment, which waits as long as the sped-up service needs, and no longer."""
        habits = PRESETS[self.preset].scaled(self.time_scale)
        longest = max(each.longest_delay_s for each in (habits, habits.to_s3))
        return {
            "experiment": "default",
            "rate": RATE,
            "traffic_s": self.traffic_s,
            "drain_s": math.ceil(longest) + _SLACK_S,
            "poll_interval_s": 1,
            "longest_poll_interval_s": 2,
            "first_delivery_timeout_s": math.ceil(2 * longest) + 10 * _SLACK_S,
            "burst_gap_s": BURST_GAP_S / self.time_scale,
        }


def main(options: DemoOptions, *, keep: bool, as_json: bool) -> int:
    """Run the demo and print its result; `keep` leaves the embedded AWS up until Ctrl-C. Returns the exit code."""
    screen, aside = Console(highlight=False), Console(highlight=False, stderr=True)
    if not as_json:
        screen.print(demo_intro(options.preset, options.time_scale))
    steps = Steps(_expected(options), Console(highlight=False, stderr=True, quiet=as_json))
    with steps, ExitStack() as up:
        steps.enter(STARTING)
        region = up.enter_context(
            Region(preset=options.preset, time_scale=options.time_scale, faults=Faults(loss=options.loss))
        )
        try:
            result = run_demo(options, region, steps)
        except DemoFailed as failure:
            steps.finish()
            aside.print(f"flowlag: {failure}")
            return 1
        steps.finish()
        if as_json:
            screen.print_json(data=result)
        else:
            screen.print(demo_result(result))
        if keep:
            aside.print(
                f"The embedded AWS is up at {region.endpoint} (access key 'test', any secret); Ctrl-C ends it."
            )
            threading.Event().wait()
    return 0


def _expected(options: DemoOptions) -> Expected:
    """The steps of a run, each with the seconds that it takes on a machine of two cores."""
    request = options.request()
    publish_every_s = PRESETS[options.preset].scaled(options.time_scale).publish_every_s
    return (
        (STARTING, 3),
        (DEPLOYING, 3),
        ("PlanRun", 1),
        ("StartTraffic", 5),
        ("EachArm", 1 + publish_every_s / 2),
        ("TrafficWindow", request["traffic_s"]),
        ("StopTraffic", 4),
        ("Drain", request["drain_s"]),
        ("DeleteFlowLogs", 0.5),
        ("ReconcileRun", 1),
        ("SummarizeRun", 1),
        (ASKING, 1),
    )


def run_demo(options: DemoOptions, region: Region, steps: Steps) -> dict[str, Any]:
    """Deploy the stack to a region that is up, run once, and return the result as plain JSON values.

    Raises:
        DemoFailed: the execution did not succeed.
    """
    steps.enter(DEPLOYING)
    outputs = deploy(region)
    request = options.request()
    run_id = time.strftime("demo-%Y%m%dT%H%M%SZ", time.gmtime())
    execution = _run(region, outputs["StateMachineArn"], run_id, request, steps)
    if execution["status"] != "SUCCEEDED":
        raise DemoFailed(
            f"the demo's run ended as {execution['status']}: {execution.get('error', '')}: "
            f"{execution.get('cause', '')[:500]}"
        )
    steps.enter(ASKING)
    answer = run_query(
        region.client("athena"),
        (CHECKOUT / "queries" / "delay_by_arm.sql").read_text(),
        workgroup=outputs["WorkgroupName"],
        database=outputs["DatabaseName"],
        poll_s=0.1,
    )
    folder = download_results(region.client("s3"), outputs["ResultsBucketName"], run_id, options.out)
    summary = json.loads(execution["output"])
    result = _result(summary, execution["status"], answer.rows, region, options)
    return result | {"results": str(folder), "report": str(_report(folder, options))}


def _report(folder: Path, options: DemoOptions) -> Path:
    """Make the page of the run, and return where it is."""
    made = report([folder], time.time_ns() // 1_000, burst_gap_s=options.request()["burst_gap_s"])
    page = options.out / "report.html"
    write_all(made, {"page": page})
    return page


def _run(region: Region, machine: str, run_id: str, request: Mapping[str, Any], steps: Steps) -> dict[str, Any]:
    client = region.client("stepfunctions")
    arn = client.start_execution(stateMachineArn=machine, name=run_id, input=json.dumps(request))["executionArn"]
    while True:
        execution: dict[str, Any] = client.describe_execution(executionArn=arn)
        if execution["status"] in _ENDED:
            return execution
        latest = client.get_execution_history(executionArn=arn, maxResults=_LATEST_EVENTS, reverseOrder=True)
        if state := _state_of(latest["events"]):
            steps.enter(state)
        time.sleep(_LOOK_EVERY_S)


def _state_of(latest_first: list[dict[str, Any]]) -> str | None:
    entered = (
        each["stateEnteredEventDetails"]["name"] for each in latest_first if "stateEnteredEventDetails" in each
    )
    return next(entered, None)


def _result(
    summary: Mapping[str, Any],
    status: str,
    rows: Sequence[Mapping[str, Any]],
    region: Region,
    options: DemoOptions,
) -> dict[str, Any]:
    """The result as `--json` prints it: what the run's summary says, beside what Athena answered."""
    return {
        "source": summary["source"],
        "network": region.network,
        "why": region.reason,
        "preset": options.preset,
        "time_scale": options.time_scale,
        "run_id": summary["run_id"],
        "execution_status": status,
        "verdict": summary["verdict"],
        "reasons": summary["reasons"],
        "n_runs": 1,
        "burst_gap_s": options.request()["burst_gap_s"],
        "arms": {arm["arm"]: _arm(arm) for arm in summary["arms"]},
        "athena_rows": sum(row["n_packets"] for row in rows),
        "athena": list(rows),
    }


def _arm(arm: Mapping[str, Any]) -> dict[str, Any]:
    counts = arm["counts"]
    return {
        "n_packets": counts["observed"],
        "n_bursts": arm["n_bursts"],
        "ledger_ticks": counts["ledger_ticks"],
        "observed": counts["observed"],
        "missing": counts["missing"],
        "before_first_record": counts["before_first_record"],
        "duplicates": counts["duplicates"],
        "delay_s": arm["delay_s"],
        "ingest_delay_s": arm["ingest_delay_s"],
        "timestamp_error_s": arm["timestamp_error_s"],
        "burst_period_s": arm["burst_period_s"],
        "capture_windows": arm["capture_windows"],
        "first_delivery_s": arm["first_delivery_s"],
    }
