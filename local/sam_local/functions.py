"""The template's functions, each with its events, in the order in which a run calls them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from flowlag.errors import FlowlagError
from local.sam_local.places import EVENTS, STATE_MACHINE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FUNCTION: Final = "AWS::Serverless::Function"
CUSTOM: Final = "Custom::"

_FIRST_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "create_flow_log": ("plan_run",),
    "check_first_delivery": ("start_traffic", "create_flow_log"),
    "delete_flow_logs": ("check_first_delivery",),
    "decode_records": ("create_flow_log",),
    "sweep": ("reconcile_run",),
    "stop_traffic": ("start_traffic", "create_flow_log"),
    "reconcile_run": ("stop_traffic", "check_first_delivery", "decode_records"),
}
"""What must have been before, where that is not just the state before: what need not wait goes at the same time."""


class NoEvent(FlowlagError):
    """A function of the template has no event to be invoked with."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the template.

    Attributes:
        name: its logical id.
        handler: what Lambda calls.
        code: the folder of its code.
        layers: the folders of its layers, in order.
        memory_mb: what it is given.
        timeout_s: how long it may take.
        events: files of events/, the normal case first.
        needs: the modules of functions that come before it.
    """

    name: str
    handler: str
    code: str
    layers: tuple[str, ...]
    memory_mb: int
    timeout_s: int
    events: tuple[Path, ...]
    needs: tuple[str, ...]

    @property
    def module(self) -> str:
        """Its file in functions/, without `.py`, by which its events are called."""
        return module_of(self.handler)


def read_functions(template: Mapping[str, Any], events: Path = EVENTS) -> list[Function]:
    """The functions of a template, in order.

    Raises:
        NoEvent: one has none, or an event is nobody's.
    """
    defaults = template["Globals"]["Function"]
    resources = {name: each for name, each in template["Resources"].items() if each["Type"] == FUNCTION}
    properties = {name: {**defaults, **each["Properties"]} for name, each in resources.items()}
    modules = {name: module_of(each["Handler"]) for name, each in properties.items()}
    files = {module: _events_of(module, events) for module in modules.values()}
    for name, module in modules.items():
        if not files[module]:
            raise NoEvent(f"{name} has no event: write {events.name}/{module}.json")
    strangers = {path.name for path in events.iterdir()} - {path.name for path in chain(*files.values())}
    if strangers:
        raise NoEvent(f"{events.name}/{min(strangers)} is no function's: it is called like no file in functions/")
    needs = _needs(modules, template["Resources"])
    order = [*TopologicalSorter(needs).static_order()]
    return [
        Function(
            name,
            properties[name]["Handler"],
            properties[name]["CodeUri"],
            tuple(_layers(defaults, resources[name]["Properties"], template["Resources"])),
            properties[name]["MemorySize"],
            properties[name]["Timeout"],
            files[modules[name]],
            needs[modules[name]],
        )
        for name in sorted(modules, key=lambda name: order.index(modules[name]))
    ]


def module_of(handler: str) -> str:
    """The module of a handler, `module.function`."""
    return handler.partition(".")[0]


def _layers(defaults: Mapping[str, Any], own: Mapping[str, Any], resources: Mapping[str, Any]) -> Iterator[str]:
    """The folders of a function's layers: SAM puts those of all functions before its own."""
    for layer in [*defaults.get("Layers", []), *own.get("Layers", [])]:
        yield resources[layer["Ref"]]["Properties"]["ContentUri"]


def _events_of(module: str, events: Path) -> tuple[Path, ...]:
    """`module.json` and then `module.*.json`: the first is the normal case."""
    normal = events / f"{module}.json"
    return (normal, *sorted(events.glob(f"{module}.*.json"))) if normal.exists() else ()


def _needs(modules: Mapping[str, str], resources: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What each function needs to have been invoked before, in order: the run, then what no run calls.

    What a custom resource calls empties the stack, so it comes last.
    """
    last = {
        modules[each["Properties"]["ServiceToken"]["Fn::GetAtt"][0]]
        for each in resources.values()
        if each["Type"].startswith(CUSTOM)
    }
    machine = next(each for each in resources.values() if each["Type"] == "AWS::Serverless::StateMachine")
    called = [
        modules[machine["Properties"]["DefinitionSubstitutions"][name]["Fn::GetAtt"][0]]
        for name in dict.fromkeys(_called(json.loads(STATE_MACHINE.read_text())))
    ]
    needs: dict[str, tuple[str, ...]] = {}
    for module, before in zip(called, [(), *((each,) for each in called)], strict=False):
        needs[module] = _FIRST_NEEDS.get(module, before)
    between = [each for each in modules.values() if each not in needs and each not in last]
    needs |= {module: _FIRST_NEEDS.get(module, tuple(called)) for module in between}
    return needs | {module: tuple(needs) for module in modules.values() if module in last}


def _called(states: Any) -> Iterator[str]:  # noqa: ANN401 - a document
    """The names of the substitutions by which the states call functions, in the order of the document."""
    match states:
        case {"FunctionName": str(name)}:
            yield name.removeprefix("${").removesuffix("}")
        case dict():
            yield from chain.from_iterable(map(_called, states.values()))
        case list():
            yield from chain.from_iterable(map(_called, states))
