"""`flowlag query`: every named query answers right on results whose truth is known, here and on Athena."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from samtranslator.yaml_helper import yaml_parse

from flowlag_aws.athena import Answer, QueryFailed, run_query
from local.cli import main
from local.cloud.region import Region
from local.named_queries import TEMPLATE
from local.query import ask_files, named_queries
from local.render_query import Answered
from tests.local.planted import FOUR, RUNS, Row, plant
from tests.local.truths import TRUTH

QUERIES = named_queries()
PLANTED = plant()
LIMIT = "region = 'eu-west-1' AND dt BETWEEN '2026-11-01' AND '2026-11-30'"


def agree(answer: Answer, expected: list[Row]) -> None:
    """Check an answer against the truth: its columns, its rows and their order."""
    assert [list(row) for row in answer.rows] == [list(row) for row in expected]
    for row, right in zip(answer.rows, expected, strict=True):
        near = {
            name: pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value
            for name, value in right.items()
        }
        assert row == near


each_query = pytest.mark.parametrize("name", QUERIES)


# ---------------------------------------------------------------- here
@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the results bucket."""
    return PLANTED.write(tmp_path_factory.mktemp("results"))


def asked(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["query", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


@each_query
def test_a_query_answers_right_here(name: str, results: Path) -> None:
    answer = json.loads(asked(name, "--source", results, "--json"))

    assert answer["query"] == name
    assert len(answer["rows"]) > 1
    agree(Answer([], answer["rows"]), TRUTH[name](PLANTED))


@each_query
def test_a_query_can_be_limited_where_it_says(name: str, results: Path) -> None:
    sql = QUERIES[name].sql
    for spelled in ("For one region and month", "And again"):
        for word in ("WHERE", "AND"):
            sql = sql.replace(f"-- {spelled}: {word} {LIMIT}", f"{word} {LIMIT}")

    assert LIMIT not in "".join(line for line in sql.splitlines() if "--" in line)
    agree(ask_files(sql, [results]), TRUTH[name](PLANTED.only("eu-west-1", "2026-11-01", "2026-11-30")))


@each_query
def test_where_there_is_nothing_a_query_has_its_columns(name: str, tmp_path: Path) -> None:
    of_another_table = tmp_path / "quarantine/region=eu-west-1/dt=2026-11-01/c-1.parquet"
    of_another_table.parent.mkdir(parents=True)
    of_another_table.touch()

    answer = ask_files(QUERIES[name].sql, [tmp_path])

    assert list(answer.columns) == list(TRUTH[name](PLANTED)[0])
    assert answer.rows == []


def test_without_a_name_it_lists_the_questions() -> None:
    header, *lines = asked().splitlines()

    assert header == "query\tquestion"
    assert dict(line.split("\t") for line in lines) == {name: each.question for name, each in QUERIES.items()}
    assert json.loads(asked("--json"))["rows"][0] == {
        "query": "campaign_progress",
        "question": "How far has each campaign come, region by region?",
    }


def test_a_pipe_gets_plain_lines(results: Path) -> None:
    header, *lines = asked("campaign_progress", "--source", results).splitlines()

    assert header.split("\t")[:4] == ["source", "experiment", "region", "n_runs"]
    assert [line.split("\t")[:4] for line in lines][:2] == [
        ["aws", "", "us-east-1", "1"],
        ["aws", "default", "eu-west-1", "8"],
    ]


class TestTerminal:
    ANSWER = Answer(
        ["arm", "n_packets", "p50_s", "share"],
        [
            {"arm": "cloudwatch-600", "n_packets": 1234, "p50_s": 61.23456, "share": 0.00012345},
            {"arm": "s3-text-600", "n_packets": 0, "p50_s": None, "share": 0.0},
        ],
    )

    def printed(self, answer: Answer, width: int) -> list[str]:
        console = Console(width=width)
        with console.capture() as captured:
            console.print(Answered("How late?", answer))
        return [" ".join(line.split()) for line in captured.get().splitlines() if line.strip()]

    def test_people_get_a_table_where_there_is_room(self) -> None:
        title, header, _rule, *rows = self.printed(self.ANSWER, 80)

        assert title == "How late?"
        assert header == "arm n_packets p50_s share"
        assert rows == ["cloudwatch-600 1,234 61.235 0.000123", "s3-text-600 0 - 0.000"]

    def test_and_a_list_for_each_row_where_there_is_not(self) -> None:
        assert self.printed(self.ANSWER, 30)[1:5] == [
            "arm cloudwatch-600", "n_packets 1,234", "p50_s 61.235", "share 0.000123",
        ]  # fmt: skip

    def test_nothing_is_said_in_words(self) -> None:
        assert "no runs" in self.printed(Answer(["arm"], []), 80)[1]


# ---------------------------------------------------------------- files
class TestSources:
    """Which files are asked."""

    ONE, TWO = plant(RUNS[:1]), plant(RUNS[1:2])

    def runs(self, *paths: Path) -> list[Any]:
        """The runs that are found, with their region and day."""
        rows = json.loads(asked("delay_by_arm", *(part for path in paths for part in ("--source", path)), "--json"))
        assert {row["arm"] for row in rows["rows"]} == set(FOUR)
        return sorted({(row["region"], row["run_id"]) for row in rows["rows"]})

    def test_a_folder_may_hold_a_folder_for_each_run(self, tmp_path: Path) -> None:
        self.ONE.write(tmp_path / "out/one")
        self.TWO.write(tmp_path / "out/two")

        found = [("eu-west-1", "c-20261101T235900Z"), ("eu-west-1", "c-20261103T100000Z")]
        assert self.runs(tmp_path) == found
        assert self.runs(tmp_path / "out/one", tmp_path / "out/two") == found
        assert self.runs(tmp_path / "out/one") == found[:1]

    def test_folders_and_files_inside_of_a_table_will_do(self, tmp_path: Path) -> None:
        self.ONE.write(tmp_path)
        files = (tmp_path / "observations").rglob("*.parquet")

        assert len(self.runs(tmp_path / "runs", tmp_path / "observations/region=eu-west-1/dt=2026-11-01")) == 1
        assert len(self.runs(tmp_path / "runs", *files)) == 1

    def test_what_is_given_twice_counts_once(self, tmp_path: Path) -> None:
        self.ONE.write(tmp_path / "out")
        (tmp_path / "link").symlink_to(tmp_path / "out")
        twice = ("--source", tmp_path, "--source", tmp_path / "out/observations", "--source", tmp_path / "link")

        assert asked("delay_by_arm", *twice) == asked("delay_by_arm", "--source", tmp_path / "out")

    def test_the_folders_above_may_be_called_anything(self, tmp_path: Path) -> None:
        strange = "region=nowhere/dt=never/it's [a] *copy?*"
        self.ONE.write(tmp_path / strange)
        self.TWO.write(tmp_path / "plain")

        assert {region for region, _ in self.runs(tmp_path)} == {"eu-west-1"}
        assert len(self.runs(tmp_path / strange)) == 1

    def test_other_parquet_is_left_alone(self, tmp_path: Path) -> None:
        self.ONE.write(tmp_path)
        for name in ("landing/c-1/cloudwatch-600/0.parquet", "AWSLogs/year=2026/observations.parquet"):
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_bytes(b"not ours")

        assert len(self.runs(tmp_path)) == 1


def refused(*arguments: object) -> str:
    """The sentence by which the command refuses."""
    result = CliRunner().invoke(main, ["query", *map(str, arguments)])
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


class TestRefusals:
    def test_a_query_that_is_not_there(self) -> None:
        assert "no query 'percentiles': it is one of campaign_progress, " in refused("percentiles")

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        assert "there is no file or directory" in refused("cost", "--source", tmp_path / "nowhere")

    def test_a_folder_without_results(self, tmp_path: Path) -> None:
        (tmp_path / "notes.parquet").write_bytes(b"")
        sentence = refused("cost", "--source", tmp_path)
        assert f"no results in '{tmp_path}'" in sentence
        assert "TABLE/region=REGION/dt=DAY/NAME.parquet" in sentence

    def test_two_copies_of_one_run(self, tmp_path: Path) -> None:
        for copy in ("one", "two"):
            TestSources.ONE.write(tmp_path / copy)
        assert "are two copies of one object" in refused("cost", "--source", tmp_path)

    def test_a_damaged_file(self, tmp_path: Path) -> None:
        TestSources.ONE.write(tmp_path)
        (file,) = (tmp_path / "runs").rglob("*.parquet")
        file.write_bytes(file.read_bytes()[:-9])
        assert file.name in refused("cost", "--source", tmp_path)

    def test_files_and_a_stack_at_once(self, results: Path) -> None:
        assert "--source asks no stack" in refused("cost", "--source", results, "--stack", "flowlag")


# ---------------------------------------------------------------- on Athena
class TestConfiguration:
    def test_no_credentials(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        assert "no AWS credentials" in refused("cost", "--region", "us-east-1")
        assert "no region is configured" in refused("cost")

    def test_a_profile_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        assert "AWS did not answer: The config profile (nobody) could not be found" in refused("cost")


@pytest.fixture(scope="module")
def stack() -> Iterator[Region]:
    """A region with the planted results in a bucket, and over them what the template has of Glue and Athena."""
    with Region() as region:
        region.client("s3").create_bucket(Bucket="results")
        for key, data in PLANTED.objects():
            region.client("s3").put_object(Bucket="results", Key=key, Body=data)
        create_stack(region, "home", HomeBucket="results", ResultRegions="eu-west-1,us-east-1")
        create_stack(region, "satellite", HomeBucket="results", HomeRegion="eu-west-1")
        yield region


def create_stack(region: Region, name: str, **parameters: str) -> None:
    template = yaml_parse(TEMPLATE.read_text())
    wanted = {
        "Parameters": ("DatabaseName", "HomeBucket", "HomeRegion", "ResultRegions"),
        "Conditions": ("IsHome", "MakesResultsBucket", "OneRegion"),
        "Outputs": ("DatabaseName", "WorkgroupName"),
        "Resources": [
            name
            for name, each in template["Resources"].items()
            if name == "ResultsBucket" or each["Type"].startswith(("AWS::Athena::", "AWS::Glue::"))
        ],
    }
    part = {section: {name: template[section][name] for name in names} for section, names in wanted.items()}
    cloudformation = region.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(part),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.1})


@pytest.fixture
def credentials(stack: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the AWS CLI would be configured with, to reach the region."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", stack.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def on_athena(stack: Region, sql: str) -> Answer:
    return run_query(stack.client("athena"), sql, workgroup="home", database="flowlag", poll_s=0.05)


@pytest.fixture(scope="module")
def saved(stack: Region) -> dict[str, str]:
    """The saved queries of the stack's workgroup."""
    athena = stack.client("athena")
    ids = athena.list_named_queries(WorkGroup="home")["NamedQueryIds"]
    found = athena.batch_get_named_query(NamedQueryIds=ids)["NamedQueries"]
    return {query["Name"]: query["QueryString"] for query in found if query["Database"] == "flowlag"}


@pytest.mark.slow
class TestAthena:
    def test_it_has_every_query(self, saved: Mapping[str, str]) -> None:
        assert saved == {name: query.sql for name, query in QUERIES.items()}

    @each_query
    def test_a_query_answers_right(self, name: str, stack: Region, saved: Mapping[str, str]) -> None:
        answer = on_athena(stack, saved[name])

        assert list(answer.columns) == list(answer.rows[0])
        agree(answer, TRUTH[name](PLANTED))

    @pytest.mark.usefixtures("credentials")
    def test_the_command_asks_the_stack(self, stack: Region) -> None:
        rows = json.loads(asked("campaign_progress", "--stack", "home", "--region", stack.name, "--json"))["rows"]
        agree(Answer([], rows), TRUTH["campaign_progress"](PLANTED))

    @pytest.mark.usefixtures("credentials")
    def test_a_stack_that_is_not_there(self, stack: Region) -> None:
        sentence = refused("cost", "--stack", "mine", "--region", stack.name)
        assert sentence == f"flowlag: there is no stack 'mine' in {stack.name}: name another --stack, or --region"

    @pytest.mark.usefixtures("credentials")
    def test_a_stack_without_athena(self, stack: Region) -> None:
        assert "'satellite' in us-east-1 has no Athena" in refused(
            "cost", "--stack", "satellite", "--region", stack.name
        )

    def test_a_query_that_fails_says_why(self, stack: Region) -> None:
        with pytest.raises(QueryFailed, match=r"ended the query as FAILED: .*nowhere"):
            on_athena(stack, "SELECT * FROM nowhere")

    def test_an_answer_without_rows_has_its_columns(self, stack: Region) -> None:
        sql = "SELECT run_id, n FROM runs CROSS JOIN UNNEST(ARRAY[1]) AS t (n) WHERE run_id = 'none'"
        answer = on_athena(stack, sql)
        assert answer == Answer(["run_id", "n"], [])

    def test_values_have_types(self, stack: Region) -> None:
        sql = "SELECT 1 AS i, 0.5e0 AS d, true AS b, 'x' AS s, CAST(NULL AS double) AS n, DATE '2026-11-01' AS day"
        answer = on_athena(stack, sql)
        assert answer.rows == [{"i": 1, "d": 0.5, "b": True, "s": "x", "n": None, "day": "2026-11-01"}]
