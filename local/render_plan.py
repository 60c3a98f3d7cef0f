"""What `flowlag plan` prints for people: the answer, what it rests on, and what to know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from local.planner import LIMIT_LEVEL, Difference
from local.render import SOURCE_IN_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.planner import Plan, Promise


def plan(answer: Plan) -> Group:
    """The answer of `flowlag plan`."""
    source = answer.goal.spread.source if isinstance(answer.goal, Difference) else answer.goal.source
    table = Table("Plan", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right", overflow="fold")
    for name, value in _rows(answer):
        table.add_row(name, value)
    return Group(
        Text(_answer(answer), style="bold"),
        table,
        *(Text(note) for note in ((f"Pilot: {SOURCE_IN_WORDS[source]}",) if source else ()) + answer.notes),
    )


def _answer(answer: Plan) -> str:
    cost = f"{_counted(answer.days, 'day')}, {answer.usd:,.2f} USD"
    match answer.goal:
        case Difference(between="arms") as goal:
            return (
                f"A difference of {goal.seconds:g} s between two arms takes {_counted(goal.runs, 'run')}: {cost}."
            )
        case Difference() as goal:
            return (
                f"A difference of {goal.seconds:g} s between two campaigns takes {goal.runs // 2:,} runs of each,"
                f" {goal.runs:,} in all: {cost}."
            )
        case goal:
            stated = (
                f"To state with {goal.confidence:.4g} confidence when {goal.share:.4g} of the records are visible"
            )
            there = f", {goal.pilot_runs:,} of them there already" if goal.pilot_runs else ""
            return f"{stated} takes {_counted(goal.runs, 'run')}{there}: {cost}."


def _rows(answer: Plan) -> Iterator[tuple[str, str]]:
    campaign = answer.campaign
    yield from _difference(answer.goal) if isinstance(answer.goal, Difference) else _promise(answer.goal)
    yield "runs to be made", f"{answer.missing:,}"
    senders = _counted(len(campaign.stack.senders) * len(campaign.regions), "sender")
    yield f"runs a day, {campaign.runs_per_day} on each of {senders}", f"{campaign.runs_a_day}"
    yield "days", f"{answer.days:,}"
    yield f"USD, experiment '{campaign.request.experiment}'", f"{answer.usd:,.2f}"


def _difference(goal: Difference) -> Iterator[tuple[str, str]]:
    spread = goal.spread
    yield "true difference", f"{goal.seconds:g} s"
    yield "confidence", f"{goal.confidence:.4g}"
    yield "power wanted", f"{goal.power:.4g}"
    yield "power of these runs", f"{goal.power_of(goal.runs // goal.sides, spread.seconds):.3f}"
    yield "spread between runs (standard deviation)", f"{spread.seconds:.1f} s"
    if spread.limit_s is not None:
        runs = "too many" if goal.runs_at_limit is None else f"{goal.runs_at_limit:,}"
        yield f"spread at most, {LIMIT_LEVEL:.0%} sure", f"{spread.limit_s:.1f} s"
        yield "runs, were it that", runs


def _promise(goal: Promise) -> Iterator[tuple[str, str]]:
    yield "share of the records", f"{goal.share:.4g}"
    yield "confidence", f"{goal.confidence:.4g}"
    yield "runs in all", f"{goal.runs:,}"
    if goal.source:
        yield "runs there", f"{goal.pilot_runs:,}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
