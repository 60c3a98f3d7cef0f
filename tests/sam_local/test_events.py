"""The template's functions and their events; no engine is needed for any of it."""

import copy
import json
from pathlib import Path

import pytest

from flowlag.landing import land
from flowlag.plan import RunPlan
from local.sam_local import events
from local.sam_local.events import Here, moved, packed, unpacked
from local.sam_local.functions import NoEvent, read_functions
from local.sam_local.invocation import Outcome
from tests.cloudformation import ROOT, document
from tests.functions import run

HERE = Here("000000000000", "eni-00000000000000001", "http://there/answer")
DAY_S = 86_400

TEMPLATE = copy.deepcopy(document())
TEMPLATE["Globals"]["Function"].setdefault("CodeUri", "functions/")  # as `sam build` writes one into every function


def with_one_more():
    template = copy.deepcopy(TEMPLATE)
    template["Resources"]["OneMoreFunction"] = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"Handler": "one_more.handler"},
    }
    return template


# ---------------------------------------------------------------- which
def test_every_function_is_there_with_its_events():
    functions = read_functions(TEMPLATE)
    assert {path.name for each in functions for path in each.events} == {
        path.name for path in (ROOT / "events").iterdir()
    }
    assert all(each.events[0].stem == each.module for each in functions)


def test_a_function_without_an_event_is_an_error():
    with pytest.raises(NoEvent, match=r"^OneMoreFunction has no event: write events/one_more\.json$"):
        read_functions(with_one_more())


def test_an_instructive_event_alone_is_none(tmp_path):
    for path in (ROOT / "events").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "one_more.rare.json").write_text("{}")
    with pytest.raises(NoEvent, match="OneMoreFunction has no event"):
        read_functions(with_one_more(), tmp_path)


def test_an_event_of_no_function_is_an_error(tmp_path):
    for path in (ROOT / "events").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "one_more.json").write_text("{}")
    with pytest.raises(NoEvent, match=r"one_more\.json is no function's"):
        read_functions(TEMPLATE, tmp_path)


def test_a_new_function_comes_after_the_run_and_before_the_stack_is_emptied(tmp_path):
    for path in (ROOT / "events").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "one_more.json").write_text("{}")
    *before, last = read_functions(with_one_more(), tmp_path)
    (new,) = (each for each in before if each.module == "one_more")
    assert {"plan_run", "summarize_run"} <= set(new.needs)
    assert last.module == "empty_stack"
    assert set(last.needs) == {each.module for each in before}


def test_layers_are_those_of_all_functions_and_then_its_own():
    layers = {each.module: [Path(layer).name for layer in each.layers] for each in read_functions(TEMPLATE)}
    assert layers["plan_run"] == ["core", "aws"]
    assert layers["decode_records"] == ["core", "aws", "arrow"]


# ---------------------------------------------------------------- when and where
def test_the_run_that_they_tell_of_is_the_one_of_the_functions_tests():
    assert (run.PLAN.run_id, run.REGION, run.ACCOUNT) == (events.RUN, events.REGION, events.ACCOUNT)
    assert (run.PLAN.interface_id, run.NOON, run.PLAN.target_port) == (events.INTERFACE, events.NOON, events.PORT)


# The port that is never sent comes round every 65,536 s: here just before, at and after it.
@pytest.mark.parametrize(
    "now", [run.NOON + 30, run.NOON + 5 * DAY_S + 12_345, *range(27_396 * 65_536 - 300, 27_396 * 65_536 + 300, 41)]
)
def test_a_moved_delivery_decodes_to_probes_of_now(now):
    event = moved(json.loads((ROOT / "events/decode_records.json").read_text()), HERE, now)
    delivery = unpacked(event)
    ids, messages = zip(*((each["id"], each["message"]) for each in delivery["logEvents"]), strict=True)
    plan = RunPlan.of_json({**run.PLAN.to_json(), "interface_id": HERE.interface_id})
    landed = land(plan, run.ARM, ids, messages, now * 1_000_000)
    assert landed.sifted.counts() == {
        "probes": 3, "foreign": 3, "nodata": 1, "skipdata": 1, "stale": 0, "unparsable": 1,
    }  # fmt: skip
    assert all(0 <= now - each.tick <= 240 for each in landed.observations)
    assert all(each.srcport != 0 for each in landed.observations)


def test_names_of_another_stack_are_replaced():
    event = moved(json.loads((ROOT / "events/empty_stack.json").read_text()), HERE, run.NOON + DAY_S)
    assert event["ResponseURL"] == HERE.answer_url
    assert event["StackId"] == f"arn:aws:cloudformation:{run.REGION}:{HERE.account}:stack/{run.STACK}/0"


def test_instants_are_moved_in_their_own_unit():
    event = {
        "t0_before_call": run.instant(run.NOON) + 250_000,
        "startDate": run.NOON * 1_000,
        "other": 1_234_567_890,
    }
    later = 10 * DAY_S
    assert moved(event, HERE, run.NOON + 120 + later) == {
        "t0_before_call": run.instant(run.NOON + later) + 250_000,
        "startDate": (run.NOON + later) * 1_000,
        "other": 1_234_567_890,
    }


def test_unpacking_undoes_packing():
    assert unpacked(packed(run.delivery({}))) == run.delivery({})


# ---------------------------------------------------------------- what came of it
REPORT = "END RequestId: 1\nREPORT RequestId: 1 Duration: 2000.00 ms\n"


@pytest.mark.parametrize(
    ("stdout", "stderr", "failure"),
    [
        ('{"a": 1}', REPORT, ""),
        ("null", REPORT, ""),
        ('{"errorType": "LookupError", "errorMessage": "no"}', REPORT, "LookupError: no"),
        ("", f"Function 'Slow' timed out after 2 seconds\n{REPORT}", "Function 'Slow' timed out after 2 seconds"),
        ("\n", REPORT, "it ended without an answer"),
        ("half an ans", REPORT, "it answered what is no JSON: half an ans"),
    ],
)
def test_an_outcome_is_judged_by_what_was_printed(stdout, stderr, failure):
    assert Outcome.of(stdout, stderr).failure == failure


def test_an_error_of_the_cli_is_one():
    assert Outcome.of("", "Error: no such function\n", status=1).failure == (
        "sam ended with status 1: Error: no such function"
    )
