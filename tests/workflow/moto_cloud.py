"""moto as a cloud, in a process of its own, which ends with its input.

    python -m tests.workflow.moto_cloud PORT

Its Step Functions is an interpreter of the states language that was not written for us, its CreateFlowLogs
validates. What it lacks comes here: it runs functions in Docker only, and its waits are as long as they say.
"""

import io
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import defaultdict
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

from moto.awslambda.models import LambdaFunction
from moto.core.config import default_user_config
from moto.iam.access_control import PermissionResult
from moto.logs.models import LogEvent
from moto.s3.models import FakeBucket
from moto.server import ThreadedMotoServer
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction

from tests import moto_gaps
from tests.ports import LOOPBACK


# ---------------------------------------------------------------- functions
class Environment:
    """One execution environment of a function: AWS's own runtime client, served by a Runtime API of ours."""

    def __init__(self, function: LambdaFunction, code: Path) -> None:
        self._function = function
        self._invocations, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        self._api = ThreadingHTTPServer((LOOPBACK, 0), partial(RuntimeApi, self._next, self._answers.put))
        self._api.daemon_threads = True
        threading.Thread(target=self._api.serve_forever, daemon=True).start()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", function.handler],
            cwd=code,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(code),
                "AWS_LAMBDA_RUNTIME_API": "{}:{}".format(*self._api.server_address),
                "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
                "AWS_LAMBDA_FUNCTION_VERSION": function.version,
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
                "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
                "LAMBDA_TASK_ROOT": str(code),
                "AWS_REGION": function.region,
                "AWS_DEFAULT_REGION": function.region,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{os.environ['MOTO_PORT']}",
                **function.environment_vars,
            },
            stdout=sys.stderr,
        )
        threading.Thread(target=self._mourn, daemon=True).start()

    def _next(self) -> tuple[dict[str, str], bytes]:
        event = self._invocations.get()
        deadline_ms = round((time.time() + self._function.timeout) * 1_000)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": str(uuid4()),
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self._function.function_arn,
        }
        return headers, event

    def _mourn(self) -> None:
        status = self._process.wait()
        error = {"errorType": "Runtime.ExitError", "errorMessage": f"the runtime exited with status {status}"}
        self._answers.put((json.dumps(error), True))

    def invoke(self, event: bytes) -> tuple[str, bool]:
        """The answer of the function, and whether it is an error."""
        self._invocations.put(event)
        return self._answers.get(timeout=self._function.timeout)

    @property
    def is_alive(self) -> bool:
        """Whether it can be invoked again."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()


class RuntimeApi(BaseHTTPRequestHandler):
    """https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, as far as the runtime client goes."""

    protocol_version = "HTTP/1.1"

    def __init__(self, next_invocation, answered, *args) -> None:
        self._next_invocation, self._answered = next_invocation, answered
        super().__init__(*args)

    def do_GET(self) -> None:
        self._reply(200, *self._next_invocation())

    def do_POST(self) -> None:
        answer = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._reply(202, {}, b"{}")
        self._answered((answer, not self.path.endswith("/response")))

    def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        # Without a content type the runtime client crashes.
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Functions:
    """Warm environments, by function."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._idle: dict[str, list[Environment]] = defaultdict(list)
        self._all: list[Environment] = []

    def invoke(self, function: LambdaFunction, event: object = None) -> tuple[str, bool, str]:
        """What `LambdaFunction._invoke_lambda` answers: the payload, whether it is an error, the logs."""
        arn = function.function_arn
        with self._lock:
            environment = self._idle[arn].pop() if self._idle[arn] else self._start(function)
        answer, is_error = environment.invoke(json.dumps(event).encode())
        if environment.is_alive:
            with self._lock:
                self._idle[arn].append(environment)
        return answer, is_error, ""

    def _start(self, function: LambdaFunction) -> Environment:
        code = self._folder / function.code_sha_256.replace("/", "-")
        if not code.exists():
            with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
                archive.extractall(code)
        environment = Environment(function, code)
        self._all.append(environment)
        return environment

    def close(self) -> None:
        """End every environment."""
        for environment in self._all:
            environment.kill()


# ---------------------------------------------------------------- time
def scale_time(scale: float) -> None:
    """Make the interpreter's Wait states and its pauses before a retry `scale` times as long."""

    def wait(_self: WaitFunction, env, wait_seconds: float) -> None:
        env.program_state_event.wait(max(0, wait_seconds) * scale)

    WaitFunction._wait_interval = wait
    retrier_decl.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds * scale))


# ---------------------------------------------------------------- bucket policies
def judge_nobody_by_a_bucket_s_policy() -> None:
    """Take no notice of bucket policies: moto denies what a statement denies under a condition that does not hold.

    Ours denies everything that does not come over TLS.
    """
    FakeBucket.get_permission = lambda _bucket, _action, _resource: PermissionResult.NEUTRAL


# ---------------------------------------------------------------- logs
def name_events_by_text() -> None:
    """Give subscriptions event ids as AWS has them: text, where moto sends the number."""

    def remember(event: LogEvent, number: int) -> None:
        event.__dict__["event_id"] = str(number)

    LogEvent.event_id = property(lambda event: event.__dict__["event_id"], remember)


def main() -> None:
    """Serve until standard input ends."""
    port = int(sys.argv[1])
    os.environ["MOTO_PORT"] = str(port)  # where the interpreter finds the other services
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    scale_time(float(os.environ["SFN_WAIT_SCALE"]))
    moto_gaps.fill(setattr)
    judge_nobody_by_a_bucket_s_policy()
    name_events_by_text()
    with tempfile.TemporaryDirectory() as folder:
        functions = Functions(Path(folder))
        LambdaFunction._invoke_lambda = lambda function, event=None: functions.invoke(function, event)
        ThreadedMotoServer(LOOPBACK, port, verbose=False).start()
        sys.stdin.read()
        functions.close()
    os._exit(0)  # nobody is left to be served


if __name__ == "__main__":
    main()
