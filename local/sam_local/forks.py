"""The SAM CLI for many orders: imported once, which takes it a second, and forked for each of them.

Its standard input is a socket, on which a socket comes for each order: that one brings the order and takes the
outcome, each as one JSON document. Runs on the SAM CLI's Python.
"""

import json
import os
import signal
import socket
import sys
import tempfile
from typing import IO, NoReturn

import samcli.commands.local.invoke.cli  # noqa: F401 - what the SAM CLI imports only when it is asked for it
from samcli.cli.main import cli


def main() -> None:
    """Take orders until nobody is there to give one. Ctrl-C is for all that is under way, too."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how forks ended
    with socket.socket(fileno=os.dup(0)) as orders:
        try:
            while fds := socket.recv_fds(orders, 1, 1)[1]:
                with socket.socket(fileno=fds[0]) as order:
                    if os.fork() == 0:
                        _carry_out(order)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.killpg(0, signal.SIGINT)
    try:
        os.wait()  # until the last one has removed its container
    except ChildProcessError:
        return


def _carry_out(order: socket.socket) -> NoReturn:
    """Run `sam` as a process of its own would, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with order.makefile("rb") as stream:
        wanted = json.load(stream)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    stdin, stdout, stderr = files = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 - until it ends
    stdin.write(wanted["stdin"].encode())
    stdin.seek(0)
    for number, file in enumerate(files):
        os.dup2(file.fileno(), number)
    sys.stdin = open(0)  # noqa: SIM115 - a descriptor
    status = _status(wanted["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    outcome = {"stdout": _text(stdout), "stderr": _text(stderr), "status": status}
    order.sendall(json.dumps(outcome).encode())
    os._exit(0)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _status(arguments: list[str]) -> int:
    """The exit status of `sam`."""
    try:
        cli(arguments, prog_name="sam")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (Exception, KeyboardInterrupt):  # noqa: BLE001 - told as Python tells it
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == "__main__":
    main()
