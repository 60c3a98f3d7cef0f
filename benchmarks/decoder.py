"""What the decoder costs: `python benchmarks/decoder.py`.

A delivery through DecodeRecords to Parquet, against base64, gunzip and JSON of the same delivery, which no decoder
avoids; and the cold start of a fresh process, against importing pyarrow alone. Only S3 is left out: what is written
stays in memory. Times are CPU times, so that a busy machine says about the same as an idle one; the variants take
turns, and a ratio is one of the same turn.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import subprocess
import sys
import zlib
from base64 import b64decode, b64encode
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import process_time
from typing import TYPE_CHECKING, Any, Final, cast
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_lambda_powertools.utilities.typing import LambdaContext

    from flowlag.plan import RunPlan

type Times = dict[str, list[float]]

SIZES: Final = {120: 60, 1_000: 30, 10_000: 15}
"""Events of a delivery, and turns. Episode 18's deliveries had 21 to 186 events; CloudWatch Logs cuts at 10,000."""

PROBES: Final = 0.03
"""The share of probes in a delivery of a busy VPC. The rest is foreign."""

COLD_TURNS: Final = 7
BEGIN: Final = 1_800_000_000
RECEIVED_AT: Final = (BEGIN + 900) * 1_000_000

FLOOR: Final = "base64, gunzip, JSON"
DECODER: Final = "event to Parquet"
READER: Final = "flowlogs-reader"


# ---------------------------------------------------------------- deliveries
def a_plan() -> RunPlan:
    """A run at one probe a second."""
    from flowlag.plan import RunRequest, Site, plan_run  # noqa: PLC0415 - a cold start must not find it imported

    site = Site(
        source="local",
        region="eu-west-1",
        az_id="euw1-az1",
        instance_type="t2.micro",
        hypervisor="xen",
        sender_instance_id="i-0aaaaaaaaaaaaaaaa",
        interface_id="eni-0123456789abcdef0",
        sender_address="10.99.0.10",
        target_instance_id="i-0bbbbbbbbbbbbbbbb",
        target_address="10.99.0.20",
        target_port=7777,
    )
    return plan_run("run-1", RunRequest(), site, now=BEGIN * 1_000_000, code_version="benchmark")


def a_delivery(plan: RunPlan, size: int, seed: int) -> dict[str, Any]:
    """The event by which CloudWatch Logs invokes the decoder with `size` flow records, `PROBES` of them probes."""
    chance = random.Random(seed)  # noqa: S311 - a workload, not a secret
    log_events = [
        {
            "id": f"{chance.randrange(10**56):056d}",
            "timestamp": BEGIN * 1_000,
            "message": _probe(plan, number) if chance.random() < PROBES else _foreign(plan, chance),
        }
        for number in range(size)
    ]
    delivery = {
        "messageType": "DATA_MESSAGE",
        "owner": "012345678901",
        "logGroup": f"/flowlag/benchmark/{plan.run_id}/{plan.arms[0].name}",
        "logStream": f"{plan.interface_id}-all",
        "subscriptionFilters": ["flowlag"],
        "logEvents": log_events,
    }
    return {"awslogs": {"data": b64encode(gzip.compress(json.dumps(delivery).encode())).decode()}}


