"""Every function, with the layers as built, in the container that SAM would use."""

import io
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flowlag.record import PROBE_FORMAT
from local.sam_local.events import RUN, unpacked
from local.sam_local.places import architecture
from local.sam_local.sam import BUILT, VARIABLES
from tests.cloudformation import document

pytestmark = pytest.mark.slow

FUNCTIONS = {
    name: each for name, each in document()["Resources"].items() if each["Type"] == "AWS::Serverless::Function"
}
PLANTED = Path(__file__).with_name("planted")


# ---------------------------------------------------------------- each of them
def test_functions_run_in_containers(session, engine, record_property):
    record_property("says", f"sam local: {session.description}; {session.image}")
    assert "Docker" in engine.description or "Finch" in engine.description
    assert "3.13" in session.image
    assert "glibc" in session.image


def test_every_function_of_the_template_answers_each_of_its_events(rehearsal):
    assert {each.function.name for each in rehearsal.played.values()} == FUNCTIONS.keys()
    assert {name: each.outcome.failure for name, each in rehearsal.played.items() if each.outcome.failure} == {}


@pytest.mark.usefixtures("engine")
def test_every_container_has_the_function_s_memory(rehearsal):
    for each in rehearsal.played.values():
        if each.event == each.function.module:
            (reported,) = re.findall(r"Memory Size: (\d+) MB", each.outcome.log)
            assert int(reported) == each.function.memory_mb, each.function.name


# ---------------------------------------------------------------- what they did
def test_the_parquet_of_a_delivery_is_the_delivery(rehearsal):
    """What DecodeRecords landed, row by row, beside the lines that it was sent."""
    sent = rehearsal.played["decode_records"].sent
    (file,) = landed(rehearsal.landing["decode_records"], unpacked(sent)["logEvents"])
    rows = {row["event_id"]: row for row in file}
    lines = {each["id"]: each["message"] for each in unpacked(sent)["logEvents"]}
    assert len(rows) == 3
    for event_id, row in rows.items():
        record = PROBE_FORMAT.parse(lines[event_id])
        assert row["run_id"] == RUN
        assert row["srcport"] == row["tick"] % 65_536 == record.number("srcport")
        assert abs(row["tick"] - record.number("start")) < 60
        assert (row["packets"], row["bytes"]) == (record.number("packets"), record.number("bytes"))
        assert row["interface_id"] == record.text("interface-id")


def landed(objects, events):
    """The rows of each object that has rows of these events."""
    ids = {each["id"] for each in events}
    for body in objects.values():
        rows = pq.read_table(io.BytesIO(body)).to_pylist()
        if ids & {row["event_id"] for row in rows}:
            yield rows


def test_records_are_told_apart(rehearsal):
    nothing = {"probes": 0, "foreign": 0, "nodata": 0, "skipdata": 0, "stale": 0, "unparsable": 0}
    answers = {name: each.outcome.answer for name, each in rehearsal.played.items()}
    whole = nothing | {"probes": 3, "foreign": 3, "nodata": 1, "skipdata": 1, "unparsable": 1}
    assert answers["decode_records"] == answers["decode_records.redelivery"] == whole
    assert answers["decode_records.control"] == {}
    assert answers["decode_records.nodata"] == nothing | {"nodata": 1}
    assert answers["decode_records.foreign"] == nothing | {"foreign": 1}
    assert answers["decode_records.s3_object"] == {"unparsable": 1}


def test_a_redelivery_leaves_the_first_one_as_it_was(rehearsal):
    events = unpacked(rehearsal.played["decode_records"].sent)["logEvents"]
    (first,), (second,) = (
        landed(rehearsal.landing[name], events) for name in ("decode_records", "decode_records.redelivery")
    )
    assert first == second


def test_what_is_no_delivery_is_kept_whole(rehearsal):
    new = (
        rehearsal.results["decode_records.s3_object"].keys() - rehearsal.results["decode_records.redelivery"].keys()
    )
    kept = [
        row
        for key in new
        if key.startswith("quarantine/")
        for row in pq.read_table(io.BytesIO(rehearsal.results["decode_records.s3_object"][key])).to_pylist()
    ]
    assert [json.loads(row["raw"]) for row in kept] == [rehearsal.played["decode_records.s3_object"].sent]


