"""Progress on the terminal: the step a run is in, and how much of the expected time has gone by."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from rich.console import Console

type Expected = Sequence[tuple[str, float]]
"""The steps of a run in order, each with the seconds that it usually takes."""


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
        self._progress = Progress(
            TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
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
