"""Where `flowlag watch` shows a run: drawn on a terminal, else a line for each event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from flowlag_aws.clock import now
from local.watch import render
from local.watch.events import Telling, told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from rich.console import RenderableType

    from local.watch.events import Event
    from local.watch.reading import Seen


class View(Protocol):
    """Shows a run as it goes on."""

    def show(self, seen: Seen) -> None:
        """Show what was seen."""

    def tell(self, event: Event) -> None:
        """Tell what happened to the watching itself."""

    def end(self, summary: Mapping[str, Any]) -> None:
        """Show how the run ended."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def view(*, as_json: bool) -> View:
    """The view that fits standard output."""
    if as_json:
        return Objects()
    console = Console(highlight=False, markup=False)
    return Screen(console) if console.is_terminal else Lines()


class Lines:
    """A line for each event."""

    def __init__(self) -> None:
        self._telling = Telling(self.tell)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, seen: Seen) -> None:
        """Tell what is new."""
        self._telling.show(seen)

    def tell(self, event: Event) -> None:
        """Tell an event in words."""
        click.echo(told(event))

    def end(self, summary: Mapping[str, Any]) -> None:
        """Tell how the run ended."""
        for line in render.ended_in_lines(summary):
            click.echo(line)


class Objects(Lines):
    """A JSON object for each event, and a last one for the end."""

    def tell(self, event: Event) -> None:
        """Tell an event as it is."""
        click.echo(json.dumps(event, allow_nan=False))

    def end(self, summary: Mapping[str, Any]) -> None:
        """Tell how the run ended."""
        self.tell(summary)


_FRAMES_A_SECOND = 2
"""Enough for a clock that shows seconds."""


class Screen:
    """A picture that is drawn anew as time goes by, also between two looks."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: Seen | None = None
        self._note: Event | None = None
        self._live = Live(
            get_renderable=self._frame,
            console=console,
            refresh_per_second=_FRAMES_A_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, seen: Seen) -> None:
        """Draw what was seen."""
        self._seen, self._note = seen, None
        self._live.refresh()

    def tell(self, event: Event) -> None:
        """Draw it under the rest, until the next look."""
        self._note = event

    def end(self, summary: Mapping[str, Any]) -> None:
        """Leave the picture as it is, and print how the run ended under it."""
        self._live.stop()
        self._console.print(render.ended(summary))

    def _frame(self) -> RenderableType:
        if self._seen is None:
            return Text("Looking for the run ...", "dim")
        note = [Text(told(self._note), "yellow")] if self._note else []
        return Group(render.frame(self._seen, now()), *note)