def _probe(plan: RunPlan, number: int) -> str:
    second = BEGIN + number * 600 // 10_000
    size = 40 + plan.payload_bytes
    return _line(plan, plan.target_address, second % 65_536, plan.target_port, f"1 {size}", second // 60 * 60)


def _foreign(plan: RunPlan, chance: random.Random) -> str:
    address = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"
    traffic = f"{chance.randrange(1, 500)} {chance.randrange(40, 99_999)}"
    start = BEGIN + chance.randrange(10) * 60
    return _line(plan, address, chance.randrange(1_024, 65_536), chance.choice((53, 80, 123, 443)), traffic, start)


def _line(plan: RunPlan, target: str, srcport: int, dstport: int, traffic: str, start: int) -> str:
    return (
        f"5 012345678901 {plan.interface_id} {plan.sender_address} {target} {srcport} {dstport} 6 {traffic} "
        f"{start} {start + 60} ACCEPT 2 egress {plan.sender_instance_id} {plan.sender_address} {target} euw1-az1 OK"
    )


# ---------------------------------------------------------------- warm
def warm(size: int, turns: int) -> Times:
    """CPU seconds of each variant in each turn, on one delivery of `size` events."""
    plan = a_plan()
    event = a_delivery(plan, size, seed=size)
    variants: dict[str, Callable[[Mapping[str, Any]], object]] = {FLOOR: floor, DECODER: a_decoder(plan)}
    if find_spec("flowlogs_reader"):
        variants[READER] = read_with_flowlogs_reader
    for variant in variants.values():
        variant(event)
    times: Times = {name: [] for name in variants}
    for _ in range(turns):
        for name, variant in variants.items():
            begin = process_time()
            variant(event)
            times[name].append(process_time() - begin)
    return times


def floor(event: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """What every decoder does first."""
    return json.loads(zlib.decompress(b64decode(event["awslogs"]["data"]), wbits=31))


def a_decoder(plan: RunPlan) -> Callable[[Mapping[str, Any]], object]:
    """The function's own handler, with its bucket in memory and its log nowhere."""
    os.environ |= {"RESULTS_BUCKET": "results", "POWERTOOLS_LOG_LEVEL": "CRITICAL"}
    from flowlag_aws.store import Store  # noqa: PLC0415 - a cold start must not find it imported
    from functions import decode_records  # noqa: PLC0415 - the same

    class InMemory(Store):
        objects: Final[dict[str, bytes]] = {}

        def put(self, key: str, data: bytes) -> str:
            self.objects[key] = data
            return key

        def plan(self, run_id: str) -> RunPlan:
            assert run_id == plan.run_id  # noqa: S101 - the benchmark would measure nothing
            return plan

    patch.object(decode_records, "Store", InMemory).start()
    patch.object(decode_records, "now", lambda: RECEIVED_AT).start()

    def decode(event: Mapping[str, Any]) -> None:
        counts = decode_records.handler(dict(event), cast("LambdaContext", _Context()))
        assert counts["probes"]  # noqa: S101 - the same
        assert not counts["unparsable"]  # noqa: S101 - the same

    return decode


class _Context:
    function_name = "decoder"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:012345678901:function:decoder"
    aws_request_id = "benchmark"


def read_with_flowlogs_reader(event: Mapping[str, Any]) -> list[object]:
    """The probes as flowlogs-reader finds them; it is spared the Parquet."""
    from flowlogs_reader import FlowRecord  # type: ignore[import-not-found]  # noqa: PLC0415 - may not be here

    from flowlag.record import PROBE_FORMAT  # noqa: PLC0415 - a cold start must not find it imported

    fields = tuple(name.replace("-", "_") for name in PROBE_FORMAT.names)
    records = (FlowRecord.from_cwl_event(each, fields) for each in floor(event)["logEvents"])
    return [record for record in records if record.dstport == 7777]  # noqa: PLR2004 - the plan's target port


# ---------------------------------------------------------------- cold
def import_pyarrow(_: Mapping[str, Any]) -> None:
    """The yardstick."""
    import pyarrow.parquet  # noqa: F401, PLC0415 - its import is what is measured


def import_boto3(_: Mapping[str, Any]) -> None:
    """What every function pays that reaches S3."""
    import boto3  # noqa: PLC0415 - its import is what is measured

    boto3.client("s3", region_name="eu-west-1")


def first_delivery(event: Mapping[str, Any]) -> None:
    """The decoder without S3: Powertools' envelope, core and pyarrow."""
    from operator import attrgetter  # noqa: PLC0415 - its import is what is measured

    from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent  # noqa: PLC0415 - the same

    from flowlag.landing import land  # noqa: PLC0415 - the same
    from flowlag.tables import OBSERVATIONS  # noqa: PLC0415 - the same
    from flowlag_aws import parquet  # noqa: PLC0415 - the same

    plan = a_plan()
    delivery = CloudWatchLogsEvent(dict(event)).parse_logs_data()
    events = [(each["id"], each["message"], RECEIVED_AT) for each in delivery["logEvents"]]
    observations = land(plan, plan.arms[0].name, events).observations
    parquet.encode(OBSERVATIONS, {name: list(map(attrgetter(name), observations)) for name in OBSERVATIONS})


def first_invocation(event: Mapping[str, Any]) -> None:
    """The whole function, its S3 client too."""
    decode = a_decoder(a_plan())
    from flowlag_aws import clients  # noqa: PLC0415 - its import is what is measured

    clients.s3()
    decode(event)


COLD: Final[Mapping[str, Callable[[Mapping[str, Any]], object]]] = {
    "pyarrow alone": import_pyarrow,
    "event to Parquet": first_delivery,
    "boto3's S3 client alone": import_boto3,
    "the whole function": first_invocation,
}


def cold(event_file: Path) -> tuple[Times, dict[str, int]]:
    """CPU seconds of each variant in each turn, in a fresh process, and its peak memory in MB."""
    times: Times = {name: [] for name in COLD}
    peaks = dict.fromkeys(COLD, 0)
    for _ in range(COLD_TURNS):
        for name in COLD:
            command = [sys.executable, __file__, name, str(event_file)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ourselves
            seconds, peak = said.split()
            times[name].append(float(seconds))
            peaks[name] = max(peaks[name], int(peak))
    return times, peaks


def cold_once(name: str, event_file: Path) -> None:
    """Be the fresh process: print CPU seconds and peak memory in MB."""
    os.environ |= {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    event = json.loads(event_file.read_text())
    begin = process_time()
    COLD[name](event)
    print(process_time() - begin, peak_mb())


def peak_mb() -> int:
    """The most memory that this process ever had, in MB. On Linux `getrusage` would count its parent's in."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024**2
    return (
        int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) // 1024
    )


# ---------------------------------------------------------------- the tables
def main() -> None:
    """Measure and print."""
    print(f"One delivery, warm: CPU ms (median), and how many times {FLOOR}\n")
    print(f"{'events':>7}  {'':24}{'ms':>8}{'ratio':>8}   half of the turns")
    for size, turns in SIZES.items():
        times = warm(size, turns)
        for name in times:
            print(f"{size:>7,}  {name:24}{_row(times, name, FLOOR)}")
    if not find_spec("flowlogs_reader"):
        print("\nflowlogs-reader is not installed, so it is not compared.")
    with TemporaryDirectory() as folder:
        event_file = Path(folder) / "event.json"
        event_file.write_text(json.dumps(a_delivery(a_plan(), 120, seed=0)))
        times, peaks = cold(event_file)
    print(
        "\nA fresh process, import and first delivery of 120 events: CPU ms (median), and how many times pyarrow\n"
    )
    print(f"{'':33}{'ms':>8}{'ratio':>8}   half of the turns   peak MB")
    for name in COLD:
        print(f"{'':9}{name:24}{_row(times, name, 'pyarrow alone'):36}{peaks[name]:>9}")


def _row(times: Times, name: str, yardstick: str) -> str:
    ratios = [mine / other for mine, other in zip(times[name], times[yardstick], strict=True)]
    low, _, high = quantiles(ratios, n=4)
    return f"{median(times[name]) * 1e3:>8.1f}{median(ratios):>8.2f}   {low:.2f} to {high:.2f}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        cold_once(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
