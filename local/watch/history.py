"""What an execution's history tells: the states it has entered, how each ended, and how the run did.

AWS links events by `previousEventId` and tells every state inside a Map; the embedded AWS (MiniStack 1.5.33) links
nothing and tells only the tasks inside a Map, without saying whose they are. Both are read here: where nothing
tells which of a Map's items an event belongs to, and the Map is still open, the event is left out.

How AWS chains was read from histories that LocalStack's tests recorded on AWS
(tests/aws/services/stepfunctions/v2/scenarios/test_base_scenarios.snapshot.json, read 2026-11): an item's first
event names its index, but is chained to a state of an earlier item where items wait for one another, and the last
events of the Map are chained to an item's. So an index comes from MapIterationStarted alone, and what is of the Map
itself has none.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from flowlag_aws.clock import micros
from flowlag_aws.executions import failure_in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flowlag.instants import Micros

RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
CUT_OFF: Final = "cut off"
"""How a visit ended: the last one is that of a state which was not over when the execution was."""

_TAKES_TIME: Final = frozenset({"Task", "Wait", "Map"})
_ENTERED, _EXITED = "StateEntered", "StateExited"
_ATTEMPT_FAILED: Final = frozenset({"TaskFailed", "TaskStartFailed", "TaskSubmitFailed", "TaskTimedOut"})
_ENDS: Final = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionAborted": "ABORTED",
    "ExecutionTimedOut": "TIMED_OUT",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """That something failed: an attempt of a task, an arm, or one of our own questions; and why."""

    at: Micros
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A state, from when it was entered.

    Attributes:
        kind: Task, Wait, Map, Pass, Choice, Succeed or Fail.
        item: which item of the Map it belongs to; None outside.
        left_at: None while it lasts.
        ending: `RUNNING`, `DONE`, `FAILED` or `CUT_OFF`.
        failures: of its attempts, of which the last one may have succeeded.
        given: the state's input.
        answer: what its task answered, or what the state made of it all; None while there is nothing.
    """

    state: str
    kind: str
    item: int | None
    entered_at: Micros
    left_at: Micros | None = None
    ending: str = RUNNING
    failures: tuple[Failure, ...] = ()
    given: Any = None
    answer: Any = None

    def seconds(self, at: Micros) -> float:
        """How long it took, or has lasted at an instant; never below zero, as two clocks may disagree."""
        return max(0, (at if self.left_at is None else self.left_at) - self.entered_at) / 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How an execution ended.

    Attributes:
        failure: why, in words; empty where it succeeded, or where nobody said.
    """

    at: Micros
    status: str
    failure: str


@dataclass(frozen=True, slots=True)
class History:
    """An execution so far. Visits are in the order in which their states were entered."""

    visits: tuple[Visit, ...]
    end: End | None

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]]) -> History:
        """Read the events of GetExecutionHistory, in any order."""
        reader = _Reader()
        for event in sorted(events, key=lambda each: int(each["id"])):
            reader.read(event)
        return cls(tuple(reader.finished()), reader.end)

    @property
    def states(self) -> list[Visit]:
        """The states outside the Map that take time: Pass, Choice, Succeed and Fail do not."""
        return [each for each in self.visits if each.item is None and each.kind in _TAKES_TIME]

    def visit(self, state: str) -> Visit | None:
        """The last visit of a state outside the Map."""
        return next((each for each in reversed(self.states) if each.state == state), None)

    def is_in(self, state: str) -> bool:
        """Whether the execution is in a state outside the Map."""
        visit = self.visit(state)
        return visit is not None and visit.left_at is None

    def answer(self, *states: str) -> dict[str, Any]:
        """What the function of the first of these states that has one answered; nothing, if none has yet."""
        for state in states:
            visit = self.visit(state)
            if visit and isinstance(visit.answer, dict) and isinstance(visit.answer.get("Payload"), dict):
                return dict(visit.answer["Payload"])
        return {}

    @property
    def failed_arms(self) -> dict[str, Failure]:
        """Arm to its failure: known at once where the Map's items are told, else when the Map is over."""
        found = {}
        over = self.visit("EachArm")
        if over and over.left_at is not None and isinstance(over.answer, dict):
            down = [each for each in over.answer.get("outcomes", []) if not each["is_up"]]
            found = {each["arm"]: Failure(over.left_at, _why(each["failure"])) for each in down}
        told = [each for each in self.visits if each.state == "ArmFailed" and isinstance(each.given, dict)]
        return found | {each.given["arm"]: Failure(each.entered_at, _why(each.given["failure"])) for each in told}


