"""What the tests run, read from the files that are deployed: the template and the state machine."""

import json
import re
from typing import Any

from tests.cloudformation import ROOT, document, of_type

FUNCTIONS = ROOT / "functions"

type State = dict[str, Any]


def functions() -> dict[str, dict[str, Any]]:
    """The properties of the template's functions, with its globals as SAM adds them, by logical id."""
    return {name: _with_globals(own) for name, own in of_type("AWS::Serverless::Function").items()}


def _with_globals(own: dict[str, Any]) -> dict[str, Any]:
    shared = document()["Globals"]["Function"]
    variables = shared["Environment"]["Variables"] | own.get("Environment", {}).get("Variables", {})
    layers = shared["Layers"] + own.get("Layers", [])
    return shared | own | {"Environment": {"Variables": variables}, "Layers": layers}


def substitutions() -> dict[str, Any]:
    """What the template fills into the state machine's file."""
    (machine,) = of_type("AWS::Serverless::StateMachine").values()
    return machine["DefinitionSubstitutions"]


def machine() -> State:
    """The state machine, as it stands in the file."""
    (properties,) = of_type("AWS::Serverless::StateMachine").values()
    return json.loads((ROOT / properties["DefinitionUri"]).read_text())


def scopes(machine: State) -> list[State]:
    """A machine and those inside its Map states: each has `StartAt` and `States`."""
    inner = [state["ItemProcessor"] for state in machine["States"].values() if state["Type"] == "Map"]
    return [machine, *(scope for each in inner for scope in scopes(each))]


def states(machine: State) -> dict[str, State]:
    """Every state by its name, those inside a Map too."""
    return {name: state for scope in scopes(machine) for name, state in scope["States"].items()}


def tasks(machine: State) -> dict[str, State]:
    """Every state that calls a function."""
    return {name: state for name, state in states(machine).items() if state["Type"] == "Task"}


def function_of(task: State) -> str:
    """The logical id of the function that a task calls."""
    name = re.fullmatch(r"\$\{(\w+)\}", task["Parameters"]["FunctionName"])[1]
    return substitutions()[name]["Fn::GetAtt"][0]


def module_of(task: State) -> str:
    """The module of the function that a task calls."""
    return functions()[function_of(task)]["Handler"].removesuffix(".handler")


def reachable(scope: State, *, after_failure: bool = True) -> set[str]:
    """The states of a scope that its first one leads to; `after_failure`: or that a failure does."""
    found: set[str] = set()
    open_ends = [scope["StartAt"]]
    while open_ends:
        name = open_ends.pop()
        state = scope["States"][name]
        if name not in found and (after_failure or not _is_failure(state)):
            found.add(name)
            open_ends += _next(state, after_failure=after_failure)
    return found


def _is_failure(state: State) -> bool:
    """Whether the run has failed once it is in this state, though nothing was caught."""
    return state.get("ResultPath") == "$.failure"


def _next(state: State, *, after_failure: bool) -> list[str]:
    choices = [*state.get("Choices", []), *(state.get("Catch", []) if after_failure else [])]
    after = [state.get("Next"), state.get("Default"), *(choice["Next"] for choice in choices)]
    return [name for name in after if name]


def happy_path(machine: State) -> set[str]:
    """The states that a run passes through in which nothing fails, those inside a Map too."""
    return {name for scope in scopes(machine) for name in reachable(scope, after_failure=False)}


def cleanup(machine: State) -> list[str]:
    """The tasks that a run comes to only when something fails."""
    return sorted(tasks(machine).keys() - happy_path(machine))


FAILING_BEFORE_CLEANUP = "CheckFirstDelivery"
"""The task to fail where cleanup is wanted: there is traffic by then, and a flow log."""
