"""Everything that `sam local` needs, up for as long as it is entered, with the time that each step takes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from local.checkout import CHECKOUT
from local.sam_local.emulator import enter_emulator
from local.sam_local.engine import Engine, NoEngine, enter_engine
from local.sam_local.events import REGION
from local.sam_local.functions import Function, read_functions
from local.sam_local.image import image_name
from local.sam_local.places import WORK
from local.sam_local.rehearsal import Played, rehearse
from local.sam_local.sam import (
    COMMANDS,
    TEMPLATE,
    await_build,
    building,
    sam_environment,
    write_settings,
    write_template,
)
from local.sam_local.sam_local import SamLocal
from local.sam_local.stage import Stage

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from local.sam_local.rehearsal import Runner

DEBUG_PORT: Final = 5858


class Session:
    """An engine with the image, the built functions, and the embedded AWS with the stack; or the emulator.

    Args:
        say: is told each step that is done, in one line.

    Attributes:
        engine: what runs containers; None where the emulator stands in for it.
        description: what runs the functions, for people.
        why: why it is not what comes first, one sentence each.
        image: what the functions run on, for people.
        runner: invokes the functions, each time in a new container.
        warm: invokes them in containers that stay, by `sam local start-lambda`.
        stage: what they work on.
        functions: the template's.
    """

    engine: Engine | None
    runner: Runner
    warm: Runner
    stage: Stage
    functions: list[Function]

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self._say = say
        self.description = self.image = ""
        self.why: list[str] = []

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            with self._step("engine"):
                self.engine, self.why = enter_engine(undo)
            undo.enter_context(_alone())
            build = undo.enter_context(building())  # meanwhile, as the image
            with ThreadPoolExecutor(1) as beside:
                image = beside.submit(self.engine.provide, image_name()) if self.engine else None
                with self._step("embedded AWS, with the stack"):
                    self.stage = undo.enter_context(Stage())
                with self._step("image, the rest of it"):
                    self.image = image.result() if image else "none"
            with self._step("sam build, the rest of it"):
                await_build(build)
                write_template({name: each.name for name, each in self.stage.functions.items()})
            template: dict[str, Any] = json.loads(TEMPLATE.read_text())
            self.functions = read_functions(template)
            self.runner, self.warm = self._sam_local(undo) if self.engine else self._emulated(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._step("down"):
            self._undo.close()

    def rehearse(self, heard: Callable[[Played], None] = lambda _: None) -> list[Played]:
        """Invoke every function with each of its events; `heard` is told of each invocation, in any thread."""

        def tell(played: Played) -> None:
            self._say(
                f"{played.took_s:7.1f} s    {played.function.name} < {played.event}.json: "
                f"{played.outcome.failure or 'ok'}"
            )
            heard(played)

        with self._step("all functions"):
            return rehearse(self.functions, self.runner, self.warm, self.stage, tell)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - what subprocess.Popen takes
        """Start a program in the checkout, to which `sam local` is as to a user who has set all of it up.

        Raises:
            NoEngine: there is no container engine, and so no `sam local`.
            NotServed: `sam local start-lambda` does not listen.
        """
        engine = self._needed()
        self._served.await_it()
        environment = sam_environment(**self.stage.root(), **engine.environment)
        environment["PATH"] = f"{COMMANDS}{os.pathsep}{environment['PATH']}"
        return engine.popen(command, env=environment, cwd=CHECKOUT, **options)

    def debugger(self) -> contextlib.AbstractContextManager[int]:
        """The port of this machine's 127.0.0.1 that leads to `DEBUG_PORT` where `start`'s programs run."""
        return self._needed().let_out(DEBUG_PORT)

    def _needed(self) -> Engine:
        if self.engine is None:
            raise NoEngine(f"without a container engine there is no `sam local`: {'; '.join(self.why)}")
        return self.engine

    def _sam_local(self, undo: ExitStack) -> tuple[Runner, Runner]:
        engine = self._needed()
        self.description = engine.description
        self.stage.write_variables(engine.gateway)
        write_settings(REGION)
        undo.enter_context(engine.let_in(self.stage.port))
        sam_local = undo.enter_context(contextlib.closing(SamLocal(engine, self.stage)))
        self._served = undo.enter_context(sam_local.serving())
        return sam_local, self._served

    def _emulated(self, undo: ExitStack) -> tuple[Runner, Runner]:
        emulator = enter_emulator(undo, self.stage)
        self.description = emulator.description
        return emulator, emulator

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._say(f"{time.monotonic() - began:7.1f} s  {name}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other session of this checkout builds there."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
