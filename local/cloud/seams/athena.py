"""Athena: Trino's SQL, and named queries."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
from ministack.services import athena

from local.cloud import trino
from local.cloud.seams.replies import json_error

if TYPE_CHECKING:
    from local.cloud.seams.replies import Properties, Provisioned, Response


def answer_athena_in_trino() -> None:
    """Run queries as Athena does: in Trino's SQL, with parameters, on tables of the types that Glue declares.

    MiniStack hands a query to DuckDB as it is, drops its parameters, takes the types from the files or, where
    there are none, text for everything nested, and writes results as Python prints them. It needs no registered
    partitions: it reads all that lies under a table's location, which suits partition projection.
    """
    start, rewrite, run = athena._start_query_execution, athena._rewrite_data_paths, athena._run_duckdb
    relation, connect = athena._table_relation, duckdb.connect

    def start_query_execution(request: Properties) -> Response:
        parameters = request.get("ExecutionParameters")
        try:
            query = trino.bind(request["QueryString"], parameters) if parameters else request["QueryString"]
        except trino.UntranslatableSql as reason:
            return json_error("InvalidRequestException", str(reason))
        answer: Response = start({**request, "QueryString": query})
        return answer

    async def rewrite_data_paths(query: str, *scope: object) -> object:
        return await rewrite(trino.to_duckdb(query), *scope)

    def connect_prepared(*arguments: Any) -> duckdb.DuckDBPyConnection:  # noqa: ANN401 - DuckDB's own
        connection = connect(*arguments)
        connection.execute(trino.PRELUDE)
        return connection

    def table_relation(table: Properties, files: list[str]) -> str:
        if athena._data_format(table) != "parquet":
            return str(relation(table, files))
        hive = athena._hive_options(athena._path_partition_keys(table, files))
        reader = f"read_parquet({athena._sql_list(files)}, union_by_name = true, {hive})"
        return trino.relation(_columns(table), reader)

    async def run_duckdb(*query: object) -> dict[str, Any]:
        results: dict[str, Any] = await run(*query)
        results["rows"] = [list(map(trino.athena_text, row)) for row in results["rows"]]
        return results

    duckdb.connect = connect_prepared  # type: ignore[assignment]  # called by position only
    athena._start_query_execution = start_query_execution
    athena._rewrite_data_paths = rewrite_data_paths
    athena._table_relation = table_relation
    athena._empty_relation = lambda table: trino.relation(_columns(table), "(SELECT 1 WHERE false)")
    athena._run_duckdb = run_duckdb
    athena._DUCKDB_TYPE_MAP["TIMESTAMP_MS"] = "timestamp"


def _columns(table: Properties) -> list[tuple[str, str]]:
    columns = [*table["StorageDescriptor"]["Columns"], *table.get("PartitionKeys", [])]
    return [(column["Name"], column["Type"]) for column in columns]


def create_named_query(logical_id: str, properties: Properties, _stack: str) -> Provisioned:
    """Create an AWS::Athena::NamedQuery."""
    query_id = json.loads(athena._create_named_query({"Name": logical_id, **properties})[2])["NamedQueryId"]
    return query_id, {"NamedQueryId": query_id}


def delete_named_query(query_id: str, _properties: Properties) -> None:
    """Delete an AWS::Athena::NamedQuery."""
    athena._delete_named_query({"NamedQueryId": query_id})
