"""The SAM CLI itself, as on AWS: it builds, deploys to the embedded AWS and deletes; what it deployed runs."""

import io
import json
import os
import platform
import subprocess
import time

import pyarrow.parquet as pq
import pytest

from local.checkout import CHECKOUT
from local.cloud.region import Region
from local.demo import DemoOptions
from tests.local.stacks import eventually

SAM = CHECKOUT / ".venv-sam" / "bin" / "sam"
STACK = "flowlag"
OPTIONS = DemoOptions(preset="nitro-60", time_scale=60, traffic_s=4)
ARMS = [{"destination": "cloud-watch-logs"}, {"destination": "s3", "file_format": "parquet"}]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SAM.exists(), reason="the SAM CLI is not here: `make build` brings it"),
]


def architecture():
    machine = platform.machine()
    return {"aarch64": "arm64"}.get(machine, machine)


@pytest.fixture(scope="module")
def region():
    with Region(preset=OPTIONS.preset, time_scale=OPTIONS.time_scale) as region:
        yield region


@pytest.fixture(scope="module")
def sam(region, tmp_path_factory):
    """Run the CLI in the checkout, with nothing of the user's AWS, and without a terminal to ask questions on."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE", "MFLAGS"))}
    environment = kept | {
        "PATH": os.pathsep.join([str(CHECKOUT / ".venv/bin"), str(CHECKOUT / ".uv/bin"), os.environ["PATH"]]),
        "NO_PROXY": "127.0.0.1",
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(CHECKOUT / ".cache/uv")),
        "UV_PYTHON_INSTALL_DIR": os.environ.get("UV_PYTHON_INSTALL_DIR", str(CHECKOUT / ".uv/python")),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "1",  # seconds between two looks at CloudFormation
        "__SAM_CLI_APP_DIR": str(home),
        "ARCHITECTURE": architecture(),  # what SAM does not tell the layers' makefiles
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
        "AWS_ENDPOINT_URL": region.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": region.name,
    }

    def sam(command, *options):
        done = subprocess.run(
            [SAM, command, *options],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"sam {command}: {done.stdout[-2000:]} {done.stderr[-2000:]}"

    return sam


@pytest.fixture(scope="module")
def built(sam, tmp_path_factory):
    """The template that SAM built, and all that it names, outside of the checkout."""
    build = tmp_path_factory.mktemp("build") / "build"
    sam("build", "--build-dir", build, "--parameter-overrides", f"Architecture={architecture()}")
    return build / "template.yaml"


@pytest.fixture(scope="module")
def outputs(sam, built, region):
    sam(
        "deploy",
        *("--template-file", built, "--config-file", CHECKOUT / "samconfig.toml", "--stack-name", STACK),
        *("--resolve-s3", "--no-confirm-changeset", "--no-progressbar", "--region", region.name),
        *("--parameter-overrides", f"Architecture={architecture()}", "Source=local"),
    )
    (stack,) = region.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def test_what_it_deployed_runs(region, outputs):
    states = region.client("stepfunctions")
    run_id = time.strftime("sam-%Y%m%dT%H%M%SZ", time.gmtime())
    started = states.start_execution(
        stateMachineArn=outputs["StateMachineArn"],
        name=run_id,
        input=json.dumps(OPTIONS.request() | {"arms": ARMS}),
    )
    execution = eventually(
        lambda: states.describe_execution(executionArn=started["executionArn"]),
        lambda execution: execution["status"] != "RUNNING",
        within_s=180,
    )
    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    assert json.loads(execution["output"])["verdict"] == "complete"
    rows = list(observations(region.client("s3"), outputs["ResultsBucketName"]))
    assert rows
    assert {row["run_id"] for row in rows} == {run_id}
    assert {row["source"] for row in rows} == {"local"}


def observations(s3, bucket):
    for each in s3.list_objects_v2(Bucket=bucket, Prefix="observations/")["Contents"]:
        body = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
        yield from pq.read_table(io.BytesIO(body), columns=["run_id", "source"]).to_pylist()


def test_it_deletes_all_but_the_results(region, outputs, sam):
    """After the run, so that there is something to delete."""
    sam("delete", "--stack-name", STACK, "--region", region.name, "--no-prompts")
    buckets = {bucket["Name"] for bucket in region.client("s3").list_buckets()["Buckets"]}
    assert {name for name in buckets if name.startswith(f"{STACK}-")} == {outputs["ResultsBucketName"]}
    assert region.client("lambda").list_functions()["Functions"] == []
    assert region.client("stepfunctions").list_state_machines()["stateMachines"] == []
    assert region.client("iam").list_roles()["Roles"] == []
    assert region.client("logs").describe_log_groups()["logGroups"] == []
