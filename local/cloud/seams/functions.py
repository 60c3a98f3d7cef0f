"""Lambda: functions run as on AWS."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from local.cloud.runtime import link_runtime
from local.cloud.settings import ENDPOINT_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.cloud.seams.replies import Properties


PYTHON: Final = "python"


def run_python_functions_on_their_runtime(endpoint: str, runtime: Path) -> None:
    """Run Python functions as AWS does: by its own runtime client, on nothing but their code and their layers.

    MiniStack has a worker of its own for Python. It reports every exception as `Runtime.HandlerError`, so that no
    Retry or Catch of a state machine ever matches one; and it puts the packages of this workspace behind the
    layers, so that one missing from a layer is missed on AWS only. MiniStack also serves Lambda's Runtime API, for
    custom runtimes: so a Python function becomes one, whose bootstrap is awslambdaric.
    """
    link_runtime(runtime)
    environment = lambda_svc._provided_worker_env
    code_directory = lambda_svc._provided_runtime_code_dir
    worker_class = lambda_runtime._worker_class_for
    await_init = lambda_runtime.ProvidedWorker._await_init

    def python_environment(config: Properties, code: str, port: int) -> dict[str, str]:
        if not config["Runtime"].startswith(PYTHON):
            return dict(environment(config, code, port))
        ours = os.environ.items()
        set_by_lambda = dict(each for each in environment(config, code, port).items() if each not in ours)
        layers = [str(Path(each) / PYTHON) for each in _layer_directories(config)]
        return {
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
            "AWS_ENDPOINT_URL": endpoint,
            "PYTHONPATH": os.pathsep.join([code, *layers, str(runtime)]),
            **set_by_lambda,
        }

    def code_with_bootstrap(code_zip: bytes) -> str:
        directory = str(code_directory(code_zip))
        bootstrap = Path(directory) / "bootstrap"
        if not bootstrap.exists():
            aside = bootstrap.with_suffix(f".{threading.get_ident()}")  # functions with the same code start at once
            # -S: no site-packages. The runtime client is found on the PYTHONPATH.
            aside.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -m awslambdaric "$_HANDLER"\n')
            aside.chmod(0o755)
            aside.replace(bootstrap)
        return directory

    def provided_worker(config: Properties) -> Any:  # noqa: ANN401 - a class of MiniStack's
        return lambda_runtime.ProvidedWorker if config["Runtime"].startswith(PYTHON) else worker_class(config)

    def await_init_or_its_error(worker: Any, timeout: float | None = None) -> None:  # noqa: ANN401 - a MiniStack worker
        try:
            await_init(worker, timeout)
        except RuntimeError:
            if not isinstance(worker._init_error, dict):
                raise
            error = worker._init_error  # which MiniStack makes a text of
            raise lambda_runtime.ProvidedRuntimeError(error["errorMessage"], error["errorType"]) from None

    lambda_runtime.ProvidedWorker._await_init = await_init_or_its_error
    lambda_svc._provided_worker_env = python_environment
    lambda_svc._provided_runtime_code_dir = code_with_bootstrap
    lambda_svc._execute_function_warm = lambda_svc._execute_function_provided_warm
    lambda_runtime._worker_class_for = provided_worker


def _layer_directories(config: Properties) -> Iterator[str]:
    """Each layer of a function, unpacked once for all functions."""
    for layer in config.get("Layers", []):
        content = lambda_svc._resolve_layer_zip(layer)
        if content is not None:
            yield lambda_svc._docker_extracted_dir(content, "layer")


def invoke_tagged_functions_at_their_endpoint() -> None:
    """Invoke a function that is tagged so at another Lambda endpoint, as that of `sam local start-lambda`.

    MiniStack runs every function itself. Step Functions' own local edition has such a setting for all functions
    together, which would leave none to answer the custom resources of a stack while it is created.
    """
    execute = lambda_svc._execute_function_warm

    def execute_where_it_is(function: Properties, event: object, request_id: str) -> dict[str, Any]:
        endpoint = function.get("tags", {}).get(ENDPOINT_TAG)
        if endpoint is None:
            answer: dict[str, Any] = execute(function, event, request_id)
            return answer
        config = function.get("config") or function
        try:
            return _answer(endpoint, config["FunctionName"], event, config["Timeout"])
        except OSError as reason:
            error = {
                "errorType": "Lambda.ServiceException",
                "errorMessage": f"{endpoint} does not answer: {reason}",
            }
            return {"body": error, "error": True}

    lambda_svc._execute_function_warm = execute_where_it_is


_LONGEST_START_S: Final = 60.0
"""A container's start is no time of the function's."""


def _answer(endpoint: str, name: str, event: object, timeout_s: float) -> dict[str, Any]:
    """What a function answers at a Lambda endpoint, in MiniStack's words.

    `sam local start-lambda` answers 200 and no X-Amz-Function-Error when a handler raises, and nothing at all when
    its time is up, or its container listens too late (aws-sam-cli 1.170.0): only the payload and the time tell.
    """
    began = time.monotonic()
    path = f"{endpoint}/2015-03-31/functions/{name}/invocations"
    request = urllib.request.Request(path, json.dumps(event).encode(), method="POST")  # noqa: S310 - http, as tagged
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=timeout_s + _LONGEST_START_S) as response:
        text = response.read()
    if not text.strip():
        kind = "Lambda.ServiceException" if time.monotonic() - began < timeout_s else "Sandbox.Timedout"
        return {"body": {"errorType": kind, "errorMessage": f"{name} gave no answer"}, "error": True}
    body = json.loads(text)
    return {"body": body, "error": True} if isinstance(body, dict) and "errorType" in body else {"body": body}
