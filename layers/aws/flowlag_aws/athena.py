"""Athena: a query of the results, by SQL."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

_RUNNING = frozenset({"QUEUED", "RUNNING"})


class QueryFailed(FlowlagError):
    """Athena did not answer a query."""


def run_query(
    client: AthenaClient, sql: str, *, workgroup: str, database: str, poll_s: float = 0.5
) -> list[dict[str, str | None]]:
    """Run a query and return its rows, each by column name; Athena gives every value as text.

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
    pages = client.get_paginator("get_query_results").paginate(QueryExecutionId=query)
    rows = [
        [cell.get("VarCharValue") for cell in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]
    ]
    names = [name or "" for name in rows[0]]  # Athena's first row is the header
    return [dict(zip(names, row, strict=True)) for row in rows[1:]]
