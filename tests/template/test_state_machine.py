"""From each state of the run to the file that does its work, and back."""

import ast
import json
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from typing import Any

import pytest

from flowlag_aws import settings
from flowlag_aws.settings import FromEnvironment
from tests.functions.template import Template
from tests.template.parsed import (
    FUNCTIONS,
    GLOBALS,
    MACHINE,
    MACHINE_ID,
    RESOURCES,
    ROOT,
    TEMPLATE,
    of_type,
)

AFTER_FAILURE = "AfterFailure"
"""What a state is called that does the work of another one once a step has failed."""
OTHER_NAMES = {"SummarizeFailedRun": "SummarizeRun"}
OF_LIBRARIES = ("POWERTOOLS_", "ARROW_")


def tasks(states: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The states that call a function, also those inside of a Map."""
    for name, state in states.items():
        if state["Type"] == "Task":
            yield name, state
        yield from tasks(state.get("ItemProcessor", {}).get("States", {}))


TASKS = dict(tasks(json.loads((ROOT / MACHINE["DefinitionUri"]).read_text())["States"]))
SUBSTITUTIONS: dict[str, Any] = MACHINE["DefinitionSubstitutions"]
each_function = pytest.mark.parametrize("function", FUNCTIONS)


def module_of(function: str) -> str:
    """The file of a function."""
    return str(FUNCTIONS[function]["Handler"].partition(".")[0])


# ---------------------------------------------------------------- there
@pytest.mark.parametrize("state", TASKS)
def test_a_state_leads_to_the_function_and_the_file_of_its_name(state: str) -> None:
    assert TASKS[state]["Resource"] == "arn:aws:states:::lambda:invoke"
    placeholder = TASKS[state]["Parameters"]["FunctionName"]
    substitution = placeholder.removeprefix("${").removesuffix("}")
    function, attribute = SUBSTITUTIONS[substitution]["Fn::GetAtt"]
    module, _, handler = FUNCTIONS[function]["Handler"].partition(".")

    named = OTHER_NAMES.get(state, state.removesuffix(AFTER_FAILURE))
    assert (placeholder, attribute) == (f"${{{named}FunctionArn}}", "Arn")
    assert module.title().replace("_", "") == named
    assert (ROOT / GLOBALS["CodeUri"] / f"{module}.py").is_file()
    assert callable(getattr(import_module(f"functions.{module}"), handler))


# ---------------------------------------------------------------- and back
def test_every_substitution_is_used() -> None:
    used = {task["Parameters"]["FunctionName"] for task in TASKS.values()}
    assert used == {f"${{{name}}}" for name in SUBSTITUTIONS}


def test_every_function_has_somebody_who_invokes_it() -> None:
    by_states = {value["Fn::GetAtt"][0] for value in SUBSTITUTIONS.values()}
    by_events = {name for name, function in FUNCTIONS.items() if function.get("Events")}
    by_services = {each["FunctionName"]["Ref"] for each in of_type("AWS::Lambda::Permission").values()}
    by_cloudformation = {
        token["Fn::GetAtt"][0]
        for each in RESOURCES.values()
        if (token := each.get("Properties", {}).get("ServiceToken"))
    }
    assert by_states | by_events | by_services | by_cloudformation == FUNCTIONS.keys()


def test_the_state_machine_may_invoke_what_it_calls_and_no_more() -> None:
    called = {value["Fn::GetAtt"][0] for value in SUBSTITUTIONS.values()}
    assert {each["LambdaInvokePolicy"]["FunctionName"]["Ref"] for each in MACHINE["Policies"]} == called


@each_function
def test_a_function_is_named_like_its_file(function: str) -> None:
    assert function == f"{module_of(function).title().replace('_', '')}Function"
    assert FUNCTIONS[function]["Handler"].endswith(".handler")


def test_every_module_of_the_functions_is_deployed() -> None:
    modules = {path.stem for path in (ROOT / "functions").glob("*.py")} - {"__init__"}
    assert set(map(module_of, FUNCTIONS)) == modules


# ---------------------------------------------------------------- what a function is told
def settings_of(function: str) -> set[str]:
    """The variables that a function reads: the fields of the settings whose `read` it calls."""
    tree = ast.parse((ROOT / "functions" / f"{module_of(function)}.py").read_text())
    kinds = [
        getattr(settings, node.value.id)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "read" and isinstance(node.value, ast.Name)
    ]
    assert len(kinds) <= 1
    assert all(issubclass(kind, FromEnvironment) for kind in kinds)
    return {field.name.upper() for kind in kinds for field in fields(kind)}


@each_function
def test_a_function_is_told_all_that_it_reads_and_nothing_else(function: str) -> None:
    of_all = GLOBALS["Environment"]["Variables"].keys()
    own = FUNCTIONS[function].get("Environment", {}).get("Variables", {}).keys()
    read = settings_of(function)
    assert read <= of_all | own
    assert own <= read


def test_what_every_function_is_told_is_read() -> None:
    read = set().union(*map(settings_of, FUNCTIONS))
    unread = {name for name in GLOBALS["Environment"]["Variables"] if name not in read}
    assert [name for name in unread if not name.startswith(OF_LIBRARIES)] == []


# ---------------------------------------------------------------- the schedule
def schedules(name: str) -> dict[str, Any]:
    """The schedules of a function or state machine."""
    events = RESOURCES[name]["Properties"]["Events"]
    return {key: each["Properties"] for key, each in events.items() if each["Type"] == "ScheduleV2"}


@pytest.mark.parametrize(
    ("parameters", "states"),
    [
        ({}, {"FirstSender": "DISABLED", "SecondSender": "DISABLED"}),
        ({"SecondSenderInstanceType": "t2.micro"}, {"FirstSender": "DISABLED", "SecondSender": "DISABLED"}),
        ({"Schedule": "on"}, {"FirstSender": "ENABLED", "SecondSender": "DISABLED"}),
        (
            {"Schedule": "on", "SecondSenderInstanceType": "t2.micro"},
            {"FirstSender": "ENABLED", "SecondSender": "ENABLED"},
        ),
    ],
)
def test_no_run_starts_by_itself_unless_somebody_wants_it(
    parameters: dict[str, str], states: dict[str, str]
) -> None:
    deployed = Template(**parameters)
    assert {name: deployed.resolve(each["State"]) for name, each in schedules(MACHINE_ID).items()} == states


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({}, []),
        ({"Schedule": "on"}, ["a schedule needs an end, ScheduleEnd, as in 2027-01-31T00:00:00Z"]),
        ({"Schedule": "on", "ScheduleEnd": "2027-01-31T00:00:00Z"}, []),
        (
            {"HomeRegion": "eu-west-1"},
            ["a stack away from home needs HomeBucket, the home stack's output ResultsBucketName"],
        ),
        ({"HomeRegion": "eu-west-1", "HomeBucket": "flowlag-resultsbucket-1a2b3c"}, []),
        ({"HomeBucket": "flowlag-resultsbucket-1a2b3c"}, []),
        ({"PublishedReport": "cloudfront"}, []),
        (
            {"PublishedReport": "cloudfront", "HomeBucket": "flowlag-resultsbucket-1a2b3c"},
            ["only the stack that makes the results bucket can publish its report, so HomeBucket must be empty"],
        ),
    ],
)
def test_what_is_only_half_said_is_refused(parameters: dict[str, str], refused: list[str]) -> None:
    wanted = Template(**parameters)
    assert refused == [
        assertion["AssertDescription"]
        for rule in TEMPLATE["Rules"].values()
        if wanted.holds(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not wanted.holds(assertion["Assert"])
    ]


def test_a_schedule_ends_fires_at_random_and_tells_what_it_could_not_start() -> None:
    for each in schedules(MACHINE_ID).values():
        assert each["EndDate"] == {"Fn::If": ["IsScheduled", {"Ref": "ScheduleEnd"}, {"Ref": "AWS::NoValue"}]}
        assert each["FlexibleTimeWindow"]["Mode"] == "FLEXIBLE"
        assert each["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["UnstartedRuns", "Arn"]}}
        assert each["OmitName"] is True  # a name would keep a second stack out of the region
