"""An event as it would be today, on the embedded AWS of `make sam-local-shell`.

python -m local.sam_local.today events/decode_records.json
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import boto3
import click

from local.sam_local.events import RUN, Here, moved
from local.sam_local.sam import VARIABLES


def main(path: str) -> None:
    """Print it; the run must have been planned."""
    work_bucket = next(each["WORK_BUCKET"] for each in json.loads(VARIABLES.read_text()).values())
    plan = boto3.client("s3").get_object(Bucket=work_bucket, Key=f"control/{RUN}/plan.json")["Body"].read()
    account = boto3.client("sts").get_caller_identity()["Account"]
    here = Here(account, json.loads(plan)["interface_id"], "")
    click.echo(json.dumps(moved(json.loads(Path(path).read_text()), here, time.time())))


if __name__ == "__main__":
    main(sys.argv[1])
