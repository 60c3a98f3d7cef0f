"""Athena over Glue tables with partition projection, in Trino's SQL, on the embedded AWS."""

import datetime as dt
import io
import time

import botocore.exceptions
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local.cloud.region import Region

pytestmark = pytest.mark.slow

BUCKET = "results"
AT = dt.datetime(2026, 11, 23, 5, 0, 0, 123_456, tzinfo=dt.UTC)
COLUMNS = {
    "run_id": "string",
    "tick": "bigint",
    "sent_at": "timestamp",
    "delay_s": "double",
    "reasons": "array<string>",
    "arms": "array<struct<arm:string,observed:bigint>>",
    "later": "int",
}
"""`later` is in no file: a column that a newer version of the table has."""

SCHEMA = pa.schema(
    {
        "run_id": pa.string(),
        "tick": pa.int64(),
        "sent_at": pa.timestamp("us", tz="UTC"),
        "delay_s": pa.float64(),
        "reasons": pa.list_(pa.string()),
        "arms": pa.list_(pa.struct({"arm": pa.string(), "observed": pa.int64()})),
    }
)


def row(run_id, tick, delay_s):
    arms = [{"arm": "a", "observed": tick}, {"arm": "b", "observed": 2}]
    return {
        "run_id": run_id,
        "tick": tick,
        "sent_at": AT,
        "delay_s": delay_s,
        "reasons": ["one", None],
        "arms": arms,
    }


def parquet(*rows):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), sink)
    return sink.getvalue()


def table(name):
    """As the template has its tables: partitioned, projected, nothing registered."""
    hive = "org.apache.hadoop.hive.ql.io.parquet"
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {
            "classification": "parquet",
            "projection.enabled": "true",
            "projection.region.type": "enum",
            "projection.region.values": "us-east-1,eu-central-1",
            "projection.dt.type": "date",
            "projection.dt.format": "yyyy-MM-dd",
            "projection.dt.range": "2026-01-01,NOW+1DAY",
            "storage.location.template": f"s3://{BUCKET}/{name}/region=${{region}}/dt=${{dt}}/",
        },
        "PartitionKeys": [{"Name": "region", "Type": "string"}, {"Name": "dt", "Type": "string"}],
        "StorageDescriptor": {
            "Location": f"s3://{BUCKET}/{name}/",
            "InputFormat": f"{hive}.MapredParquetInputFormat",
            "OutputFormat": f"{hive}.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": f"{hive}.serde.ParquetHiveSerDe"},
            "Columns": [{"Name": name, "Type": kind} for name, kind in COLUMNS.items()],
        },
    }


@pytest.fixture(scope="module")
def region():
    with Region() as region:
        s3, glue = region.client("s3"), region.client("glue")
        s3.create_bucket(Bucket=BUCKET)
        days = {
            "runs/region=us-east-1/dt=2026-11-22/one.parquet": parquet(row("one", 1, 1.5)),
            "runs/region=us-east-1/dt=2026-11-23/two.parquet": parquet(
                row("two", 2, None), row("three", 3, 0.0001)
            ),
            "runs/region=eu-central-1/dt=2026-11-23/four.parquet": parquet(row("four", 4, 18.315)),
        }
        for key, data in days.items():
            s3.put_object(Bucket=BUCKET, Key=key, Body=data)
        glue.create_database(DatabaseInput={"Name": "flowlag"})
        for name in ("runs", "nothing"):
            glue.create_table(DatabaseName="flowlag", TableInput=table(name))
        yield region


def execution(region, sql, **parameters):
    athena = region.client("athena")
    query = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": "flowlag"},
        ResultConfiguration={"OutputLocation": f"s3://{BUCKET}/athena/"},
        **parameters,
    )["QueryExecutionId"]
    while True:
        found = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]
        if found["Status"]["State"] in ("SUCCEEDED", "FAILED"):
            return found
        time.sleep(0.05)


def rows(region, sql, **parameters):
    """The rows of a query as Athena gives them: text, or None."""
    done = execution(region, sql, **parameters)
    assert done["Status"]["State"] == "SUCCEEDED", done["Status"]["StateChangeReason"]
    results = region.client("athena").get_query_results(QueryExecutionId=done["QueryExecutionId"])
    _, *found = results["ResultSet"]["Rows"]
    return [tuple(cell.get("VarCharValue") for cell in row["Data"]) for row in found]


