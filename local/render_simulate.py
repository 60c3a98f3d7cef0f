"""What `flowlag simulate` prints for people: what was made, how late it is, and where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from flowlag.plan import SIMULATED
from local.render import SOURCE_IN_WORDS
from local.simulate.output import TRUTH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_COUNTS: Final = ("packets", "bursts", "runs", "missing")
_IN_RUNS: Final = ("min", "p50", "p95", "p99", "max")
_OF_ALL: Final = ("p50", "p95")


def simulation(told: Mapping[str, Any], out: Path) -> Group:
    """The answer of `flowlag simulate`."""
    arms = told["arms"]
    counts = _table("What was made", *_COUNTS)
    delays = _table("Seconds", *_IN_RUNS, *(f"of all\n{name}" for name in _OF_ALL))
    for name, arm in arms.items():
        counts.add_row(name, *(f"{arm[f'n_{each}']:,}" for each in _COUNTS))
        in_runs, of_all = arm["delay_with_missing_s"], arm["population"]["delay_with_missing_s"]
        delays.add_row(name, *_seconds(in_runs, _IN_RUNS), *_seconds(of_all, _OF_ALL))
    return Group(
        Text(SOURCE_IN_WORDS[SIMULATED], style="bold"),
        counts,
        delays,
        Text(
            "From the send to the delivery; what is missing is later than all of it. `of all` is what the model"
            " gives to all flow logs that there could be: these runs are a sample of them."
        ),
        Text(
            f"The tables are in {out}, with what is true of them in {out / TRUTH}: try 'flowlag analyze {out}' or"
            f" 'flowlag query delay_percentiles --source {out}'."
        ),
    )


def _table(title: str, *names: str) -> Table:
    table = Table(title, box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _seconds(delay: Mapping[str, float | None] | None, names: Sequence[str]) -> list[str]:
    values = [delay and delay[name] for name in names]
    return ["-" if value is None else f"{value:.2f}" for value in values]
