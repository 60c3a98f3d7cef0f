"""The files on their way to S3."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from flowlag.ledger import END, HEADER
from sender import shipping

CLOCK = {"clock_offset_s": -0.000012}  # by the instance's stand-in for chronyc
LEDGER = f"{HEADER}\n5,5,5000000123,sent\n6,6,,missed\n{END}\n"


@pytest.fixture
def ledger(order) -> Path:
    order.directory.mkdir(parents=True)
    order.ledger.write_text(LEDGER)
    return order.ledger


def test_stop_ships_what_a_dead_sender_left_and_counts_it(instance, ledger, buckets):
    assert instance.answer("stop-sending") == {"sent": 1, "missed": 1, "skipped": 0, "failed": 0} | CLOCK
    assert (buckets / "results/control/run-1/ledger.csv").read_bytes() == ledger.read_bytes()


def test_a_torn_last_line_is_shipped_as_it_is_and_not_counted(instance, ledger):
    ledger.write_text(f"{HEADER}\n5,5,5000000123,sent\n6,6,60000")
    assert instance.answer("stop-sending")["sent"] == 1


@pytest.mark.usefixtures("ledger")
def test_stop_twice_uploads_once_and_answers_the_same(instance, buckets):
    assert instance.answer("stop-sending") == instance.answer("stop-sending")
    assert len((buckets / "uploads").read_text().splitlines()) == 1


def test_what_was_added_since_the_last_upload_is_shipped(instance, ledger, buckets):
    instance.answer("stop-sending")
    with ledger.open("a") as file:
        file.write("more\n")
    assert instance.run("ship-ledger").returncode == 0
    assert (buckets / "results/control/run-1/ledger.csv").read_bytes() == ledger.read_bytes()


def test_stop_of_what_never_began_succeeds_and_leaves_nothing(instance, order, buckets):
    assert instance.answer("stop-sending") == {"sent": 0, "missed": 0, "skipped": 0, "failed": 0} | CLOCK
    assert instance.answer("stop-capture") == {"seen": 0} | CLOCK
    assert not order.home.exists()
    assert not list(buckets.iterdir())


def test_a_failed_upload_fails_the_stop_with_the_reason(instance, ledger, buckets):
    instance.environment["BUCKETS"] = "/dev/null"
    done = instance.run("stop-sending")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"sender: {ledger} was not uploaded to s3://results/control/run-1/ledger.csv: ")
    assert done.stderr.count("\n") == 1
    instance.environment["BUCKETS"] = str(buckets)
    assert instance.answer("stop-sending")["sent"] == 1


@pytest.mark.usefixtures("ledger")
def test_an_instance_without_the_aws_cli_says_so(instance, tmp_path):
    instance.environment["PATH"] = str(tmp_path / "empty")
    done = instance.run("stop-sending")
    assert done.returncode == 1
    assert "there is no AWS CLI on the PATH" in done.stderr


@pytest.mark.usefixtures("ledger")
def test_an_aws_cli_that_hangs_is_given_up(instance, order, monkeypatch):
    Path(shutil.which("aws", path=instance.environment["PATH"])).write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setenv("PATH", instance.environment["PATH"])
    monkeypatch.setattr(shipping, "UPLOAD_TIMEOUT_S", 0.1)
    with pytest.raises(shipping.NotShipped, match=r"within 0\.1 s"):
        shipping.ship(order.ledger, order)


# ---------------------------------------------------------------- the real AWS CLI
@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - takes seconds, which fast tests need not pay

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def real_aws(instance, s3_endpoint):
    credentials = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    instance.environment |= {"PATH": path, "AWS_ENDPOINT_URL": s3_endpoint, **credentials}
    version = subprocess.run(["aws", "--version"], env=instance.environment, capture_output=True, check=False)
    if version.returncode != 0:
        pytest.skip("there is no AWS CLI beside this Python")
    return boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@pytest.mark.slow
def test_the_real_aws_cli_brings_the_ledger_to_s3(instance, ledger, real_aws):
    real_aws.create_bucket(Bucket="results")
    assert instance.answer("stop-sending")["sent"] == 1
    body = real_aws.get_object(Bucket="results", Key="control/run-1/ledger.csv")["Body"].read()
    assert body == ledger.read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("ledger", "real_aws")
def test_the_real_aws_cli_names_a_missing_bucket(instance, order):
    instance.order = replace(order, bucket="not-there")
    done = instance.run("stop-sending")
    assert done.returncode == 1
    assert "NoSuchBucket" in done.stderr
    assert done.stderr.count("\n") == 1