class TestTables:
    def test_all_that_lies_under_the_table_is_read_without_registered_partitions(self, region):
        assert rows(region, "SELECT run_id FROM runs ORDER BY tick") == [("one",), ("two",), ("three",), ("four",)]

    def test_a_partition_is_a_column(self, region):
        query = "SELECT region, dt, count(*) FROM runs WHERE dt = '2026-11-23' GROUP BY region, dt ORDER BY region"
        assert rows(region, query) == [("eu-central-1", "2026-11-23", "1"), ("us-east-1", "2026-11-23", "2")]

    def test_a_table_without_files_has_no_rows_and_its_columns(self, region):
        query = "SELECT run_id, arm, observed FROM nothing CROSS JOIN UNNEST(arms) AS t(arm, observed)"
        assert rows(region, query) == []

    def test_a_column_that_the_files_lack_is_null(self, region):
        assert rows(region, "SELECT later FROM runs WHERE run_id = 'one'") == [(None,)]

    def test_a_timestamp_has_milliseconds_and_no_zone(self, region):
        query = "SELECT sent_at, to_iso8601(sent_at), to_unixtime(sent_at) FROM runs WHERE run_id = 'one'"
        (found,) = rows(region, query)
        assert found == ("2026-11-23 05:00:00.123", "2026-11-23T05:00:00.123", "1.795410000123E9")

    def test_rows_inside_of_rows_can_be_unnested(self, region):
        query = (
            "SELECT run_id, arm, observed FROM runs CROSS JOIN UNNEST(arms) AS t(arm, observed) "
            "WHERE run_id = 'four' ORDER BY arm"
        )
        assert rows(region, query) == [("four", "a", "4"), ("four", "b", "2")]

    def test_tables_are_found_by_their_whole_name_and_behind_a_comma(self, region):
        assert rows(region, "SELECT a.run_id FROM flowlag.runs AS a, nothing AS b") == []
        query = "WITH r AS (SELECT tick FROM flowlag.runs) SELECT count(*) FROM r AS a, r AS b"
        assert rows(region, query) == [("16",)]


class TestResults:
    def test_values_read_as_athena_writes_them(self, region):
        query = "SELECT delay_s, reasons, arms, delay_s IS NULL FROM runs WHERE dt = '2026-11-23' ORDER BY tick"
        assert rows(region, query) == [
            (None, "[one, null]", "[{arm=a, observed=2}, {arm=b, observed=2}]", "true"),
            ("1.0E-4", "[one, null]", "[{arm=a, observed=3}, {arm=b, observed=2}]", "false"),
            ("18.315", "[one, null]", "[{arm=a, observed=4}, {arm=b, observed=2}]", "false"),
        ]

    def test_the_file_of_the_results_has_the_same(self, region):
        done = execution(region, "SELECT sent_at, delay_s FROM runs WHERE run_id = 'one'")
        bucket, _, key = done["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").partition("/")
        keys = [each["Key"] for each in region.client("s3").list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]]
        written = region.client("s3").get_object(Bucket=bucket, Key=min(keys, key=len))["Body"].read().decode()
        assert written.splitlines() == ["sent_at,delay_s", "2026-11-23 05:00:00.123,1.5"]

    def test_columns_have_types(self, region):
        done = execution(region, "SELECT run_id, tick, sent_at, delay_s FROM runs")
        results = region.client("athena").get_query_results(QueryExecutionId=done["QueryExecutionId"])
        columns = results["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        assert [column["Type"] for column in columns] == ["varchar", "bigint", "timestamp", "double"]


class TestDialect:
    def test_it_is_trinos(self, region):
        query = (
            "SELECT 5 / 2, date_diff('minute', TIMESTAMP '2026-01-01 00:00:59', TIMESTAMP '2026-01-01 00:02:00')"
        )
        assert rows(region, query) == [("2", "1")]

    def test_parameters_take_the_place_of_question_marks(self, region):
        query = "SELECT run_id FROM runs WHERE tick > ? AND region = ? ORDER BY tick"
        assert rows(region, query, ExecutionParameters=["1", "'us-east-1'"]) == [("two",), ("three",)]

    def test_their_number_is_checked(self, region):
        with pytest.raises(botocore.exceptions.ClientError, match="1 '\\?' and 2 values"):
            execution(region, "SELECT ?", ExecutionParameters=["1", "2"])

    @pytest.mark.parametrize(
        ("query", "reason"),
        [
            ("SELECT FROM WHERE", "not a query in Athena's SQL"),
            ("SELECT 100.0 * tick / 3 FROM runs", "write 100.0e0"),
            ("SELECT nobody FROM runs", "nobody"),
            ("SELECT * FROM nowhere", "nowhere"),
        ],
    )
    def test_a_query_that_cannot_be_fails_and_says_why(self, region, query, reason):
        status = execution(region, query)["Status"]
        assert status["State"] == "FAILED"
        assert reason in status["StateChangeReason"]
