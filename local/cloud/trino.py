"""Athena's SQL on DuckDB: Trino's dialect and semantics, as far as they can be had.

sqlglot knows how the two dialects spell things. This module adds what it leaves silently different, each with the
rule of Trino's documentation that it restores, and refuses what it cannot translate faithfully. What remains:
DuckDB is the more lenient of the two (an alias in WHERE or GROUP BY, a string compared to a number), so a query
that runs here can still be refused by Athena; `approx_percentile` is exact here; and a double that ends in .5 cast
to an integer rounds to even here, away from zero there.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PRELUDE: Final = """
SET TimeZone = 'UTC';
SET integer_division = true;
SET default_null_order = 'nulls_last';
CREATE MACRO at_timezone(moment, zone) AS timezone(zone, CAST(moment AS TIMESTAMPTZ));
CREATE MACRO map_agg(key, value) AS map(list(key), list(value));
CREATE MACRO to_iso8601(moment) AS CASE typeof(moment)
  WHEN 'DATE' THEN strftime(moment, '%Y-%m-%d')
  WHEN 'TIMESTAMP WITH TIME ZONE' THEN strftime(moment, '%Y-%m-%dT%H:%M:%S.%gZ')
  ELSE strftime(moment, '%Y-%m-%dT%H:%M:%S.%g') END;
CREATE MACRO trino_slice(items, start, size) AS CASE
  WHEN start >= 0 THEN list_slice(items, start, start + size - 1)
  ELSE list_slice(items, len(items) + start + 1, len(items) + start + size) END;
CREATE MACRO width_bucket
  (x, bins) AS len(list_filter(bins, lambda bin: bin <= x)),
  (x, low, high, buckets) AS CASE
    WHEN x < low THEN 0
    WHEN x >= high THEN buckets + 1
    ELSE CAST(floor((x - low) * CAST(buckets AS DOUBLE) / (high - low)) AS BIGINT) + 1 END;
"""
"""What a DuckDB connection needs, in an execution of its own, before the first translated query."""


class UntranslatableSql(FlowlagError):
    """A query is not Trino's SQL, or would mean something else on DuckDB."""


# ---------------------------------------------------------------- queries
def to_duckdb(sql: str) -> str:
    """Translate one query. A statement of another kind comes back as it is.

    Raises:
        UntranslatableSql: says what is wrong with it.
    """
    query = _parse(sql)
    if not isinstance(query, exp.Query):
        return sql
    try:
        return query.transform(_restore).sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as reason:
        raise UntranslatableSql(str(reason)) from None


def tables(sql: str) -> set[str]:
    """The names behind FROM and JOIN, without their database; those of common table expressions are among them.

    Raises:
        UntranslatableSql: it is no query.
    """
    return {table.name for table in _parse(sql).find_all(exp.Table)}


def bind(sql: str, parameters: Sequence[str]) -> str:
    """Put the values of a query's `?` in their place, as Athena does with ExecutionParameters: each is SQL.

    Raises:
        UntranslatableSql: there are more `?` than values, or fewer.
    """
    query = _parse(sql)
    placeholders = list(query.find_all(exp.Placeholder, bfs=False))
    if len(placeholders) != len(parameters):
        raise UntranslatableSql(f"the query has {len(placeholders)} '?' and {len(parameters)} values")
    for placeholder, parameter in zip(placeholders, parameters, strict=True):
        placeholder.replace(_parse(parameter))
    return query.sql(dialect="athena")


def _parse(sql: str) -> exp.Expr:
    try:
        statements = sqlglot.parse(sql, read="athena")
    except SqlglotError as reason:
        # Its message underlines the place in colour, on a second line.
        raise UntranslatableSql(f"not a query in Athena's SQL: {str(reason).splitlines()[0]}") from None
    match statements:
        case [exp.Expr() as statement]:
            return statement
        case _:
            raise UntranslatableSql(f"not a query in Athena's SQL: {len(statements)} statements where one may be")


def _restore(node: exp.Expr) -> exp.Expr:
    """Give a node back the meaning that it has in Trino."""
    restore = _MEANINGS.get(type(node))
    return restore(node) if restore else node


def _call(name: str, *arguments: exp.Expr | str | None) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=[each for each in arguments if each is not None])


def _division(node: exp.Expr) -> exp.Expr:
    """1.0 / 3 is 0.3 in Trino: a quotient of decimals keeps their scale. DuckDB gives a double."""
    for operand in (node.this, node.expression):
        for literal in _factors(operand):
            if "." in literal and "e" not in literal.lower():
                raise UntranslatableSql(
                    f"Athena divides {literal} as a decimal and cuts the quotient's digits: write {literal}e0"
                )
    return node


