"""Functions without a container engine: by the runtime interface emulator that the SAM CLI brings.

That is the program which `sam local` starts in its containers. Here it starts AWS's runtime client in the
stand-in's root file system where root may `chroot`, and on this machine's Python otherwise. Without a container
nothing limits memory, and without the root file system there is no /opt.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.cloud.runtime import link_runtime
from local.sam_local.debian import NoPackages
from local.sam_local.engine import LOOPBACK, NoEngine
from local.sam_local.image import extract, stand_in
from local.sam_local.invocation import Outcome
from local.sam_local.places import PYTHON, WORK, architecture
from local.sam_local.sam import BUILT, ENDPOINT, PYTHON_OF_SAM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

    from local.sam_local.functions import Function
    from local.sam_local.stage import Stage

_START_TIMEOUT_S: Final = 20.0
_SLACK_S: Final = 30.0
_POLL_S: Final = 0.02

_IN_ROOT: Final = """set -eu
root=$1 code=$2 layers=$3; shift 3
mount --bind "$code" "$root/var/task"
mount -t overlay overlay -o "lowerdir=$layers" "$root/opt"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
"""
"""In a mount namespace of its own: what `sam local` has Docker mount."""


class Emulator:
    """The emulator, in a new process for every invocation.

    Args:
        stage: the AWS that functions find.
        folder: for files, empty.
        root: a root file system to run in; None runs on this machine's Python.
    """

    gateway: Final = LOOPBACK

    def __init__(self, stage: Stage, folder: Path, root: Path | None) -> None:
        self._stage = stage
        self._root = root
        self._nothing, self._runtime = folder / "nothing", folder / "runtime"
        self._nothing.mkdir()
        link_runtime(self._runtime)
        self._program = _emulator()
        on = "the stand-in's files" if root else f"this machine's Python {PYTHON}"
        self.description = f"the runtime interface emulator on {on}, without a container engine"

    def invoke(self, function: Function, event: Mapping[str, Any]) -> Outcome:
        """Invoke a function, with its own rights."""
        port = _free_port()
        addresses = (
            *("--runtime-interface-emulator-address", f"{LOOPBACK}:{port}"),
            *("--runtime-api-address", f"{LOOPBACK}:{_free_port()}"),
        )
        with (
            tempfile.TemporaryFile() as log,
            subprocess.Popen(  # noqa: S603 - the SAM CLI's own program
                self._command(function, ["--log-level", "error", *addresses]),
                env=self._environment(function),
                cwd=BUILT / function.code,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                said = _post(process, port, event, function.timeout_s + _SLACK_S)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            log.seek(0)
            return Outcome.of(said, log.read().decode(errors="replace"))

    def _command(self, function: Function, flags: Sequence[str]) -> list[str]:
        if self._root is None:
            runtime = [sys.executable, "-S", "-m", "awslambdaric", function.handler]  # -S: no packages but its own
            return [str(self._program), *flags, *runtime]
        layers = [
            *reversed([str(BUILT / each) for each in function.layers]),
            str(self._nothing),
        ]  # the last one wins
        code = str(BUILT / function.code)
        alone = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        inside = ["/var/rapid/aws-lambda-rie", *flags]
        return [*alone, "/bin/sh", "-c", _IN_ROOT, "sh", str(self._root), code, ":".join(layers), *inside]

    def _environment(self, function: Function) -> dict[str, str]:
        set_by_lambda = {
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_HANDLER": function.handler,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_s),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_SAM_LOCAL": "true",
            "TZ": ":UTC",
            **self._stage.functions[function.name].variables,
            **self._stage.credentials(function.name),
            ENDPOINT: self._stage.region.endpoint,
        }
        if self._root is not None:
            return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LAMBDA_TASK_ROOT": "/var/task", **set_by_lambda}
        packages = [str(BUILT / each / "python") for each in function.layers]
        places = [str(BUILT / function.code), *packages, str(self._runtime)]
        return {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(places), **set_by_lambda}


def enter_emulator(undo: ExitStack, stage: Stage) -> Emulator:
    """The emulator of this machine, on the stand-in's files if that can be.

    Raises:
        NoEngine: it is a program for Linux, and this is none.
    """
    if sys.platform != "linux":
        raise NoEngine("without Docker or Finch functions run on Linux only: start one of them")
    WORK.mkdir(parents=True, exist_ok=True)
    folder = Path(undo.enter_context(tempfile.TemporaryDirectory(dir=WORK)))
    try:
        root = extract(stand_in(), folder / "root")
    except NoPackages:
        return Emulator(stage, folder, None)
    for place in ("dev", "proc", "var/rapid"):
        (root / place).mkdir(parents=True, exist_ok=True)
    (root / "var/rapid/aws-lambda-rie").write_bytes(_emulator().read_bytes())
    (root / "var/rapid/aws-lambda-rie").chmod(0o755)
    return Emulator(stage, folder, root)


def _emulator() -> Path:
    (rapid,) = PYTHON_OF_SAM.parents[1].glob("lib/python3.*/site-packages/samcli/local/rapid")
    return rapid / f"aws-lambda-rie-{architecture()}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _post(process: subprocess.Popen[bytes], port: int, event: Mapping[str, Any], timeout_s: float) -> str:
    """The function's answer; empty where there is none."""
    _await(process, port)
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
    with contextlib.closing(connection):
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return ""


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until it listens, or is no more."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError), socket.create_connection((LOOPBACK, port)):
            return
        time.sleep(_POLL_S)
