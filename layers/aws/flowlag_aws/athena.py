"""Athena: a query of the results, by SQL."""

from __future__ import annotations

from dataclasses import dataclass
from time import sleep
from typing import TYPE_CHECKING, Final

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_athena import AthenaClient

_RUNNING = frozenset({"QUEUED", "RUNNING"})

type Value = str | int | float | bool | None
"""A value of an answer; what Athena has of other kinds (instants, arrays) is text, as Athena writes it."""

_READERS: Final[Mapping[str, Callable[[str], Value]]] = {
    "boolean": lambda text: text == "true",
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), int),
    **dict.fromkeys(("float", "double"), float),
}


class QueryFailed(FlowlagError):
    """Athena did not answer a query."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave: its columns in order, and its rows by column."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Value]]


def run_query(client: AthenaClient, sql: str, *, workgroup: str, database: str, poll_s: float = 0.5) -> Answer:
    """Run a query and wait for its answer.

    Raises:
        QueryFailed: with Athena's reason.
    """
    query = client.start_query_execution(
        QueryString=sql, WorkGroup=workgroup, QueryExecutionContext={"Database": database}
    )["QueryExecutionId"]
    status = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
    while status["State"] in _RUNNING:
        sleep(poll_s)
        status = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
    if status["State"] != "SUCCEEDED":
        raise QueryFailed(f"Athena ended the query as {status['State']}: {status.get('StateChangeReason', '')}")
    pages = [
        each["ResultSet"] for each in client.get_paginator("get_query_results").paginate(QueryExecutionId=query)
    ]
    columns = [(column["Name"], column["Type"]) for column in pages[0]["ResultSetMetadata"]["ColumnInfo"]]
    _header, *rows = [row["Data"] for page in pages for row in page["Rows"]]
    return Answer(
        columns=[name for name, _ in columns],
        rows=[
            {name: _read(kind, cell.get("VarCharValue")) for (name, kind), cell in zip(columns, row, strict=True)}
            for row in rows
        ],
    )


def _read(kind: str, text: str | None) -> Value:
    return None if text is None else _READERS.get(kind, str)(text)
