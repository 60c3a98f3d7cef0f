"""What the decoder costs: `python benchmarks/decoder.py`.

A delivery through DecodeRecords to Parquet, against base64, gunzip and JSON of the same delivery, which no decoder
avoids; and its cold start in a fresh process, against importing pyarrow alone. Only S3 is left out. Times are CPU
times, so that a busy machine says about the same as an idle one; the variants take turns, and each ratio is one of
the same turn.
"""

from __future__ import annotations

import gzip
import json
import os
import random
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

from cold_decoder import VARIANTS as COLD
from cold_decoder import Context

from flowlag.plan import RunRequest, Site, plan_run
from flowlag.record import PROBE_FORMAT
from flowlag_aws import telemetry
from flowlag_aws.store import Store
from functions import decode_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

type Event = dict[str, Any]
type Times = dict[str, list[float]]

SIZES: Final = {120: 60, 1_000: 30, 10_000: 20}
"""Events of a delivery, and turns. Episode 18's deliveries had 21 to 186 events; CloudWatch Logs cuts at 10,000."""

PROBES: Final = 0.03
"""The share of probes in a delivery of a busy VPC. The rest is foreign."""

COLD_TURNS: Final = 9
BEGIN: Final = 1_800_000_000
RECEIVED_AT: Final = (BEGIN + 900) * 1_000_000

FLOOR: Final = "base64, gunzip, JSON"
DECODER: Final = "event to Parquet"
READER: Final = "flowlogs-reader"
PYARROW: Final = "pyarrow alone"

PLAN: Final = plan_run(
    "run-1",
    RunRequest(),
    Site(
        source="local",
        region="eu-west-1",
        az_id="euw1-az1",
        instance_type="t2.micro",
        hypervisor="xen",
        sender_instance_id="i-0aaaaaaaaaaaaaaaa",
        interface_id="eni-0123456789abcdef0",
        subnet_id="subnet-0123456789abcdef0",
        vpc_id="vpc-0123456789abcdef0",
        sender_address="10.99.0.10",
        target_instance_id="i-0bbbbbbbbbbbbbbbb",
        target_address="10.99.0.20",
        target_port=7777,
    ),
    execution="benchmark",
    now=BEGIN * 1_000_000,
    code_version="benchmark",
)


