"""A schedule in two regions: it fires by itself, in both, and one query of the home region counts both."""

import io
import json
import shutil
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from flowlag_aws.athena import run_query
from local.checkout import CHECKOUT
from local.cloud.deploy import STACK, deploy
from local.cloud.region import Region
from local.demo import DemoOptions
from tests.local.stacks import eventually

HOME, AWAY = "us-east-1", "eu-west-1"
EXPERIMENT = "quick"
OPTIONS = DemoOptions(preset="nitro-60", time_scale=60, traffic_s=6)
ARMS = ("cloudwatch-60", "s3-text-600")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The template and the code as they are, and an experiment of minutes' length instead of hours'."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(CHECKOUT / "template.yaml", folder)
    for each in ("functions", "statemachine"):
        shutil.copytree(CHECKOUT / each, folder / each, ignore=shutil.ignore_patterns("__pycache__"))
    settings = {name: value for name, value in OPTIONS.request().items() if name != "experiment"}
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    arms = [
        '{destination = "cloud-watch-logs", aggregation_interval_s = 60}',
        '{destination = "s3", file_format = "plain-text", aggregation_interval_s = 600}',
    ]
    text = "\n".join([*lines, f"arms = [{', '.join(arms)}]", ""])
    (folder / "functions" / "experiments" / f"{EXPERIMENT}.toml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def regions():
    with Region(region=HOME, also=(AWAY,), preset=OPTIONS.preset, time_scale=OPTIONS.time_scale) as regions:
        yield regions


@pytest.fixture(scope="module")
def stacks(regions, checkout):
    """Region to its stack's outputs; away from home, results go to the home's bucket."""
    schedule = {
        "Schedule": "on",
        "Experiment": EXPERIMENT,
        "ScheduleExpression": "rate(1 day)",  # a rate begins at once
        "ScheduleEnd": (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    template = checkout / "template.yaml"
    home = deploy(regions, template, parameters={**schedule, "ResultRegions": f"{HOME},{AWAY}"})
    satellite = {"HomeRegion": HOME, "HomeBucket": home["ResultsBucketName"]}
    away = deploy(regions, template, region_name=AWAY, parameters={**schedule, **satellite})
    return {HOME: home, AWAY: away}


@pytest.fixture(scope="module")
def executions(regions, stacks):
    """Region to the one execution that its schedule started, ended."""
    return {
        name: eventually(
            lambda name=name: of_schedule(regions, name, stacks[name]["StateMachineArn"]),
            lambda execution: execution is not None and execution["status"] != "RUNNING",
            within_s=240,
        )
        for name in stacks
    }


def of_schedule(regions, name, machine):
    states = regions.client("stepfunctions", name)
    started = states.list_executions(stateMachineArn=machine)["executions"]
    assert len(started) <= 1
    return states.describe_execution(executionArn=started[0]["executionArn"]) if started else None


def rows_of(regions, bucket, table):
    s3 = regions.client("s3", HOME)
    found = []
    for each in s3.list_objects_v2(Bucket=bucket, Prefix=f"{table}/").get("Contents", []):
        data = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
        region = each["Key"].split("/")[1].removeprefix("region=")
        found += [{**row, "region": region} for row in pq.ParquetFile(io.BytesIO(data)).read().to_pylist()]
    return found


@pytest.mark.parametrize("name", [HOME, AWAY])
def test_the_schedule_of_a_region_runs_it_under_the_name_of_its_hour(executions, name):
    execution = executions[name]

    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    summary, asked = json.loads(execution["output"]), json.loads(execution["input"])
    due = datetime.fromisoformat(asked["scheduled_at"])
    assert summary["run_id"] == f"{name}-{due:%Y%m%dT%H%M%SZ}"
    assert summary["verdict"] == "complete"


def test_both_regions_are_in_the_home_bucket_and_counted_by_a_named_query(regions, stacks, executions):
    assert executions
    home = stacks[HOME]
    athena = regions.client("athena", HOME)
    saved = [
        athena.get_named_query(NamedQueryId=each)["NamedQuery"]
        for each in athena.list_named_queries(WorkGroup=home["WorkgroupName"])["NamedQueryIds"]
    ]
    (progress,) = [each for each in saved if each["Name"].endswith("campaign_progress")]

    counted = run_query(
        athena, progress["QueryString"], workgroup=home["WorkgroupName"], database=progress["Database"]
    ).rows

    observations = rows_of(regions, home["ResultsBucketName"], "observations")
    assert {(row["region"], row["arm"]) for row in observations} == {
        (name, arm) for name in (HOME, AWAY) for arm in ARMS
    }
    assert {(row["source"], row["experiment"], row["region"]): row["n_complete"] for row in counted} == {
        ("local", EXPERIMENT, name): 1 for name in (HOME, AWAY)
    }
    assert {row["region"]: row["n_packets"] for row in counted} == {
        name: sum(row["region"] == name for row in observations) for name in (HOME, AWAY)
    }


def test_the_report_at_home_is_of_both_regions_whichever_publishes_it(regions, stacks, executions):
    s3 = regions.client("s3", HOME)
    for name, execution in executions.items():
        function = regions.client("cloudformation", name).describe_stack_resource(
            StackName=STACK, LogicalResourceId="PublishReportFunction"
        )["StackResourceDetail"]["PhysicalResourceId"]
        event = {"run_id": json.loads(execution["output"])["run_id"]}
        answer = regions.client("lambda", name).invoke(FunctionName=function, Payload=json.dumps(event))
        published = json.loads(answer["Payload"].read())
        assert published == {"page": f"{stacks[name]['ReportUri']}{EXPERIMENT}/index.html", "profiles": 4}
        key = f"report/{EXPERIMENT}/data.json"
        data = json.loads(s3.get_object(Bucket=stacks[HOME]["ResultsBucketName"], Key=key)["Body"].read())
        assert set(data["runs"]["region"]) == {HOME, AWAY}


def test_what_is_measured_stays_in_its_region(regions, stacks, executions):
    """Away from home there is a work bucket and nothing of Athena; at home nothing of the other region's work."""
    assert executions
    assert not {"WorkgroupName", "DatabaseName"} & stacks[AWAY].keys()
    for name, other in ((HOME, AWAY), (AWAY, HOME)):
        s3 = regions.client("s3", name)
        listed = s3.list_objects_v2(Bucket=stacks[name]["WorkBucketName"], Prefix="control/")["Contents"]
        runs = {each["Key"].split("/")[1] for each in listed} - {"bundles", "claims"}
        assert any(run.startswith(name) for run in runs)
        assert not any(run.startswith(other) for run in runs)
