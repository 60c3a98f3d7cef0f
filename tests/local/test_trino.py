import datetime as dt
from decimal import Decimal

import duckdb
import pytest

from local.cloud import trino

UTC = dt.UTC


def at(*fields):
    """A timestamp without a zone, as a column of Athena is."""
    return dt.datetime(*fields)  # noqa: DTZ001


def run(sql, setup=""):
    with duckdb.connect() as connection:
        connection.execute(trino.PRELUDE + setup)
        return connection.execute(trino.to_duckdb(sql)).fetchall()


def value(expression):
    ((found,),) = run(f"SELECT {expression}")
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # Values and rules from Trino's documentation, "Functions and operators".
        ("5 / 2", 2),
        ("-5 / 2", -2),
        ("5e0 / 2", 2.5),
        ("CAST(5 AS double) / 2", 2.5),
        ("7 % 3", 1),
        ("try(1 / 0)", None),
        ("format('%s is %.2f of %d%%', 'x', 1.234, 7)", "x is 1.23 of 7%"),
        ("format('%s', 1.5)", "1.5"),
        ("slice(ARRAY[1, 2, 3, 4, 5], 2, 3)", [2, 3, 4]),
        ("slice(ARRAY[1, 2, 3, 4, 5], -2, 2)", [4, 5]),
        ("date_diff('minute', TIMESTAMP '2026-01-01 00:00:59', TIMESTAMP '2026-01-01 00:02:00')", 1),
        ("date_diff('minute', TIMESTAMP '2026-01-01 00:02:00', TIMESTAMP '2026-01-01 00:00:59')", -1),
        ("date_diff('day', DATE '2026-01-01', DATE '2026-02-01')", 31),
        ("date_diff('millisecond', TIMESTAMP '2026-01-01 00:00:00', TIMESTAMP '2026-01-01 00:00:01.5')", 1500),
        ("date_add('second', 90, TIMESTAMP '2026-01-01 00:00:00')", at(2026, 1, 1, 0, 1, 30)),
        ("TIMESTAMP '2026-01-01 00:00:00' + INTERVAL '10' MINUTE", at(2026, 1, 1, 0, 10)),
        ("to_iso8601(TIMESTAMP '2026-01-01 00:00:00.123')", "2026-01-01T00:00:00.123"),
        ("to_iso8601(TIMESTAMP '2026-01-01 00:00:00.123 UTC')", "2026-01-01T00:00:00.123Z"),
        ("to_iso8601(DATE '2026-01-01')", "2026-01-01"),
        ("from_unixtime(1.5e9)", dt.datetime(2017, 7, 14, 2, 40, tzinfo=UTC)),
        ("to_unixtime(TIMESTAMP '2026-01-01 00:00:00.5')", 1767225600.5),
        ("date_trunc('hour', TIMESTAMP '2026-01-01 01:02:03')", at(2026, 1, 1, 1)),
        ("extract(dow FROM DATE '2026-01-04')", 7),
        ("day_of_week(DATE '2026-01-04')", 7),
        ("date_format(TIMESTAMP '2026-01-01 01:02:03', '%Y-%m-%d %H:%i:%s')", "2026-01-01 01:02:03"),
        ("hour(TIMESTAMP '2026-01-01 00:00:00' AT TIME ZONE 'Europe/Berlin')", 1),
        ("hour(at_timezone(TIMESTAMP '2026-01-01 00:00:00 UTC', 'Europe/Berlin'))", 1),
        ("element_at(ARRAY[1, 2, 3], -1)", 3),
        ("element_at(ARRAY[1, 2, 3], 9)", None),
        ("ARRAY[1, 2][1]", 1),
        ("element_at(MAP(ARRAY['a'], ARRAY[1]), 'a')", 1),
        ("cardinality(ARRAY[1, 2])", 2),
        ("any_match(ARRAY[1, 2], x -> x = 2)", True),
        ("none_match(ARRAY[1, 2], x -> x = 2)", False),
        ("all_match(ARRAY[1, 2], x -> x < 2)", False),
        ("filter(ARRAY[1, 2, 3], x -> x > 1)", [2, 3]),
        ("transform(ARRAY[1, 2], x -> x * 2)", [2, 4]),
        ("width_bucket(5.5, 0, 10, 5)", 3),
        ("width_bucket(-1, 0, 10, 5)", 0),
        ("width_bucket(10, 0, 10, 5)", 6),
        ("width_bucket(5.5, ARRAY[0, 5, 10])", 2),
        ("regexp_extract('port=4184', 'port=([0-9]+)', 1)", "4184"),
        ("regexp_extract('port', '[0-9]+')", None),
        ("regexp_like('abc', 'b')", True),
        ("regexp_replace('aba', 'a', 'x')", "xbx"),
        ("split_part('a,b', ',', 2)", "b"),
        ("split_part('a,b', ',', 3)", None),
        ("concat('a', NULL)", None),
        ("if(1 > 0, 'y', 'n')", "y"),
        ("greatest(1, NULL)", None),
        ("round(2.5e0)", 3.0),
        ("truncate(1.8e0)", 1.0),
        ("json_extract_scalar('{\"a\": \"x\"}', '$.a')", "x"),
        ("CAST(ROW(1, 'x') AS ROW(a bigint, b varchar)).b", "x"),
        ("TRY_CAST('x' AS integer)", None),
    ],
)
def test_an_expression_has_its_value_in_trino(expression, expected):
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT x FROM (VALUES 1, NULL, 2) AS t(x) ORDER BY x DESC", [(2,), (1,), (None,)]),
        ("SELECT x FROM (VALUES 1, NULL, 2) AS t(x) ORDER BY x", [(1,), (2,), (None,)]),
        ("SELECT map_agg(k, v) FROM (VALUES ('a', 1), ('b', 2)) AS t(k, v)", [({"a": 1, "b": 2},)]),
        ("SELECT approx_percentile(x, 0.5) FROM (VALUES 1e0, 2e0, 10e0) AS t(x)", [(2.0,)]),
        ("SELECT approx_percentile(x, ARRAY[0.5, 0.9]) FROM (VALUES 1e0, 2e0, 10e0) AS t(x)", [([2.0, 8.4],)]),
        ("SELECT sum(n) / count(*) FROM (VALUES 1, 2) AS t(n)", [(1,)]),
        (
            "SELECT count_if(x > 1), max_by(x, -x), arbitrary(y) FROM (VALUES (1, 7), (2, 7)) AS t(x, y)",
            [(1, 1, 7)],
        ),
        ("SELECT x, lag(x) OVER (ORDER BY x) FROM (VALUES 1, 2) AS t(x) ORDER BY x", [(1, None), (2, 1)]),
        ("SELECT a.x, b.y FROM (VALUES 1) AS a(x), (VALUES 2) AS b(y)", [(1, 2)]),
        ("SELECT x FROM UNNEST(sequence(1, 3)) AS t(x)", [(1,), (2,), (3,)]),
        ("SELECT x FROM (VALUES 3, 1, 2) AS t(x) ORDER BY x OFFSET 1 LIMIT 1", [(2,)]),
        ("WITH t AS (SELECT 1 AS x) SELECT x FROM t", [(1,)]),
    ],
)
def test_a_query_has_its_rows_in_trino(query, expected):
    assert run(query) == expected


