"""PublishReport as it is deployed: a week of four regions, in its own process with its own layers."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from flowlag.plan import SIMULATED
from flowlag.tables import profile_key
from flowlag_report.profile import COUNTS, profile_of
from local.cloud.deploy import STACK, deploy
from local.cloud.region import Region
from tests.functions.run import PLAN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells a process's memory"),
]

REGIONS = ("us-east-1", "eu-west-1", "eu-central-1", "ap-northeast-1")
RUNS = 28
"""In each of them: four a day for a week. `python -m benchmarks.report` measures a month."""
ARMS = ("cloudwatch-60", "cloudwatch-600", "s3-text-600", "s3-parquet-600")
TRAFFIC_S = 10_800
SIX_HOURS_US = 6 * 3_600_000_000


def profile():
    """An arm of a run of three hours in the rhythm of Xen, in which every two-hundredth record never came."""
    tick = np.arange(TRAFFIC_S) + PLAN.planned_at // 1_000_000
    recorded = tick[np.random.default_rng(1).random(TRAFFIC_S) > 0.005]
    sent_at = recorded * 1_000_000
    window = sent_at // 60_061_000 * 60_061_000
    observations = {
        "tick": recorded,
        "sent_at": sent_at,
        "window_start": window,
        "window_end": window + 60_061_000,
        "ingested_at": (window + 75_000_000) // 600_000_000 * 600_000_000 + 600_000_000,
        "received_at": (window + 75_000_000) // 600_000_000 * 600_000_000 + 601_000_000,
    }
    run = {
        "run_id": "",
        "region": "",
        "started_at": 0,
        "source": SIMULATED,
        "experiment": "default",
        "verdict": "complete",
        "reasons": [],
        "hypervisor": "xen",
        "instance_type": "t2.micro",
        "code_version": "0.1.0",
        "rate": 1,
        "cost_usd": None,
    }
    arm = dict.fromkeys(COUNTS, 0) | {
        "arm": "",
        "destination": "cloud-watch-logs",
        "file_format": None,
        "aggregation_interval_s": 600,
        "level": "interface",
        "observed": len(recorded),
        "not_recorded": TRAFFIC_S - len(recorded),
        "bursts": 18,
    }
    return profile_of(observations, {"tick": tick, "sent_ns": tick * 10**9}, run, arm, None)


def week():
    """Key to the profile's bytes, of each arm of each run."""
    one = profile()
    for region in REGIONS:
        for number in range(RUNS):
            run_id, at = f"{region}-{number}", PLAN.planned_at + number * SIX_HOURS_US
            for arm in ARMS:
                made = replace(one, run_id=run_id, region=region, started_at=at, arm=arm)
                yield profile_key(region, at, run_id, arm), made.to_bytes()


def most_memory(region, function):
    """The most bytes that the process of a function ever had."""
    (process,) = [
        each
        for each in psutil.Process(region.pid).children(recursive=True)
        if each.environ().get("AWS_LAMBDA_FUNCTION_NAME") == function
    ]
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return int(peak) * 1_024


def test_the_report_of_a_week_in_four_regions_takes_a_third_of_the_functions_memory_at_most():
    with Region() as region:
        outputs = deploy(region)
        s3 = region.client("s3")
        plan = replace(PLAN, source=SIMULATED, request=replace(PLAN.request, experiment="default"))
        document = json.dumps(plan.to_json()).encode()
        s3.put_object(Bucket=outputs["WorkBucketName"], Key=f"control/{plan.run_id}/plan.json", Body=document)
        with ThreadPoolExecutor(8) as pool:
            put = [
                pool.submit(s3.put_object, Bucket=outputs["ResultsBucketName"], Key=key, Body=body)
                for key, body in week()
            ]
        assert len([each.result() for each in put]) == len(REGIONS) * RUNS * len(ARMS)

        function = region.client("cloudformation").describe_stack_resource(
            StackName=STACK, LogicalResourceId="PublishReportFunction"
        )["StackResourceDetail"]["PhysicalResourceId"]
        functions = region.client("lambda")
        answer = functions.invoke(FunctionName=function, Payload=json.dumps({"run_id": plan.run_id}))
        assert json.loads(answer["Payload"].read())["profiles"] == len(put)
        configured = functions.get_function_configuration(FunctionName=function)["MemorySize"] * 1_024 * 1_024
        assert most_memory(region, function) <= configured / 3
