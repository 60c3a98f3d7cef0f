"""Programs on a terminal of 80 columns and 24 lines: what they draw there, and what they print elsewhere."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

FLOWLAG = (sys.executable, "-c", "from local.cli import main; main(prog_name='flowlag')")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PATIENCE_S = 120


@dataclass(frozen=True)
class Shown:
    """What a program left: its exit code, what was drawn on the terminal, and what went into the pipe."""

    exit_code: int
    drawn: str
    piped: str


def on_a_terminal(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    pipes_output: bool = False,
    interrupts: Callable[[str], bool] = lambda _: False,
) -> Shown:
    """Run a program to its end.

    Args:
        command: the program.
        environment: what is added to ours.
        pipes_output: whether standard output goes into a pipe, so that only standard error is the terminal's.
        interrupts: given what was drawn so far, whether Ctrl-C is pressed now; it is pressed once.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with tempfile.TemporaryFile() as piped:
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=piped if pipes_output else theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", **(environment or {})},
        )
        os.close(theirs)
        enough = threading.Timer(PATIENCE_S, process.kill)
        enough.start()
        drawn, is_interrupted = "", False
        for chunk in _read(ours):
            drawn += chunk
            if not is_interrupted and interrupts(drawn):
                is_interrupted = True
                process.send_signal(signal.SIGINT)
        exit_code = process.wait()
        enough.cancel()
        os.close(ours)
        piped.seek(0)
        return Shown(exit_code, drawn, piped.read().decode())


def _read(terminal: int) -> Iterator[str]:
    """What is drawn, without colours and movements of the cursor, until nobody has the terminal any more."""
    while True:
        try:
            chunk = os.read(terminal, 65_536)
        except OSError:
            return
        yield CONTROL.sub("", chunk.decode(errors="replace")).replace("\r\n", "\n").replace("\r", "\n")
