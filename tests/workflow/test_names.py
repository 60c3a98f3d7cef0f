"""One name everywhere: a state, its function in the template, its file. And a machine that every cloud can run."""

import re
from importlib.util import find_spec

import pytest

from tests.workflow import sources

MACHINE = sources.machine()
STATES = sources.states(MACHINE)
TASKS = sources.tasks(MACHINE)

CLEANUP_OF = {
    "StopTrafficAfterFailure": "StopTraffic",
    "DeleteFlowLogsAfterFailure": "DeleteFlowLogs",
    "SummarizeFailedRun": "SummarizeRun",
}
"""States that call another state's function once a run has failed."""

NOT_A_STATE = {"DecodeRecordsFunction", "SweepFunction", "EmptyStackFunction"}
"""Called by CloudWatch Logs, by EventBridge and by CloudFormation."""


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize("name", TASKS)
def test_a_task_calls_the_function_of_its_name(name):
    assert sources.function_of(TASKS[name]) == f"{CLEANUP_OF.get(name, name)}Function"


@pytest.mark.parametrize("logical_id", sources.functions())
def test_a_function_is_the_file_of_its_name(logical_id):
    module = snake_case(logical_id.removesuffix("Function"))
    assert sources.functions()[logical_id]["Handler"] == f"{module}.handler"
    assert (sources.FUNCTIONS / f"{module}.py").is_file()
    assert find_spec(f"functions.{module}")


def test_every_function_is_a_state():
    called = {sources.function_of(task) for task in TASKS.values()}
    assert called == sources.functions().keys() - NOT_A_STATE


def test_every_file_is_a_function():
    files = {path.stem for path in sources.FUNCTIONS.glob("*.py")} - {"__init__"}
    assert files == {properties["Handler"].partition(".")[0] for properties in sources.functions().values()}


def test_the_template_fills_in_what_the_file_asks_for_and_no_more():
    asked = set(re.findall(r"\$\{(\w+)\}", str(MACHINE)))
    assert asked == sources.substitutions().keys()


def test_every_state_can_be_reached():
    for scope in sources.scopes(MACHINE):
        assert sources.reachable(scope) == scope["States"].keys()


def test_names_are_unique_inside_and_outside_of_a_map():
    assert len(STATES) == sum(len(scope["States"]) for scope in sources.scopes(MACHINE))


def test_every_failure_leads_to_cleanup_and_past_it_to_a_failed_execution():
    happy = sources.happy_path(MACHINE)
    for name, state in MACHINE["States"].items():
        if state["Type"] in {"Task", "Map"} and name != "PublishReport":
            assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
            assert happy.isdisjoint(catch["Next"] for catch in state["Catch"]), name
    after_failure = MACHINE["States"].keys() - happy
    assert [name for name in after_failure if "Next" not in STATES[name]] == ["RunFailed"]
    assert STATES["RunFailed"]["Type"] == "Fail"


def test_a_report_that_fails_leads_where_one_that_succeeds_does():
    publish = STATES["PublishReport"]
    (catch,) = publish["Catch"]
    assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], publish["Next"])
    assert catch["ResultPath"] is publish["ResultPath"] is None  # the run's own result stays
    assert STATES["SummarizeRun"]["Next"] == "PublishReport"


def test_only_a_run_of_another_execution_is_left_as_it_is():
    without_cleanup = {
        (name, *catch["ErrorEquals"])
        for name, state in STATES.items()
        for catch in state.get("Catch", [])
        if catch["Next"] == "RunFailed"
    }
    assert without_cleanup == {("PlanRun", "RunExists"), ("SummarizeFailedRun", "States.ALL")}


def test_whatever_fails_in_an_arm_fails_that_arm_alone():
    (arm,) = sources.scopes(MACHINE)[1:]
    for name, state in arm["States"].items():
        if state["Type"] == "Task":
            (catch,) = state["Catch"]
            assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "ArmFailed"), name
    assert arm["States"]["ArmFailed"]["End"]


def test_every_task_is_tried_again_when_lambda_itself_fails_and_cleanup_whatever_fails():
    happy = sources.happy_path(MACHINE)
    lambda_itself = {"ServiceException", "AWSLambdaException", "SdkClientException", "TooManyRequestsException"}
    for name, task in TASKS.items():
        (retry,) = task["Retry"]
        expected = {f"Lambda.{error}" for error in lambda_itself} if name in happy else {"States.ALL"}
        assert set(retry["ErrorEquals"]) == expected, name


def test_only_states_that_every_cloud_runs():
    assert {state["Type"] for state in STATES.values()} <= {
        "Task",
        "Wait",
        "Choice",
        "Map",
        "Pass",
        "Succeed",
        "Fail",
    }
    assert {task["Resource"] for task in TASKS.values()} == {"arn:aws:states:::lambda:invoke"}


def test_jsonpath_only():
    assert MACHINE.get("QueryLanguage", "JSONPath") == "JSONPath"
    for name, state in STATES.items():
        assert not state.keys() & {"QueryLanguage", "Arguments", "Output", "Assign"}, name
    assert "{%" not in str(MACHINE)
