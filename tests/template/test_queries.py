"""The named queries: Trino's SQL, over the tables that there are, and the same in the template."""

import re
from typing import Any

import pytest
import sqlglot
from samtranslator.yaml_helper import yaml_parse
from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.qualify import qualify

from flowlag.tables import RUNS, TABLES
from local.named_queries import TEMPLATE, rewritten
from local.query import PARTITIONS, QUERIES, NamedQuery, named_queries

NAMED = named_queries()
TEXT = TEMPLATE.read_text()
RESOURCES: dict[str, Any] = yaml_parse(TEXT)["Resources"]
SCHEMA = {
    table: {name: exp.DataType.build(kind, dialect="hive") for name, kind in {**columns, **PARTITIONS}.items()}
    for table, columns in TABLES.items()
}
FIELDS_OF_ARMS = set(re.findall(r"[<,](\w+):", RUNS["arms"]))

RESERVED = set(
    re.findall(
        r"\w+",
        """
        alter and as between by case cast constraint create cross cube current_catalog current_date
        current_path current_role current_schema current_time current_timestamp current_user deallocate
        delete describe distinct drop else end escape except execute exists extract false first for from
        full group grouping having in inner insert intersect into is join json_array json_exists json_object
        json_query json_table json_value last left like listagg localtime localtimestamp natural normalize
        not null of on or order outer prepare recursive right rollup select skip table then trim true
        uescape union unnest using values when where with
        """,
    )
)
"""Reserved in Athena's SELECT: https://docs.aws.amazon.com/athena/latest/ug/reserved-words.html, read 2026-11."""

each_query = pytest.mark.parametrize("query", NAMED.values(), ids=NAMED)


def qualified(sql: str) -> exp.Expr:
    """A query with every column traced to its table."""
    return qualify(sqlglot.parse_one(sql, read="trino"), schema=SCHEMA, dialect="trino")


# ---------------------------------------------------------------- the files
def test_there_is_nothing_but_queries() -> None:
    assert {path.suffix for path in QUERIES.iterdir()} == {".sql"}


@each_query
def test_a_query_begins_with_its_question(query: NamedQuery) -> None:
    assert re.fullmatch(r"-- [A-Z].*\?", query.sql.partition("\n")[0])
    assert query.question.endswith("?")


@each_query
def test_a_query_is_trino_over_tables_and_columns_that_exist(query: NamedQuery) -> None:
    tree = qualified(query.sql)

    assert isinstance(tree, exp.Select)
    ours = {cte.alias for cte in tree.find_all(exp.CTE)}
    assert {table.name for table in tree.find_all(exp.Table)} - ours <= TABLES.keys()
    assert set(re.findall(r"\bx\.(\w+)", query.sql)) <= FIELDS_OF_ARMS


def test_a_column_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(OptimizeError, match="price_usd"):
        qualified(NAMED["cost"].sql.replace("sum(cost_usd)", "sum(price_usd)"))


@each_query
def test_no_name_in_a_query_is_reserved(query: NamedQuery) -> None:
    names = {each.name for each in sqlglot.parse_one(query.sql, read="trino").find_all(exp.Identifier)}

    assert len(names) > 5
    assert {name.lower() for name in names} & RESERVED == set()


@each_query
def test_an_answer_is_exact_and_the_same_tomorrow(query: NamedQuery) -> None:
    functions = {each.sql_name().lower() for each in sqlglot.parse_one(query.sql, read="trino").find_all(exp.Func)}

    assert not re.search(
        r"\b(approx_\w+|now|current_\w+|localtime\w*|random|rand|uuid)\b", query.sql, re.IGNORECASE
    )
    assert not any(name.startswith(("approx", "current")) for name in functions)


@each_query
def test_an_answer_is_in_order_and_never_mixes_sources(query: NamedQuery) -> None:
    tree = sqlglot.parse_one(query.sql, read="trino")
    order = [each.this.name for each in tree.args["order"].expressions]

    assert tree.named_selects[0] == order[0] == "source"
    for select in tree.find_all(exp.Select):
        group = select.args.get("group")
        assert group is None or group.expressions[0].name == "source"
    for window in tree.find_all(exp.Window):
        assert window.args["partition_by"][0].name == "source"


@each_query
def test_beside_every_number_stand_how_many_it_is_of_and_its_unit(query: NamedQuery) -> None:
    columns = sqlglot.parse_one(query.sql, read="trino").named_selects
    words = {"source", "experiment", "region", "run_id", "verdict", "hypervisor", "instance_type", "hour_utc"}
    numbers = [name for name in columns if name not in words and not name.endswith("arm") and "arm_" not in name]

    assert "n_runs" in columns or "run_id" in columns
    assert [name for name in numbers if not re.search(r"^n_|_(s|h|usd|share|at)$", name)] == []


# ---------------------------------------------------------------- the template
def test_the_template_has_the_queries_as_their_files_have_them() -> None:
    assert rewritten(TEXT) == TEXT, "run 'make format'"


def test_athena_gets_every_query_where_the_results_are() -> None:
    resources = [each for each in RESOURCES.values() if each["Type"] == "AWS::Athena::NamedQuery"]
    given = {each["Properties"]["Name"]: each["Properties"] for each in resources}

    assert {each["Condition"] for each in resources} == {"IsHome"}
    assert given == {
        name: {
            "Name": name,
            "Description": query.question,
            "Database": {"Ref": "Database"},
            "WorkGroup": {"Ref": "Workgroup"},
            "QueryString": query.sql,
        }
        for name, query in NAMED.items()
    }


def test_only_the_section_is_rewritten() -> None:
    edited = TEXT.replace("Name: delay_by_arm\n", "Name: delay\n").replace("Outputs:", "# mine\nOutputs:")
    assert rewritten(edited) == TEXT.replace("Outputs:", "# mine\nOutputs:")