class TestUnnest:
    ARMS = (
        "CREATE TABLE runs AS SELECT 'r' AS run, [{'arm': 'a', 'n': 1}, {'arm': 'b', 'n': 2}] AS arms, [7, 8] AS k;"
    )

    def test_an_array_of_rows_becomes_a_column_a_field(self):
        rows = run("SELECT run, t.arm, n FROM runs CROSS JOIN UNNEST(arms) AS t(arm, n) ORDER BY n", self.ARMS)
        assert rows == [("r", "a", 1), ("r", "b", 2)]

    def test_with_ordinality_it_is_numbered(self):
        query = "SELECT arm, n, i FROM runs CROSS JOIN UNNEST(arms) WITH ORDINALITY AS t(arm, n, i) ORDER BY i"
        assert run(query, self.ARMS) == [("a", 1, 1), ("b", 2, 2)]

    def test_rows_made_of_some_fields_become_a_column_a_field(self):
        query = "SELECT arm, m FROM runs CROSS JOIN UNNEST(transform(arms, x -> ROW(x.arm, x.n + 1))) AS t (arm, m)"
        assert run(query, self.ARMS) == [("a", 2), ("b", 3)]

    def test_the_only_field_of_a_row_is_the_column(self):
        query = "SELECT n FROM runs CROSS JOIN UNNEST(transform(arms, x -> ROW(x.n))) AS t (n)"
        assert run(query, self.ARMS) == [(1,), (2,)]

    def test_where_there_is_no_element_a_left_join_keeps_the_row(self):
        query = "SELECT run, n FROM runs LEFT JOIN UNNEST(filter(arms, x -> x.n > 9)) AS t (arm, n) ON TRUE"
        assert run(query, self.ARMS) == [("r", None)]

    def test_an_array_of_values_stays_one_column(self):
        query = "SELECT x, i FROM runs CROSS JOIN UNNEST(k) WITH ORDINALITY AS t(x, i) ORDER BY i"
        assert run(query, self.ARMS) == [(7, 1), (8, 2)]

    def test_arrays_go_side_by_side_and_the_short_one_is_filled_up(self):
        query = "SELECT x, y FROM UNNEST(ARRAY[1, 2], ARRAY['a', 'b', 'c']) AS t(x, y)"
        assert run(query) == [(1, "a"), (2, "b"), (None, "c")]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT 100.0 * x / y FROM t", "write 100.0e0"),
        ("SELECT 1 / 3.0", "write 3.0e0"),
        ("SELECT reduce(ARRAY[1], 0, (s, x) -> s + x, s -> s * 2)", "Reduce"),
        ("SELECT format(pattern, 1) FROM t", "pattern written out"),
        ("SELECT format('%h', 1)", "'%h' has no counterpart"),
        ("SELECT approx_percentile(x, w, 0.5) FROM t", "weight"),
        ("SELECT * FROM UNNEST(a, b) WITH ORDINALITY AS t(x, y, i)", "ORDINALITY"),
        ("SELECT FROM WHERE", "not a query in Athena's SQL"),
        ("SELEC 1", "not a query in Athena's SQL"),
        ("SELECT 1; SELECT 2", "not a query in Athena's SQL"),
    ],
)
def test_what_would_mean_something_else_is_refused(query, reason):
    with pytest.raises(trino.UntranslatableSql) as refusal:
        trino.to_duckdb(query)
    assert reason in str(refusal.value)


