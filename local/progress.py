"""Progress on the terminal: what is being done, and how far it is.

It is drawn on standard error and taken away in the end, and only where that is a terminal and no `--json` is asked
for. So neither a pipe nor a log ever holds any of it.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from rich.console import RenderableType

PATIENCE_S: Final = 1
"""What is done sooner needs no progress: it would only flicker."""

type Expected = Sequence[tuple[str, float]]
"""The steps of a run in order, each with the seconds that it usually takes."""


def _drawn(*columns: ProgressColumn, console: Console) -> Progress:
    # An answer goes where it was meant to: rich would send standard output to where it draws.
    return Progress(*columns, console=console, transient=True, redirect_stdout=False)


# ---------------------------------------------------------------- work that takes as long as it takes
class Work:
    """What a command is doing. Silent until it is given a picture to draw itself in."""

    def __init__(self, drawing: Progress | None = None, what: str = "") -> None:
        self._drawing = drawing
        self.now(what)

    def now(self, what: str, parts: int | None = None) -> None:
        """Say what is being done now, and of how many parts it is, if that is known."""
        if self._drawing:
            for task in self._drawing.task_ids:
                self._drawing.remove_task(task)
            self._drawing.add_task(what, total=parts)

    def step(self) -> None:
        """One of its parts is done."""
        if self._drawing:
            self._drawing.advance(self._drawing.task_ids[-1])


UNWATCHED: Final = Work()
"""Work that nobody is told of."""


@contextmanager
def working(what: str, *, as_json: bool = False) -> Iterator[Work]:
    """Say what is being done while it is, if that takes longer than `PATIENCE_S`.

    Args:
        what: in words, such as "reading observations".
        as_json: whether the answer is for a program, which nobody watches.
    """
    console = Console(stderr=True, highlight=False)
    if as_json or not console.is_terminal:
        yield UNWATCHED
        return
    counted = (_Counted(each) for each in (BarColumn(), MofNCompleteColumn()))
    words = TextColumn("{task.description}", markup=False)
    drawing = _drawn(SpinnerColumn(), words, TimeElapsedColumn(), *counted, console=console)
    with _Patiently(drawing):
        yield Work(drawing, what)


class _Patiently:
    """Draws a picture after a while, unless it is over by then."""

    def __init__(self, drawing: Progress) -> None:
        self._drawing = drawing
        self._is_over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(PATIENCE_S, self._draw)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._is_over = True
        self._drawing.stop()

    def _draw(self) -> None:
        with self._lock:
            if not self._is_over:
                self._drawing.start()


class _Counted(ProgressColumn):
    """A column for work of so many parts; of other work it says nothing."""

    def __init__(self, column: ProgressColumn) -> None:
        super().__init__()
        self._column = column

    def render(self, task: Task) -> RenderableType:
        """Draw it, or nothing."""
        return "" if task.total is None else self._column.render(task)


# ---------------------------------------------------------------- steps of about known length
class Steps:
    """A progress bar over steps of known order and about known length.

    A step that runs longer than expected waits at its end; entering an earlier step, or one that is not
    expected, changes the words and not the bar.
    """

    def __init__(self, expected: Expected, console: Console) -> None:
        self._starts: dict[str, tuple[float, float]] = {}
        total = 0.0
        for name, seconds in expected:
            self._starts[name] = (total, seconds)
            total += seconds
        self._progress = _drawn(
            TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._progress.add_task("", total=total)
        self._entered = time.monotonic()
        self._start, self._length = -1.0, 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def finish(self) -> None:
        """Take the bar off the screen."""
        self._progress.stop()

    @property
    def completed(self) -> float:
        """Seconds of the expected time that the bar shows as gone by."""
        return self._progress.tasks[0].completed

    def enter(self, name: str) -> None:
        """Say which step it is now; to be called again and again while a step lasts."""
        start, length = self._starts.get(name, (self._start, 0.0))
        if start > self._start:
            self._entered, self._start, self._length = time.monotonic(), start, length
        within = min(time.monotonic() - self._entered, self._length)
        self._progress.update(self._task, description=name, completed=self._start + within)
