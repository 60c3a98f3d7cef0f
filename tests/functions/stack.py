"""The stack without its machines: what the template gives a function, in this process.

`Cloud.invoke` calls a handler under the environment that the template sets for it, and refuses every call to AWS
that the function's own policies do not allow.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq
import pytest

from flowlag_aws import parquet
from flowlag_aws.store import LANDING, Store
from tests.functions.iam import NotAllowed, allows, needs
from tests.functions.run import ACCOUNT, REGION, Json
from tests.functions.template import ROOT, WORK_BUCKET, Template

STATES: Json = json.loads((ROOT / "statemachine" / "benchmark.asl.json").read_text())["States"]
STATES |= STATES["EachArm"]["ItemProcessor"]["States"]


class Guard:
    """Sees every call that a function of `template` makes to AWS, and lets through what its policies allow."""

    template: Template

    def __init__(self) -> None:
        self._acting: str | None = None
        self.calls: list[tuple[str, Json]] = []

    @contextmanager
    def watching(self, function: str) -> Iterator[None]:
        self.calls.clear()
        self._acting = function
        try:
            yield
        finally:
            self._acting = None

    def __call__(self, params: Json, model: Any, **_: object) -> None:
        if self._acting is None:
            return
        self.calls.append((model.name, dict(params)))
        statements = self.template.statements(self._acting)
        for need in needs(model.name, params):
            if not any(allows(statement, need) for statement in statements):
                raise NotAllowed(f"{self._acting} may not {need[0]} on {need[1]}")


def home_of(template: Template) -> tuple[str, str]:
    """The results bucket, and its region."""
    environment = template.environment("ReconcileRunFunction")
    return environment["RESULTS_BUCKET"], environment["RESULTS_REGION"]


class Cloud:
    """The stack as its functions see it."""

    def __init__(self, template: Template, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
        self.template = template
        self.store = Store(WORK_BUCKET)
        self.results = Store(*home_of(template))
        self._guard = guard
        self._monkeypatch = monkeypatch

    def invoke(self, name: str, event: Json) -> Any:
        """What the function answers. Its calls to AWS are in `calls`, as the operations' names and parameters."""
        function = "".join(word.capitalize() for word in name.split("_")) + "Function"
        for variable, value in self.template.environment(function).items():
            self._monkeypatch.setenv(variable, value)
        handler = import_module(f"functions.{name}").handler
        with self._guard.watching(function):
            return handler(event, Context())

    @property
    def calls(self) -> list[tuple[str, Json]]:
        """What the last function that was invoked asked of AWS, in order."""
        return self._guard.calls

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """What is in the two buckets, whose keys are none the same."""
        return {key: store.get(key) for store in (self.store, self.results) for key in store.keys(prefix)}

    def rows(self, key: str) -> list[Json]:
        """An object of a table, or what landed, as rows; instants are microseconds."""
        data = (self.store if key.startswith(LANDING) else self.results).get(key)
        columns = parquet.decode(data, pq.ParquetFile(BytesIO(data)).schema_arrow.names)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


class Context:
    """What is taken from Lambda's context."""

    function_name = "function"
    memory_limit_in_mb = 256
    invoked_function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:function"
    aws_request_id = "request"
    log_stream_name = "stream"
