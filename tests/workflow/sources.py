"""What the tests run, read from the files that are deployed: the template and the state machine."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
FUNCTIONS = CHECKOUT / "functions"

type State = dict[str, Any]


class _Template(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref X` is `{Ref: X}`, `!Sub X` is `{Fn::Sub: X}`."""


def _short_form(loader: _Template, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_Template.add_multi_constructor("!", _short_form)


@cache
def template() -> dict[str, Any]:
    """The template, as it stands in the file."""
    return yaml.load((CHECKOUT / "template.yaml").read_text(), _Template)  # noqa: S506 - a SafeLoader


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of the template's resources of one type, by logical id."""
    found = template()["Resources"].items()
    return {name: resource["Properties"] for name, resource in found if resource["Type"] == kind}


def functions() -> dict[str, dict[str, Any]]:
    """The properties of the template's functions, with its globals as SAM adds them, by logical id."""
    return {name: _with_globals(own) for name, own in resources("AWS::Serverless::Function").items()}


def _with_globals(own: dict[str, Any]) -> dict[str, Any]:
    shared = template()["Globals"]["Function"]
    variables = shared["Environment"]["Variables"] | own.get("Environment", {}).get("Variables", {})
    layers = shared["Layers"] + own.get("Layers", [])
    return shared | own | {"Environment": {"Variables": variables}, "Layers": layers}


def substitutions() -> dict[str, Any]:
    """What the template fills into the state machine's file."""
    (machine,) = resources("AWS::Serverless::StateMachine").values()
    return machine["DefinitionSubstitutions"]


def machine() -> State:
    """The state machine, as it stands in the file."""
    (properties,) = resources("AWS::Serverless::StateMachine").values()
    return json.loads((CHECKOUT / properties["DefinitionUri"]).read_text())


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
    return substitutions()[name]["Fn::GetAtt"].removesuffix(".Arn")


def resolved(value: Any, known: dict[str, str]) -> str:
    """A template's value as text, given what is known by name: `Ref` and `GetAtt` names, pseudo parameters."""
    match value:
        case {"Ref": name} | {"Fn::GetAtt": name}:
            return known[name]
        case {"Fn::Sub": text}:
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: known[found[1]], text)
        case _:
            return str(value)


def reachable(scope: State, *, after_failure: bool = True) -> set[str]:
    """The states of a scope that its first one leads to; `after_failure`: or that a failure does."""
    found: set[str] = set()
    open_ends = [scope["StartAt"]]
    while open_ends:
        name = open_ends.pop()
        if name not in found:
            found.add(name)
            open_ends += _next(scope["States"][name], after_failure=after_failure)
    return found


def _next(state: State, *, after_failure: bool) -> list[str]:
    choices = [*state.get("Choices", []), *(state.get("Catch", []) if after_failure else [])]
    after = [state.get("Next"), state.get("Default"), *(choice["Next"] for choice in choices)]
    return [name for name in after if name]


def happy_path(machine: State) -> set[str]:
    """The states that a run passes through in which nothing fails, those inside a Map too."""
    return {name for scope in scopes(machine) for name in reachable(scope, after_failure=False)}
