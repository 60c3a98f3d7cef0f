"""Functions by `sam local`, in the containers of an engine."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowlag.errors import FlowlagError
from local.checkout import CHECKOUT
from local.sam_local.invocation import Outcome
from local.sam_local.places import WORK
from local.sam_local.sam import PYTHON_OF_SAM, SAM, SETTINGS, TEMPLATE, sam_environment

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from local.sam_local.engine import Engine
    from local.sam_local.functions import Function
    from local.sam_local.stage import Stage

_FORKS: Final = Path(__file__).with_name("forks.py")

START_LAMBDA_PORT: Final = 3001
"""The SAM CLI's default."""

START_LAMBDA_LOG: Final = WORK / "start-lambda.log"
"""What it and its functions say."""

_START_TIMEOUT_S: Final = 60.0
_SLACK_S: Final = 60.0
"""A container's start is no time of the function's."""

_POLL_S: Final = 0.1


class NotServed(FlowlagError):
    """`sam local start-lambda` did not come up; the message has its last words."""


class SamLocal:
    """The SAM CLI on a container engine, for the functions that it has built."""

    def __init__(self, engine: Engine, stage: Stage) -> None:
        self._engine = engine
        self._stage = stage
        self.gateway = engine.gateway
        self._orders, theirs = socket.socketpair()
        with theirs:
            engine.popen(
                [str(PYTHON_OF_SAM), "-I", str(_FORKS)], env=self._environment({}), cwd=CHECKOUT, stdin=theirs
            )

    def close(self) -> None:
        """Take no more orders."""
        self._orders.close()

    def invoke(self, function: Function, event: Mapping[str, Any]) -> Outcome:
        """Invoke a function, with its own rights and in a new container."""
        return self.invoke_of(TEMPLATE, function.name, event, self._stage.credentials(function.name))

    def invoke_of(
        self, template: Path, name: str, event: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Outcome:
        """Invoke a function of any template by its logical id."""
        outcome = self._invoke(template, name, event, environment)
        # The engine's proxy takes connections before a container listens, and the SAM CLI tries for 0.3 s only.
        if not outcome.has_begun:
            outcome = self._invoke(template, name, event, environment)
        return outcome

    def _invoke(
        self, template: Path, name: str, event: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Outcome:
        order = {
            "arguments": ["local", "invoke", name, "--event", "-", *_options(template)],
            "environment": self._environment(environment),
            "stdin": json.dumps(event),
        }
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(self._orders, [b"."], [theirs.fileno()])
            ours.sendall(json.dumps(order).encode())
            ours.shutdown(socket.SHUT_WR)
            with ours.makefile("rb") as stream:
                said = stream.read()
        return Outcome.of(**json.loads(said)) if said else Outcome(None, "the SAM CLI was killed", "")

    @contextlib.contextmanager
    def serving(self) -> Iterator[Served]:
        """Serve every function by `sam local start-lambda`, which ends with the engine."""
        with START_LAMBDA_LOG.open("wb") as sink, self._engine.let_out(START_LAMBDA_PORT) as port:
            process = self._engine.popen(
                [str(SAM), "local", "start-lambda", "--port", str(START_LAMBDA_PORT), *_options(TEMPLATE)],
                env=self._environment(self._stage.root()),
                cwd=CHECKOUT,
                stdout=sink,
                stderr=sink,
            )
            yield Served(process, port, self.gateway)

    def _environment(self, of_aws: Mapping[str, str]) -> dict[str, str]:
        return sam_environment(**of_aws, **self._engine.environment)


def _options(template: Path) -> list[str]:
    return ["--template-file", str(template), "--config-file", str(SETTINGS)]


class Served:
    """The functions at a Lambda endpoint: warm containers, and all rights."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, gateway: str) -> None:
        self._process = process
        self._port = port
        self.gateway = gateway

    @property
    def endpoint(self) -> str:
        """Where it listens, or will."""
        return f"http://127.0.0.1:{self._port}"

    def await_it(self) -> None:
        """Wait until it listens, which takes it a second.

        Raises:
            NotServed: it did not come up.
        """
        _await(self._process)

    def invoke(self, function: Function, event: Mapping[str, Any]) -> Outcome:
        """Invoke a function."""
        self.await_it()
        connection = http.client.HTTPConnection(
            self.endpoint.partition("://")[2], timeout=function.timeout_s + _SLACK_S
        )
        with contextlib.closing(connection):
            path = f"/2015-03-31/functions/{function.name}/invocations"
            connection.request("POST", path, json.dumps(event))
            return Outcome.of(connection.getresponse().read().decode(), "")


def _await(process: subprocess.Popen[bytes]) -> None:
    """Wait until it says that it listens."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while _LISTENS not in (said := START_LAMBDA_LOG.read_bytes()):
        if process.poll() is not None or time.monotonic() > deadline:
            last = said.decode(errors="replace").strip().splitlines()[-4:]
            raise NotServed(f"sam local start-lambda did not come up: {' / '.join(last)}")
        time.sleep(_POLL_S)


_LISTENS: Final = b"Running on http://"