def test_a_function_that_has_no_counterpart_fails_and_gives_no_wrong_answer():
    with pytest.raises(duckdb.CatalogException):
        value("human_readable_seconds(96)")


@pytest.mark.parametrize("statement", ["DROP TABLE t", "CREATE TABLE t AS SELECT 1"])
def test_a_statement_of_another_kind_is_left_alone(statement):
    assert trino.to_duckdb(statement) == statement


def test_the_tables_of_a_query_are_told():
    query = "WITH a AS (SELECT * FROM flowlag.runs) SELECT * FROM a JOIN ledger AS l ON a.run_id = l.run_id"
    assert trino.tables(query) == {"a", "runs", "ledger"}


class TestParameters:
    def test_they_take_the_place_of_question_marks_in_order(self):
        assert run(trino.bind("SELECT ? || 'z', ? + 1", ["'a'", "2"])) == [("az", 3)]

    def test_a_question_mark_in_a_text_is_none(self):
        assert run(trino.bind("SELECT '?', ?", ["1"])) == [("?", 1)]

    def test_a_value_stays_a_value(self):
        assert run(trino.bind("SELECT ?", ["'x'' OR 1 = 1 --'"])) == [("x' OR 1 = 1 --",)]

    @pytest.mark.parametrize("values", [[], ["1", "2"]])
    def test_their_number_is_checked(self, values):
        with pytest.raises(trino.UntranslatableSql, match=rf"1 '\?' and {len(values)} values"):
            trino.bind("SELECT ?", values)


class TestTables:
    COLUMNS = (("run_id", "string"), ("at", "timestamp"), ("arms", "array<struct<arm:string,n:bigint>>"))

    def test_columns_have_the_types_that_glue_declares(self):
        reader = (
            "(SELECT 1 AS run_id, TIMESTAMPTZ '2026-01-01 00:00:00.1236+00' AS at, [{'n': 2, 'arm': 'a'}] AS arms)"
        )
        rows = run("SELECT * FROM t", f"CREATE VIEW t AS FROM {trino.relation(self.COLUMNS, reader)};")
        assert rows == [("1", at(2026, 1, 1, 0, 0, 0, 124_000), [{"arm": "a", "n": 2}])]

    def test_a_column_that_the_files_lack_is_null(self):
        setup = f"CREATE VIEW t AS FROM {trino.relation(self.COLUMNS, '(SELECT 7 AS run_id)')};"
        assert run("SELECT run_id, at, arms FROM t", setup) == [("7", None, None)]

    def test_a_column_that_glue_does_not_declare_is_not_there(self):
        setup = f"CREATE VIEW t AS FROM {trino.relation(self.COLUMNS, '(SELECT 7 AS run_id, 8 AS extra)')};"
        assert run("SELECT * FROM t", setup) == [("7", None, None)]

    @pytest.mark.parametrize(
        ("glue", "duckdb_type"),
        [
            ("string", "TEXT"),
            ("int", "INT"),
            ("bigint", "BIGINT"),
            ("double", "DOUBLE"),
            ("timestamp", "TIMESTAMP_MS"),
            ("array<string>", "TEXT[]"),
            ("array<struct<a:string,b:timestamp>>", "STRUCT(a TEXT, b TIMESTAMP_MS)[]"),
        ],
    )
    def test_a_glue_type_has_a_duckdb_name(self, glue, duckdb_type):
        assert trino.duckdb_type(glue) == duckdb_type


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, None),
        (True, "true"),
        (7, "7"),
        ("x", "x"),
        (1.0, "1.0"),
        (18.315, "18.315"),
        (-0.5, "-0.5"),
        (0.0001, "1.0E-4"),
        (-12345678.5, "-1.23456785E7"),
        (1e22, "1.0E22"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
        (Decimal("1.50"), "1.50"),
        (at(2026, 1, 1, 2, 3, 4, 567_000), "2026-01-01 02:03:04.567"),
        (dt.datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00.000 UTC"),
        (dt.date(2026, 1, 1), "2026-01-01"),
        (["a", None], "[a, null]"),
        ([{"arm": "a", "n": 1}], "[{arm=a, n=1}]"),
    ],
)
def test_a_value_reads_as_athena_writes_it(found, text):
    assert trino.athena_text(found) == text
