"""What `flowlag query` prints: a table for people, and plain lines for what reads a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import ConsoleOptions, RenderResult

    from flowlag_aws.athena import Answer, Value

_UNLIMITED: Final = 100_000


def show(title: str, answer: Answer) -> None:
    """Print an answer to standard output: for people if that is a terminal, else as text between tabs."""
    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        console.print(Answered(title, answer))
    else:
        click.echo("\n".join(_lines(answer)))


def _lines(answer: Answer) -> Iterator[str]:
    """The columns, and then the rows. Nothing stands for NULL."""
    yield "\t".join(answer.columns)
    for row in answer.rows:
        yield "\t".join("" if value is None else str(value) for value in row.values())


class Answered:
    """An answer under its title: one table where it fits, else for each row a list of its columns and values."""

    def __init__(self, title: str, answer: Answer) -> None:
        self._title = title
        self._answer = answer

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render as wide as there is room."""
        yield Text(self._title, style="bold")
        if not self._answer.rows:
            yield Text("Nothing: there are no runs that could answer it.")
            return
        table = self._table()
        if console.measure(table, options=options.update(max_width=_UNLIMITED)).maximum <= options.max_width:
            yield table
        else:
            yield from self._lists()

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in self._answer.columns:
            numbers = all(isinstance(row[name], int | float | None) for row in self._answer.rows)
            table.add_column(name, justify="right" if numbers else "left", no_wrap=True)
        for row in self._answer.rows:
            table.add_row(*(cell(row[name]) for name in self._answer.columns))
        return table

    def _lists(self) -> Iterator[Table]:
        for row in self._answer.rows:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
            for name in self._answer.columns:
                table.add_row(name, cell(row[name]))
            yield table


def cell(value: Value) -> str:
    """A value as people read it: three decimals, or three digits of what is smaller than 1."""
    match value:
        case None:
            return "-"
        case float():
            return f"{value:,.3f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"
        case int():
            return f"{value:,}"
        case _:
            return value