# ---------------------------------------------------------------- reading
type _Item = int | None


class _Reader:
    """Reads events in order. Outside the Map, and in each of its items, one state at a time is open."""

    def __init__(self) -> None:
        self.end: End | None = None
        self._visits: list[Visit] = []
        self._items: dict[int, _Item] = {}
        self._open: dict[_Item, int] = {}

    def read(self, event: Mapping[str, Any]) -> None:
        kind, at = str(event["type"]), micros(event["timestamp"])
        details = event.get(f"{_details(kind)}EventDetails", {})
        item = self._items[event["id"]] = self._item(event)
        if kind in _ENDS:
            self.end = End(at=at, status=_ENDS[kind], failure=_failure(details))
        elif kind.endswith(_ENTERED):
            self._open[item] = len(self._visits)
            self._visits.append(
                Visit(
                    state=details["name"],
                    kind=kind.removesuffix(_ENTERED),
                    item=item,
                    entered_at=at,
                    given=_value(details.get("input")),
                )
            )
        elif kind.endswith(_EXITED):
            self._leave(item, at, _value(details.get("output")))
        elif kind == "TaskSucceeded":
            self._change(item, answer=_value(details.get("output")), ending=DONE)
        elif kind in _ATTEMPT_FAILED:
            self._fail(item, Failure(at, _failure(details)))

    def finished(self) -> list[Visit]:
        """The visits. One that is open runs, whatever became of its attempts; with the execution it ends."""
        return [self._finished(each) if each.left_at is None else each for each in self._visits]

    def _finished(self, visit: Visit) -> Visit:
        if self.end is None:
            return replace(visit, ending=RUNNING)
        return replace(visit, left_at=self.end.at, ending=FAILED if visit.ending == FAILED else CUT_OFF)

    def _item(self, event: Mapping[str, Any]) -> _Item:
        """The Map's item that an event belongs to."""
        kind = str(event["type"])
        if kind == "MapIterationStarted":
            return int(event["mapIterationStartedEventDetails"]["index"])
        if kind.startswith(("MapState", "Execution")):
            return None
        return self._items.get(event.get("previousEventId", 0))

    def _leave(self, item: _Item, at: Micros, output: object) -> None:
        visit = self._visit(item)
        if visit is None:
            return
        answer = visit.answer if visit.kind == "Task" else output
        self._change(item, left_at=at, ending=FAILED if visit.ending == FAILED else DONE, answer=answer)
        del self._open[item]

    def _fail(self, item: _Item, failure: Failure) -> None:
        visit = self._visit(item)
        if visit is not None:
            self._change(item, failures=(*visit.failures, failure), ending=FAILED)

    def _change(self, item: _Item, **changes: Any) -> None:  # noqa: ANN401 - fields of a visit
        visit = self._visit(item)
        # Where a Map's items are not told, their tasks seem to be of the Map, and a Map has no task.
        if visit is not None and (visit.kind == "Task" or "left_at" in changes):
            self._visits[self._open[item]] = replace(visit, **changes)

    def _visit(self, item: _Item) -> Visit | None:
        return self._visits[self._open[item]] if item in self._open else None


def _details(kind: str) -> str:
    """What the details of an event are called: those of all states alike."""
    for ending in (_ENTERED, _EXITED):
        if kind.endswith(ending):
            kind = ending
    return kind[0].lower() + kind[1:]


def _value(text: str | None) -> Any:  # noqa: ANN401 - JSON
    with suppress(ValueError, TypeError):
        return json.loads(text or "")
    return None


def _failure(details: Mapping[str, Any]) -> str:
    """What failed, as an event has it."""
    return failure_in_words(details.get("error", ""), details.get("cause", ""))


def _why(failure: Mapping[str, str]) -> str:
    return failure_in_words(failure.get("Error", ""), failure.get("Cause", ""))