def _factors(node: exp.Expr) -> Iterator[str]:
    if isinstance(node, exp.Literal) and not node.is_string:
        yield node.name
    elif isinstance(node, exp.Paren | exp.Neg | exp.Mul | exp.Div):
        for operand in (node.this, node.args.get("expression")):
            if operand is not None:
                yield from _factors(operand)


def _date_diff(node: exp.Expr) -> exp.Expr:
    """Trino counts whole units, as DuckDB's date_sub does; DuckDB's date_diff counts their boundaries."""
    unit = exp.Literal.string(node.args["unit"].name.lower())
    return _call("date_sub", unit, node.expression, node.this)


def _day_of_week(node: exp.Expr) -> exp.Expr:
    """Trino's week begins with Monday, 1; DuckDB's with Sunday, 0."""
    if node.name.upper() in ("DOW", "DAYOFWEEK", "DAY_OF_WEEK"):
        return _call("isodow", node.expression)
    return node


def _at_time_zone(node: exp.Expr) -> exp.Expr:
    """A timestamp without a zone is UTC in Athena; DuckDB takes it for one of the zone."""
    return _call("at_timezone", node.this, node.args["zone"])


def _format(node: exp.Expr) -> exp.Expr:
    """Trino's format is C's printf; DuckDB's is Python's. DuckDB's printf wants arguments of the right type."""
    if not (isinstance(node.this, exp.Literal) and node.this.is_string):
        raise UntranslatableSql("format() needs its pattern written out")
    conversions = re.findall(r"%[-#+ 0,(]*\d*(?:\.\d+)?([a-zA-Z])", node.this.name.replace("%%", ""))
    kinds = {"s": "VARCHAR", "d": "BIGINT", "f": "DOUBLE", "e": "DOUBLE", "g": "DOUBLE"}
    if len(conversions) != len(node.expressions) or not kinds.keys() >= set(conversions):
        raise UntranslatableSql(f"format() with the pattern '{node.this.name}' has no counterpart here")
    typed = [
        exp.cast(argument, kinds[conversion])
        for argument, conversion in zip(node.expressions, conversions, strict=True)
    ]
    return _call("printf", node.this, *typed)


def _slice(node: exp.Expr) -> exp.Expr:
    """Trino's slice takes a start and a length; DuckDB's a start and an end."""
    return _call("trino_slice", node.this, node.args["start"], node.args["end"])


def _approx_percentile(node: exp.Expr) -> exp.Expr:
    """DuckDB's approximation differs from run to run; the exact value is within any approximation's bound."""
    if node.args.get("weight") is not None or node.args.get("error_tolerance") is not None:
        raise UntranslatableSql("approx_percentile with a weight or an accuracy has no counterpart here")
    return _call("quantile_cont", node.this, node.args["quantile"])


def _regexp_extract(node: exp.Expr) -> exp.Expr:
    """Without a match Trino gives NULL, DuckDB the empty string."""
    matches = exp.RegexpLike(this=node.this.copy(), expression=node.expression.copy())
    return exp.Case().when(matches, _call("regexp_extract", node.this, node.expression, node.args.get("group")))


def _split_part(node: exp.Expr) -> exp.Expr:
    """Beyond the last part Trino gives NULL, DuckDB the empty string."""
    text, delimiter, index = node.this, node.args["delimiter"], node.args["part_index"]
    parts = _call("len", _call("str_split", text.copy(), delimiter.copy()))
    return exp.Case().when(
        exp.LTE(this=index.copy(), expression=parts), _call("split_part", text, delimiter, index)
    )


def _unnest(node: exp.Expr) -> exp.Expr:
    """In FROM, an array of rows becomes one column a field in Trino, and one column of structs in DuckDB.

    The alias tells: it names more columns than there are arrays. Several arrays go side by side, the short ones
    filled up with NULL, which DuckDB does in SELECT only.
    """
    alias, arrays, ordinality = node.args.get("alias"), node.expressions, node.args.get("offset")
    columns = alias.columns if alias else []
    if len(arrays) > 1 and ordinality:
        raise UntranslatableSql("UNNEST of several arrays WITH ORDINALITY has no counterpart here")
    if len(columns) <= len(arrays) == 1 and not _makes_rows(arrays[0]):
        return node
    if len(columns) > len(arrays) > 1:
        raise UntranslatableSql("UNNEST of several arrays of rows has no counterpart here")
    depth = [exp.PropertyEQ(this=exp.to_identifier("max_depth"), expression=exp.Literal.number(2))]
    projections: list[exp.Expr] = [_call("unnest", each, *(depth if len(arrays) == 1 else [])) for each in arrays]
    if ordinality:
        projections.append(_call("generate_subscripts", arrays[0].copy(), exp.Literal.number(1)))
        columns = [*columns, ordinality]
    name = exp.TableAlias(this=alias.this, columns=columns) if alias else None
    return exp.Subquery(this=exp.Select(expressions=projections), alias=name)