# ---------------------------------------------------------------- the delivery
def a_delivery(size: int) -> Event:
    """The event by which CloudWatch Logs invokes the decoder with `size` flow records, `PROBES` of them probes."""
    chance = random.Random(size)  # noqa: S311 - a workload, not a secret
    log_events = [
        {
            "id": f"{chance.randrange(10**56):056d}",
            "timestamp": BEGIN * 1_000,
            "message": _probe(BEGIN + 600 * number // size) if chance.random() < PROBES else _foreign(chance),
        }
        for number in range(size)
    ]
    delivery = {
        "messageType": "DATA_MESSAGE",
        "owner": "012345678901",
        "logGroup": f"/flowlag/benchmark/{PLAN.run_id}/{PLAN.arms[0].name}",
        "logStream": f"{PLAN.interface_id}-all",
        "subscriptionFilters": ["flowlag"],
        "logEvents": log_events,
    }
    return {"awslogs": {"data": b64encode(gzip.compress(json.dumps(delivery).encode())).decode()}}


def _probe(second: int) -> str:
    size = 40 + PLAN.payload_bytes
    return _line(PLAN.target_address, second % 65_536, PLAN.target_port, f"1 {size}", second // 60 * 60)


def _foreign(chance: random.Random) -> str:
    address = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"
    traffic = f"{chance.randrange(1, 500)} {chance.randrange(40, 99_999)}"
    start = BEGIN + chance.randrange(10) * 60
    return _line(address, chance.randrange(1_024, 65_536), chance.choice((53, 80, 123, 443)), traffic, start)


def _line(target: str, srcport: int, dstport: int, traffic: str, start: int) -> str:
    sender = PLAN.sender_address
    return (
        f"5 012345678901 {PLAN.interface_id} {sender} {target} {srcport} {dstport} 6 {traffic} {start} "
        f"{start + 60} ACCEPT 2 egress {PLAN.sender_instance_id} {sender} {target} {PLAN.az_id} OK"
    )


# ---------------------------------------------------------------- warm
def warm(size: int, turns: int) -> Times:
    """CPU seconds of each variant in each turn, on one delivery of `size` events."""
    variants: dict[str, Callable[[Event], object]] = {FLOOR: floor, DECODER: decode}
    if find_spec("flowlogs_reader"):
        variants[READER] = read_with_flowlogs_reader
    event = a_delivery(size)
    for variant in variants.values():
        variant(event)
    times: Times = {name: [] for name in variants}
    for _ in range(turns):
        for name, variant in variants.items():
            begin = process_time()
            variant(event)
            times[name].append(process_time() - begin)
    return times


def floor(event: Event) -> Any:  # noqa: ANN401 - JSON
    """What every decoder does first."""
    return json.loads(zlib.decompress(b64decode(event["awslogs"]["data"]), wbits=31))


def decode(event: Event) -> None:
    """The function's own handler; see `without_s3`."""
    counts = decode_records.handler(event, cast("LambdaContext", Context()))
    assert counts["probes"]  # noqa: S101 - nothing would have been measured
    assert not counts["unparsable"]  # noqa: S101 - the same


def without_s3() -> None:
    """Have the plan at hand, drop what is written, and receive every delivery at the same instant."""
    os.environ |= {"WORK_BUCKET": "work", "RESULTS_BUCKET": "results", "RESULTS_REGION": "eu-west-1"}
    telemetry.logger.setLevel("CRITICAL")
    patch.object(Store, "plan", lambda _, __: PLAN).start()
    patch.object(Store, "put", lambda _, key, __: key).start()
    patch.object(Store, "put_new", lambda _, key, __: key).start()
    patch.object(decode_records, "now", lambda: RECEIVED_AT).start()


def read_with_flowlogs_reader(event: Event) -> list[object]:
    """The probes as flowlogs-reader finds them; it is spared the Parquet."""
    from flowlogs_reader import FlowRecord  # type: ignore[import-not-found]  # noqa: PLC0415 - may not be here

    fields = tuple(name.replace("-", "_") for name in PROBE_FORMAT.names)
    records = (FlowRecord.from_cwl_event(each, fields) for each in floor(event)["logEvents"])
    return [record for record in records if record.dstport == PLAN.target_port]


# ---------------------------------------------------------------- cold
def cold() -> tuple[Times, dict[str, int]]:
    """CPU seconds of each variant in each turn, in a fresh process, and the most memory that it had, in MB."""
    times: Times = {name: [] for name in COLD}
    peaks = dict.fromkeys(COLD, 0)
    program = str(Path(__file__).with_name("cold_decoder.py"))
    with TemporaryDirectory() as folder:
        delivery = Path(folder) / "delivery.json"
        delivery.write_text(
            json.dumps({"plan": PLAN.to_json(), "event": a_delivery(120), "received_at": RECEIVED_AT})
        )
        for _ in range(COLD_TURNS):
            for name in COLD:
                command = [sys.executable, program, name, str(delivery)]
                said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own
                seconds, peak = said.stdout.split()
                times[name].append(float(seconds))
                peaks[name] = max(peaks[name], int(peak))
    return times, peaks


# ---------------------------------------------------------------- the tables
def main() -> None:
    """Measure and print."""
    without_s3()
    print(f"One delivery, warm: CPU ms (median), and times {FLOOR}\n")
    print(f"{'events':>7}  {'':24}{'ms':>8}{'ratio':>8}   half of the turns")
    for size, turns in SIZES.items():
        times = warm(size, turns)
        for name in times:
            print(f"{size:>7,}  {name:24}{_row(times, name, FLOOR)}")
    if not find_spec("flowlogs_reader"):
        print("\nflowlogs-reader is not installed, so it is not compared.")
    times, peaks = cold()
    print("\nA fresh process, imports and a first delivery of 120 events: CPU ms (median), and times pyarrow\n")
    print(f"{'':33}{'ms':>8}{'ratio':>8}   half of the turns   peak MB")
    for name in COLD:
        print(f"{'':9}{name:24}{_row(times, name, PYARROW):36}{peaks[name]:>10}")


def _row(times: Times, name: str, yardstick: str) -> str:
    ratios = [mine / other for mine, other in zip(times[name], times[yardstick], strict=True)]
    low, _, high = quantiles(ratios, n=4)
    return f"{median(times[name]) * 1e3:>8.1f}{median(ratios):>8.2f}   {low:.2f} to {high:.2f}"


if __name__ == "__main__":
    main()
