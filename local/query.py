"""Named queries: the same SQL on Athena, or by DuckDB on Parquet that lies here."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

import boto3
import duckdb
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from flowlag.errors import FlowlagError
from flowlag.tables import TABLES
from flowlag_aws.athena import Answer, run_query
from local.checkout import CHECKOUT
from local.cloud import trino

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mypy_boto3_cloudformation import CloudFormationClient

    from flowlag_aws.athena import Value

QUERIES: Final = CHECKOUT / "queries"
PARTITIONS: Final = {"region": "string", "dt": "string"}
"""Columns of every table that are in the names of its files' folders."""

_OBJECT: Final = re.compile(rf"(?:^|/)((?:{'|'.join(TABLES)})/region=[^/]+/dt=[^/]+/[^/]+\.parquet)$")
_PARTITION: Final = "/region=([^/]+)/dt=([^/]+)/[^/]+$"


class NotAnswered(FlowlagError):
    """A query could not be asked, or has no answer; the message says why, and what to do."""


# ---------------------------------------------------------------- the queries
@dataclass(frozen=True, slots=True)
class NamedQuery:
    """A file of `queries/`: Trino's SQL, and the question that it answers."""

    name: str
    question: str
    sql: str

    @classmethod
    def of_file(cls, path: Path) -> NamedQuery:
        """Read a file, whose first line is its question."""
        sql = path.read_text()
        return cls(path.stem, sql.partition("\n")[0].removeprefix("-- "), sql)


def named_queries() -> dict[str, NamedQuery]:
    """Every named query, by name, in alphabetical order."""
    return {path.stem: NamedQuery.of_file(path) for path in sorted(QUERIES.glob("*.sql"))}


def catalogue() -> Answer:
    """What there is to be asked."""
    rows = [{"query": each.name, "question": each.question} for each in named_queries().values()]
    return Answer(["query", "question"], rows)


def named_query(name: str) -> NamedQuery:
    """The query called `name`.

    Raises:
        NotAnswered: there is none.
    """
    queries = named_queries()
    if name not in queries:
        raise NotAnswered(f"there is no query '{name}': it is one of {', '.join(queries)}")
    return queries[name]


# ---------------------------------------------------------------- on files
def ask_files(sql: str, paths: Iterable[Path]) -> Answer:
    """Ask Parquet that lies here.

    Args:
        sql: a query in Trino's SQL.
        paths: folders in which the tables' objects lie under their keys, at any depth, or single objects. A table
            of which there is no object is empty.

    Raises:
        NotAnswered: there is no object of any table, or one of them twice; or DuckDB refuses the query or a file.
        OSError: a path does not exist or may not be read.
    """
    objects = _objects(paths)
    with duckdb.connect() as connection:
        try:
            connection.execute(trino.PRELUDE)
            for table in TABLES.keys() & trino.tables(sql):
                files = [path for key, path in objects.items() if key.startswith(f"{table}/")]
                relation = trino.relation([*TABLES[table].items(), *PARTITIONS.items()], _reader(files))
                connection.execute(f"CREATE VIEW {table} AS FROM {relation}")
            cursor = connection.execute(trino.to_duckdb(sql))
            names = [column[0] for column in cursor.description]
            rows = cursor.fetchall()
        except duckdb.Error as reason:
            raise NotAnswered(f"DuckDB did not answer: {str(reason).splitlines()[0]}") from None
    return Answer(names, [dict(zip(names, map(_value, row), strict=True)) for row in rows])


def _objects(paths: Iterable[Path]) -> dict[str, Path]:
    """The tables' objects below some paths, by key. A key names one object, whichever copy of it this is."""
    given = list(paths)
    found: dict[str, Path] = {}
    for file in (file.absolute() for path in given for file in _files(path)):
        match = _OBJECT.search(file.as_posix())
        if match:
            other = found.setdefault(match[1], file)
            if other.resolve() != file.resolve():
                raise NotAnswered(f"'{other}' and '{file}' are two copies of one object: give only one of them")
    if not found:
        raise NotAnswered(
            f"there are no results in {', '.join(f"'{path}'" for path in given)}: give a folder with "
            "TABLE/region=REGION/dt=DAY/NAME.parquet in it, as 'flowlag demo' leaves them and the bucket has them"
        )
    return found


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for folder, _folders, names in path.walk(on_error=_raise):
            yield from (folder / name for name in names)
    else:
        path.stat()  # raises what keeps it from being read
        yield path


def _raise(error: OSError) -> NoReturn:
    raise error


def _reader(files: Sequence[Path]) -> str:
    """What reads the objects of a table, each with its partition.

    DuckDB's own idea of a partition is the first `region=` in a path, which may be a folder of somebody's backup.
    """
    if not files:
        return "(SELECT 1 WHERE false)"
    literals = ", ".join(_literal(glob.escape(str(file))) for file in sorted(files))
    region, day = (f"regexp_extract(filename, {_literal(_PARTITION)}, {group})" for group in (1, 2))
    return (
        f"(SELECT *, {region} AS region, {day} AS dt FROM "  # noqa: S608 - file names are quoted
        f"read_parquet([{literals}], union_by_name = true, filename = true, hive_partitioning = false))"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _value(value: object) -> Value:
    return value if isinstance(value, int | float) else trino.athena_text(value)


# ---------------------------------------------------------------- on Athena
def ask_athena(sql: str, stack: str, region: str | None) -> Answer:
    """Ask Athena, in the workgroup and the database of a stack.

    Args:
        sql: a query in Trino's SQL.
        stack: name of the CloudFormation stack, which is the home stack.
        region: where it is; None leaves it to the environment.

    Raises:
        NotAnswered: there are no credentials, no such stack, or no Athena in it; or AWS refuses.
        QueryFailed: Athena could not answer.
    """
    try:
        session = boto3.Session(region_name=region)
        outputs = _outputs(session.client("cloudformation"), stack)
        return run_query(
            session.client("athena"), sql, workgroup=outputs["WorkgroupName"], database=outputs["DatabaseName"]
        )
    except NoCredentialsError:
        raise NotAnswered("there are no AWS credentials: configure them, or give --source") from None
    except NoRegionError:
        raise NotAnswered("no region is configured: give --region, or --source") from None
    except (BotoCoreError, ClientError) as reason:
        raise NotAnswered(f"AWS did not answer: {reason}") from None


def _outputs(client: CloudFormationClient, stack: str) -> Mapping[str, str]:
    where = f"in {client.meta.region_name}"
    try:
        (described,) = client.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as reason:
        if reason.response["Error"]["Code"] != "ValidationError":
            raise
        raise NotAnswered(f"there is no stack '{stack}' {where}: name another --stack, or --region") from None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    if not outputs.keys() >= {"WorkgroupName", "DatabaseName"}:
        raise NotAnswered(f"the stack '{stack}' {where} has no Athena: ask the stack of the home region")
    return outputs