def _makes_rows(array: exp.Expr) -> bool:
    """Whether an array is made of rows by `transform`: then one column may be a row's only field."""
    return isinstance(array, exp.Transform) and isinstance(array.expression.this, exp.Struct)


def _match(node: exp.Expr) -> exp.Expr:
    """any_match and its like, which DuckDB lacks, by counting."""
    if not isinstance(node, exp.Anonymous) or node.name.lower() not in ("any_match", "none_match", "all_match"):
        return node
    items, test = node.expressions
    matching = exp.ArraySize(this=exp.ArrayFilter(this=items, expression=test))
    match node.name.lower():
        case "any_match":
            return exp.GT(this=matching, expression=exp.Literal.number(0))
        case "none_match":
            return exp.EQ(this=matching, expression=exp.Literal.number(0))
        case _:
            return exp.EQ(this=matching, expression=exp.ArraySize(this=items.copy()))


def _join(node: exp.Expr) -> exp.Expr:
    """`FROM a, b` as `FROM a CROSS JOIN b`: MiniStack looks for tables behind FROM and JOIN only."""
    if not any(node.args.get(each) for each in ("kind", "side", "method", "on", "using")):
        node.set("kind", "CROSS")
    return node


_MEANINGS: Final[Mapping[type[exp.Expr], Callable[[exp.Expr], exp.Expr]]] = {
    exp.Anonymous: _match,
    exp.ApproxQuantile: _approx_percentile,
    exp.ArraySlice: _slice,
    exp.AtTimeZone: _at_time_zone,
    exp.DateDiff: _date_diff,
    exp.Div: _division,
    exp.Extract: _day_of_week,
    exp.Format: _format,
    exp.Join: _join,
    exp.RegexpExtract: _regexp_extract,
    exp.SplitPart: _split_part,
    exp.Unnest: _unnest,
}


# ---------------------------------------------------------------- tables and results
def relation(glue_columns: Sequence[tuple[str, str]], reader: str) -> str:
    """A table in FROM: the columns that Glue declares, in the types that Athena gives them.

    Args:
        glue_columns: name and Glue type of each column, partition keys last.
        reader: what DuckDB reads, as in `read_parquet([...])`; a column that its files lack is NULL, as in Athena.
    """
    typed = [(_quoted(name), duckdb_type(kind)) for name, kind in glue_columns]
    nothing = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in typed)
    columns = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in typed)
    empty = f"SELECT {nothing} WHERE false"
    # Names are quoted, and types are written by sqlglot.
    return f"(SELECT {columns} FROM (SELECT * FROM {reader} UNION ALL BY NAME {empty}))"  # noqa: S608


def duckdb_type(glue_type: str) -> str:
    """DuckDB's name of a Glue type. An Athena timestamp has milliseconds, whatever the file has."""
    kind = exp.DataType.build(glue_type, dialect="hive").sql(dialect="duckdb")
    return re.sub(r"\bTIMESTAMP\b", "TIMESTAMP_MS", kind)


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def athena_text(value: object) -> str | None:  # noqa: PLR0911 - one return a type
    """A value as Athena writes it into its results; None for NULL."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case float():
            return _double(value)
        case datetime():
            zone = " UTC" if value.tzinfo else ""
            return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}{zone}"
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case dict():
            return "{" + ", ".join(f"{key}={_nested(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_nested, value)) + "]"
        case _:
            return str(value)


def _nested(value: object) -> str:
    text = athena_text(value)
    return "null" if text is None else text


def _double(value: float) -> str:
    """As Java's Double.toString: plain from a thousandth to ten million, else with an exponent."""
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN is what differs from itself
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
    if value == 0 or 1e-3 <= abs(value) < 1e7:  # noqa: PLR2004 - Java's bounds
        return f"{Decimal(repr(value)):f}"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    first, *rest = map(str, digits)
    return f"{'-' * sign}{first}.{''.join(rest) or '0'}E{len(digits) - 1 + int(exponent)}"
