import pytest

from tests.functions.events import EVENTS, PACKED, load
from tests.functions.run import pack, unpack
from tests.functions.stack import STATES
from tests.functions.template import ROOT


def test_there_is_no_other_file() -> None:
    assert {path.stem for path in (ROOT / "events").iterdir()} == EVENTS.keys() | PACKED.keys()


@pytest.mark.parametrize("name", EVENTS)
def test_a_files_event_is_the_readable_one(name: str) -> None:
    assert load(name) == EVENTS[name], "python -m tests.functions.events"


@pytest.mark.parametrize("name", PACKED)
def test_a_files_envelope_holds_the_readable_delivery(name: str) -> None:
    # Not byte for byte: another zlib packs otherwise.
    assert unpack(load(name)) == PACKED[name], "python -m tests.functions.events"
    assert unpack(pack(PACKED[name])) == PACKED[name]


def test_every_function_has_an_event() -> None:
    modules = {path.stem for path in (ROOT / "functions").glob("*.py")} - {"__init__"}
    assert {name.partition(".")[0] for name in EVENTS.keys() | PACKED.keys()} == modules


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ("PlanRun", "plan_run"),
        ("StartTraffic", "start_traffic"),
        ("CreateFlowLog", "create_flow_log"),
        ("CheckFirstDelivery", "check_first_delivery"),
        ("StopTraffic", "stop_traffic"),
        ("StopTrafficAfterFailure", "stop_traffic"),
        ("DeleteFlowLogs", "delete_flow_logs"),
        ("DeleteFlowLogsAfterFailure", "delete_flow_logs"),
        ("ReconcileRun", "reconcile_run"),
        ("SummarizeRun", "summarize_run"),
        ("SummarizeFailedRun", "summarize_run.failure"),
        ("PublishReport", "publish_report"),
    ],
)
def test_an_event_has_what_the_state_machine_sends(state: str, name: str) -> None:
    sent = {key.removesuffix(".$") for key in STATES[state]["Parameters"]["Payload"]}
    assert sent == EVENTS[name].keys()


def test_no_state_that_calls_a_function_is_left_out() -> None:
    tasks = {name for name, state in STATES.items() if state["Type"] == "Task"}
    (cases,) = (mark.args[1] for mark in test_an_event_has_what_the_state_machine_sends.pytestmark)
    assert tasks == {state for state, _ in cases}
