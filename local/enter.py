"""Become a program inside a network namespace: `python -m local.enter NAMESPACE_FD OWNER_PID PROGRAM ARGUMENT...`.

To change a child before its program starts, `subprocess` offers `preexec_fn` only, and that may deadlock in a
process with threads. So the child starts as this module, enters the namespace, and becomes the program.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_NOT_FOUND = 127
"""What a shell exits with where there is no such program."""


def main(arguments: list[str]) -> None:
    """Replace this process by the program; returns never."""
    namespace, owner, program = int(arguments[0]), int(arguments[1]), arguments[2:]
    _die_with(owner)
    os.setns(namespace, os.CLONE_NEWNET)
    os.close(namespace)
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)  # an ignored signal stays ignored in the program
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming the program is what this module is for
    except OSError as reason:
        print(f"flowlag: cannot run '{program[0]}': {reason.strerror}", file=sys.stderr)  # noqa: T201
        sys.exit(_NOT_FOUND)


def _die_with(owner: int) -> None:
    """Let the kernel kill this process when its owner is gone, even if the owner is killed itself."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL)) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    if os.getppid() != owner:  # the owner died before the kernel was told
        sys.exit(f"flowlag: the network's owner, process {owner}, is gone")


if __name__ == "__main__":
    main(sys.argv[1:])
