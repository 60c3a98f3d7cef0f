"""A rehearsal: every function once with each of its events, in the order of a run, so that each finds its work."""

from __future__ import annotations

import json
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from local.sam_local.events import HANDED_ON, moved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from local.sam_local.functions import Function
    from local.sam_local.invocation import Outcome
    from local.sam_local.stage import Stage

AT_ONCE: Final = 3
"""Invocations: they wait for the embedded AWS half of the time."""


class Runner(Protocol):
    """What runs functions."""

    @property
    def gateway(self) -> str:
        """By which name or address a function reaches this machine."""

    def invoke(self, function: Function, event: Mapping[str, Any]) -> Outcome:
        """Invoke a function once."""


@dataclass(frozen=True, slots=True)
class Played:
    """One invocation.

    Attributes:
        function: which function.
        event: the name of the event's file, without `.json`.
        sent: what the function got.
        outcome: what came of it.
        took_s: how long it took, with the container's start.
    """

    function: Function
    event: str
    sent: Mapping[str, Any]
    outcome: Outcome
    took_s: float


def rehearse(
    functions: Iterable[Function],
    runner: Runner,
    warm: Runner,
    stage: Stage,
    heard: Callable[[Played], None] = lambda _: None,
) -> list[Played]:
    """Invoke every function with each of its events: by `runner` in the normal case, by `warm` in the others.

    `heard` is told of each invocation as it ends, in any thread.
    """
    waiting, played = _parts(list(functions)), list[Played]()
    under_way: dict[Future[list[Played]], _Part] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while waiting or under_way:
            unfinished = {each.name for each in [*waiting, *under_way.values()]}
            ready = [each for each in waiting if not unfinished & each.needs]
            for part in ready[: AT_ONCE - len(under_way)]:
                waiting.remove(part)
                by = runner if part.is_normal else warm
                under_way[pool.submit(_invocations, part, by, stage, tuple(played), heard)] = part
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for task in done:
                del under_way[task]
                played += task.result()
    return played


@dataclass(frozen=True, slots=True)
class _Part:
    """A function's normal case, or its others, one after the other."""

    name: str
    function: Function
    events: Sequence[Path]
    needs: AbstractSet[str]
    is_normal: bool


def _parts(functions: Sequence[Function]) -> list[_Part]:
    """What others wait for comes first. A function that needs all others waits for all of their cases."""
    names = {each.module for each in functions}
    normal, others = [], []
    for each in functions:
        needs = names & set(each.needs)
        is_last = needs == names - {each.module}
        and_others = {_others(name) for name in needs} if is_last else set()
        normal.append(_Part(each.module, each, each.events[:1], needs | and_others, is_normal=True))
        if more := each.events[1:]:
            others.append(_Part(_others(each.module), each, more, {each.module}, is_normal=False))
    return [*normal, *others]


def _others(module: str) -> str:
    return f"{module}.*"


def _invocations(
    part: _Part, runner: Runner, stage: Stage, before: Iterable[Played], heard: Callable[[Played], None]
) -> list[Played]:
    answers = {each.event: each.outcome.answer for each in before}
    played = []
    for path in part.events:
        event = moved(json.loads(path.read_text()), stage.here(runner.gateway), time.time())
        member, whose = HANDED_ON.get(path.stem, ("", ""))
        if whose in answers:
            event[member] = answers[whose]
        if "log_group" in event.get("creation", {}):
            stage.await_first_delivery(event["creation"]["log_group"])
        began = time.monotonic()
        outcome = runner.invoke(part.function, event)
        played.append(Played(part.function, path.stem, event, outcome, time.monotonic() - began))
        heard(played[-1])
    return played