def test_a_run_goes_from_plan_to_verdict(rehearsal):
    answers = {name: each.outcome.answer for name, each in rehearsal.played.items()}
    assert answers["plan_run"]["arms"] == ["cloudwatch-600"]
    assert answers["stop_traffic"]["sending"]["sent"] > 0
    assert answers["check_first_delivery"]["check"]["first_record_at"]
    assert answers["delete_flow_logs"] == {"deleted": [answers["create_flow_log"]["flow_log_id"]]}
    (arm,) = answers["reconcile_run"]["arms"]
    assert arm["counts"]["observed"] > 0
    assert arm["observations"] in rehearsal.results["reconcile_run"]
    assert (answers["summarize_run"]["verdict"], answers["summarize_run.failure"]["verdict"]) == (
        "complete",
        "void",
    )
    assert answers["sweep"]["problems"] == []


def test_the_emptied_stack_has_answered_cloudformation(session, rehearsal):
    assert rehearsal.played["empty_stack"].outcome.answer is None
    assert session.stage.answered()["Status"] == "SUCCESS"
    assert session.stage.objects(session.stage.outputs["WorkBucketName"], "") == {}


# ---------------------------------------------------------------- what goes wrong is noticed
@pytest.fixture(scope="session")
def planted(session, tmp_path_factory):
    """What came of each planted function; SAM's exit status is 0 for every one of them."""
    if session.engine is None:
        return {}
    folder = tmp_path_factory.mktemp("planted")
    shutil.copytree(PLANTED, folder / "code")
    layers = {path.name: path for path in BUILT.iterdir() if path.name.endswith("Layer")}
    resources = {
        name: {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": str(path)}}
        for name, path in layers.items()
    }
    for handler, properties in {
        "raises": {},
        "sleeps": {"Timeout": 2},
        "eats": {},
        "tells": {"Layers": [{"Ref": name} for name in layers], "MemorySize": 384, "Timeout": 50},
    }.items():
        resources[handler.capitalize()] = {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Architectures": [architecture()],
                "CodeUri": str(folder / "code"),
                "Handler": f"planted.{handler}",
                "MemorySize": 128,
                "Timeout": 30,
                **properties,
            },
        }
    template = folder / "template.json"
    template.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}))
    packages = [
        path.name
        for layer in layers.values()
        for path in (layer / "python").iterdir()
        if path.is_dir() and path.name.isidentifier() and path.name != "__pycache__"
    ]
    with ThreadPoolExecutor(2) as pool:
        return dict(
            pool.map(
                lambda name: (
                    name,
                    session.runner.invoke_of(template, name, {"import": packages}, session.stage.root()),
                ),
                ("Raises", "Sleeps", "Eats", "Tells"),
            )
        )


@pytest.mark.usefixtures("engine")
def test_an_exception_is_noticed(planted):
    assert planted["Raises"].failure == "LookupError: planted"


@pytest.mark.usefixtures("engine")
def test_the_end_of_a_function_s_time_is_noticed(planted):
    assert "timed out after 2 seconds" in planted["Sleeps"].failure


@pytest.mark.usefixtures("engine")
def test_too_much_memory_is_noticed(planted):
    assert "killed" in planted["Eats"].failure


@pytest.mark.usefixtures("engine")
def test_layers_are_under_opt_and_code_is_read_only(planted):
    told = planted["Tells"].answer
    assert planted["Tells"].failure == ""
    assert told["homes"].keys() >= {"flowlag", "flowlag_aws", "pyarrow"}
    assert all(home.startswith("/opt/python/") for home in told["homes"].values())
    assert told["handler"] == "/var/task/planted.py"
    assert not told["can_write"]
    assert told["memory_mb"] == 384
    assert 30_000 < told["remaining_ms"] <= 50_000


def test_functions_have_what_they_were_deployed_with(session):
    variables = json.loads(VARIABLES.read_text())
    assert variables.keys() == FUNCTIONS.keys()
    assert {each["WORK_BUCKET"] for each in variables.values()} == {session.stage.outputs["WorkBucketName"]}
