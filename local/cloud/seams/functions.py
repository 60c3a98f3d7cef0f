"""Lambda: functions run as on AWS."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import os
import sys
import threading
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local.cloud.seams.replies import Properties


PYTHON: Final = "python"
_RUNTIME: Final = (
    "awslambdaric", "boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "simplejson", "six",
    "snapshot-restore-py", "urllib3",
)  # fmt: skip
"""What AWS Lambda puts beside a Python function: its runtime client, the SDK, and what these need."""


def run_python_functions_on_their_runtime(endpoint: str, runtime: Path) -> None:
    """Run Python functions as AWS does: by its own runtime client, on nothing but their code and their layers.

    MiniStack has a worker of its own for Python. It reports every exception as `Runtime.HandlerError`, so that no
    Retry or Catch of a state machine ever matches one; and it puts the packages of this workspace behind the
    layers, so that one missing from a layer is missed on AWS only. MiniStack also serves Lambda's Runtime API, for
    custom runtimes: so a Python function becomes one, whose bootstrap is awslambdaric.
    """
    _link_distributions(_RUNTIME, runtime)
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


def _link_distributions(names: Iterable[str], directory: Path) -> None:
    """Make a directory of links to what some distributions have installed here."""
    directory.mkdir()
    for name in names:
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            (directory / top).symlink_to(Path(str(distribution.locate_file(top))))
