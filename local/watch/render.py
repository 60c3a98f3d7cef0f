"""What `flowlag watch` shows on a terminal: the states, the arms under them, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from flowlag.plan import AWS
from flowlag_stats.sawtooth import BURSTS_FOR_FIT
from local.durations import in_units
from local.render import SOURCE_IN_WORDS, number
from local.watch import arms
from local.watch.events import count
from local.watch.history import CUT_OFF, DONE, FAILED, RUNNING
from local.watch.reading import read_every_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

    from flowlag.instants import Micros
    from local.watch.arms import ArmSeen
    from local.watch.history import Visit
    from local.watch.outlook import Outlook
    from local.watch.reading import Seen

_MARKS: Final[Mapping[str, tuple[str, str]]] = {
    RUNNING: ("●", "cyan"),
    DONE: ("✓", "green"),
    FAILED: ("✗", "bold red"),
    CUT_OFF: ("-", "yellow"),
}
_ENDED: Final = {
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "ABORTED": "was aborted",
    "TIMED_OUT": "timed out",
}
_ROOM: Final = 160
_READS_TO_BE_LATE: Final = 2
"""What is due may lie in its log group unread for as long as it is not read again."""
_JUST_BEFORE_US: Final = 2_000_000
"""The newest probe of a traffic window was sent so long before its end, at most."""


def frame(seen: Seen, at: Micros) -> RenderableType:
    """A run as it is at an instant."""
    parts: list[RenderableType] = [Text(_heading(seen, at), "bold", overflow="fold")]
    if seen.plan and seen.plan.source != AWS:
        parts.append(Text("Not AWS: these times are this machine's, and its flow logs may be faster.", "dim"))
    parts.append(_states(seen, at))
    if seen.history.visit("EachArm") and not seen.history.answer("SummarizeRun"):
        parts.append(_arms(seen, at))
        parts += [Text(f"{arm.name}: {arm.unread.why}", "yellow") for arm in seen.arms if arm.unread]
    return Group(*parts)


def _heading(seen: Seen, at: Micros) -> str:
    end = seen.history.end
    lasted = in_units(max(0, (end.at if end else at) - seen.began_at) / 1_000_000)
    how = f"it {_ENDED[end.status]} after {lasted}" if end else f"running for {lasted}"
    return f"Run {seen.run_id} of {seen.stack} in {seen.region}: {how}"


# ---------------------------------------------------------------- the states
def _states(seen: Seen, at: Micros) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, min_width=8)
    table.add_column(overflow="fold")
    for visit in seen.history.states:
        mark, style = _MARKS[visit.ending]
        table.add_row(Text(mark, style), visit.state, in_units(visit.seconds(at)), _detail(seen, visit, at))
    return table


def _detail(seen: Seen, visit: Visit, at: Micros) -> str:
    left = seen.left_s(visit.state, at)
    if left is not None:
        return f"{in_units(left)} left" if left else "over any moment"
    if visit.failures:
        return f"{count(len(visit.failures), 'attempt')} failed: {_short(visit.failures[-1].why)}"
    return ""


def _short(why: str) -> str:
    """What has room in a picture: a cause may be a whole traceback, and the summary has it."""
    return why if len(why) <= _ROOM else f"{why[:_ROOM]} ..."


# ---------------------------------------------------------------- the arms
def _arms(seen: Seen, at: Micros) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("arm", overflow="fold")
    table.add_column("first delivery", min_width=22, overflow="fold")
    table.add_column("packets", justify="right")
    table.add_column("bursts", justify="right")
    table.add_column("next delivery", min_width=18, overflow="fold")
    until = seen.history.end.at if seen.history.end else at
    for arm in seen.arms:
        numbers = (f"{arm.outlook.n_packets:,}", str(arm.outlook.n_bursts)) if arm.outlook else ("", "")
        table.add_row(arm.name, _first(seen, arm, until), *numbers, _next(seen, arm, at))
    return table


def _first(seen: Seen, arm: ArmSeen, at: Micros) -> str:
    waited = in_units(arm.waited_s(at) or 0)
    match arm.status:
        case arms.PLANNED:
            return "" if seen.history.end else "creating the flow log"
        case arms.FAILED:
            return f"failed: {_short(arm.failure.why)}" if arm.failure else ""
        case arms.EXPIRED:
            return f"none within {waited}"
        case arms.DELIVERED:
            return f"after {waited}"
        case _:
            return f"waited {waited}, {count(arm.looks.polls, 'look')}"


def _next(seen: Seen, arm: ArmSeen, at: Micros) -> str:
    if seen.history.end:
        return ""
    if arm.status == arms.WAITING and arm.usual:
        how = "usually" if arm.usual.is_measured else "by assumption"
        return f"the first one {how} within {in_units(arm.usual.longest_s)}"
    if arm.unread:
        return "cannot be read"
    return _due(seen, arm.outlook, at) if arm.outlook else ""


def _due(seen: Seen, outlook: Outlook, at: Micros) -> str:
    window = seen.history.visit("TrafficWindow")
    if window and window.left_at and outlook.newest_sent_at >= window.left_at - _JUST_BEFORE_US:
        return "window delivered"
    if outlook.due_at is None:
        return f"needs {BURSTS_FOR_FIT} bursts"
    left_s = (outlook.due_at - at) / 1_000_000
    if left_s > 0:
        return f"due in {in_units(left_s)}"
    is_late = seen.plan and -left_s > _READS_TO_BE_LATE * read_every_s(seen.plan)
    return f"was due {in_units(-left_s)} ago" if is_late else "due now"


# ---------------------------------------------------------------- how it ended
def ended(summary: Mapping[str, Any]) -> Group:
    """The summary of a run, for people."""
    parts: list[RenderableType] = [Text(line, style, overflow="fold") for line, style in _verdict(summary)]
    if summary["arms"]:
        parts += [_results(summary["arms"]), *map(Text, _how_to_read(summary))]
    return Group(*parts, *map(Text, _page(summary)))


def ended_in_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """The same, a line each."""
    yield from (line for line, _ in _verdict(summary))
    for name, arm in summary["arms"].items():
        delay = arm["delay_s"]
        delays = ", ".join(f"{each} {number(delay[each])} s" for each in _PERCENTILES) if delay else "no delay"
        so_many = f"{arm['n_packets']:,} packets in {count(arm['n_bursts'], 'burst')} of {count(1, 'run')}"
        yield f"{name}: {so_many}; {delays}; {_missing(arm)} missing"
    if summary["arms"]:
        yield SOURCE_IN_WORDS[summary["source"]]
    yield from _page(summary)


_PERCENTILES: Final = ("p50", "p95", "max")


def _verdict(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    why = f": {summary['failure']}" if summary["failure"] else ""
    verdict = summary["verdict"] or "none, as the run was never summarized"
    style = {"complete": "bold green", "partial": "bold yellow"}.get(verdict, "bold red")
    yield f"The run {_ENDED[summary['execution_status']]} after {in_units(summary['seconds'])}{why}", "bold"
    yield f"Verdict: {verdict}{''.join(f'; {reason}' for reason in summary['reasons'])}", style


def _results(of_arms: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(
        "arm", "first", "packets", "bursts", "missing", *_PERCENTILES, box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name, arm in of_arms.items():
        delay = arm["delay_s"] or {}
        table.add_row(
            name,
            number(arm["first_delivery_s"]),
            f"{arm['n_packets']:,}",
            str(arm["n_bursts"]),
            _missing(arm),
            *(number(delay.get(each)) for each in _PERCENTILES),
        )
    return table


def _missing(arm: Mapping[str, Any]) -> str:
    return ", ".join(f"{many} {reason}" for reason, many in arm["missing"].items()) or "none"


def _how_to_read(summary: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "Seconds: `first` from the flow log's creation to its first record, the others from the send to the "
        "delivery, of 1 run; below 5 runs no interval is given."
    )
    yield SOURCE_IN_WORDS[summary["source"]]


def _page(summary: Mapping[str, Any]) -> Iterator[str]:
    if summary["page"]:
        yield f"The page is {summary['page']}"
    elif summary["not_published"]:
        yield f"The page was not published: {summary['not_published']}"
