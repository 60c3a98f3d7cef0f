# ruff: noqa: PLC0415 - what a variant imports is what it costs
"""One cold start of the decoder: `python cold_decoder.py VARIANT DELIVERY` prints CPU seconds and peak MB.

A program of its own, which imports next to nothing, because what is imported already costs nothing. `DELIVERY` is a
JSON file of a plan and of the event by which CloudWatch Logs invokes the decoder.
"""

import os
import sys
from time import process_time


def import_pyarrow(_: str) -> None:
    """The yardstick."""
    import pyarrow.parquet  # noqa: F401 - see above


def import_boto3(_: str) -> None:
    """What every function pays that reaches S3."""
    import boto3

    boto3.client("s3")


def first_delivery(file: str) -> None:
    """From event to Parquet without S3: Powertools' envelope, core and pyarrow."""
    import json
    from operator import attrgetter

    from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent

    from flowlag.landing import land
    from flowlag.plan import RunPlan
    from flowlag.tables import OBSERVATIONS
    from flowlag_aws import parquet

    with open(file, encoding="utf-8") as text:  # noqa: PTH123 - pathlib is not imported yet
        given = json.load(text)
    plan = RunPlan.of_json(given["plan"])
    log_events = CloudWatchLogsEvent(given["event"]).parse_logs_data()["logEvents"]
    event_ids, messages = ([each[name] for each in log_events] for name in ("id", "message"))
    observations = land(plan, plan.arms[0].name, event_ids, messages, given["received_at"]).observations
    parquet.encode(OBSERVATIONS, {name: list(map(attrgetter(name), observations)) for name in OBSERVATIONS})


def first_invocation(file: str) -> None:
    """The whole function, with an S3 client that it makes but does not use."""
    import json

    from flowlag.plan import RunPlan
    from flowlag_aws import clients
    from flowlag_aws.store import Store
    from functions import decode_records

    with open(file, encoding="utf-8") as text:  # noqa: PTH123 - pathlib may not be imported yet
        given = json.load(text)
    clients.s3()
    decode_records.now = lambda: given["received_at"]  # type: ignore[attr-defined]
    Store.plan = lambda _, __: RunPlan.of_json(given["plan"])  # type: ignore[assignment, method-assign]
    Store.put = Store.put_new = lambda _, key, __: key  # type: ignore[assignment, method-assign]
    decode_records.handler(given["event"], Context())  # type: ignore[arg-type]


class Context:
    """What Powertools' logger takes from Lambda's context."""

    function_name = "decoder"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:012345678901:function:decoder"
    aws_request_id = "benchmark"


VARIANTS = {
    "pyarrow alone": import_pyarrow,
    "event to Parquet": first_delivery,
    "boto3's S3 client alone": import_boto3,
    "the whole function": first_invocation,
}


def peak_mb() -> int:
    """The most memory that this process ever had. Not by `getrusage`, which on Linux counts the parent's in."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - pathlib is not imported yet
        (most,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return int(most) // 1024


if __name__ == "__main__":
    os.environ |= {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # nothing is sent; should it be, it goes nowhere
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # as in the template
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        "WORK_BUCKET": "work",
        "RESULTS_BUCKET": "results",
        "RESULTS_REGION": "eu-west-1",
    }
    begin = process_time()
    VARIANTS[sys.argv[1]](sys.argv[2])
    print(process_time() - begin, peak_mb())
