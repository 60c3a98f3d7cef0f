"""What `flowlag lookback` prints for people: the share that a rule misses, or how far it has to look back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from local.durations import in_units
from local.lookback import LEVEL, SEEN_PERCENT
from local.render import SOURCE_IN_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.lookback import Counted, Lookback, Measured, Range

_SMALLEST_SHARE: Final = 0.0001
_UNKNOWN: Final = "-"


def lookback(answer: Lookback) -> Group:
    """The answer of `flowlag lookback`."""
    measured = answer.everything
    return Group(
        Text(SOURCE_IN_WORDS[answer.source], style="bold"),
        Text(_answer(answer), style="bold"),
        Text(
            f"{_counted(measured.n_packets, 'packet')}, {_counted(measured.n_bursts, 'burst')},"
            f" {_counted(measured.n_runs, 'run')}"
        ),
        _needs(answer) if answer.rule.within_s is None else _misses(answer),
        Text(_of_start(answer)),
        *map(Text, answer.notes),
    )


def _answer(answer: Lookback) -> str:
    rule, counted = answer.rule, answer.everything.from_send
    every = in_units(rule.every_s)
    if rule.within_s is not None and counted.missed_share is not None:
        return (
            f"A rule that runs every {every} over the last {in_units(rule.within_s)} misses"
            f" {_share(counted.missed_share)} of the flow records."
        )
    needed = counted.needed_s[100]
    return (
        f"A rule that runs every {every} has to look back {in_units(needed)} to see all of these flow records."
        if needed is not None
        else f"A rule that runs every {every} cannot see all of these flow records, however far it looks back."
    )


def _misses(answer: Lookback) -> Table:
    columns: dict[str, Callable[[Counted], str]] = {
        "missed": lambda counted: _share(counted.missed_share),
        "lowest\nrun": lambda counted: _end(counted.missed_share_over_runs, "min", _share),
        "highest\nrun": lambda counted: _end(counted.missed_share_over_runs, "max", _share),
        f"{LEVEL:.0%}\ninterval": lambda counted: _interval(counted.missed_share_interval),
        "nothing is\nmissed from": lambda counted: _duration(counted.needed_s[100]),
    }
    rows = list(_rows(answer))
    told = {name: tell for name, tell in columns.items() if any(tell(counted) != _UNKNOWN for _, counted in rows)}
    table = _table("Counted from", *told)
    for name, counted in rows:
        table.add_row(name, *(tell(counted) for tell in told.values()))
    return table


def _needs(answer: Lookback) -> Table:
    table = _table("To see", *(f"{percent}%" for percent in SEEN_PERCENT))
    for name, counted in _rows(answer):
        table.add_row(name, *(_duration(counted.needed_s[percent]) for percent in SEEN_PERCENT))
        if answer.everything.n_runs > 1:
            for row, end in (("  lowest run", "min"), ("  highest run", "max")):
                ranges = (counted.needed_over_runs_s[percent] for percent in SEEN_PERCENT)
                table.add_row(row, *(_end(bounds, end, in_units) for bounds in ranges))
    return table


def _rows(answer: Lookback) -> Iterator[tuple[str, Counted]]:
    """Both counts of all records, and then of each arm."""
    yield from _both("", answer.everything)
    if len(answer.arms) > 1:
        for name, measured in answer.arms.items():
            yield from _both(f"{name}, ", measured)


def _both(prefix: str, measured: Measured) -> Iterator[tuple[str, Counted]]:
    yield f"{prefix}send", measured.from_send
    yield f"{prefix}`start`", measured.from_start


def _of_start(answer: Lookback) -> str:
    apart_s = answer.everything.start_before_send_s
    apart = (
        ""
        if apart_s is None
        else f", here {abs(apart_s):.1f} s {'before' if apart_s >= 0 else 'after'} it on average"
    )
    return (
        "A SIEM mostly takes a record's `start` for its time: the label of a capture window of about a minute, not"
        f" the time of the packet{apart}, so that the same look-back reaches other records."
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _share(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"<{_SMALLEST_SHARE:.2%}" if 0 < value < _SMALLEST_SHARE else f"{value:.2%}"


def _end(bounds: Range | None, end: str, told: Callable[[float], str]) -> str:
    return _UNKNOWN if bounds is None else told(getattr(bounds, end))


def _interval(bounds: Range | None) -> str:
    return _UNKNOWN if bounds is None else f"{bounds.min * 100:.2f}-{bounds.max:.2%}"


def _duration(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else in_units(seconds)


def _table(title: str, *numbers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(title, no_wrap=True)
    for each in numbers:
        table.add_column(each, justify="right", overflow="fold")
    return table
