"""`flowlag report`: the same page from profiles as from tables, and one sentence where there can be none."""

import json
import shutil
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from flowlag.tables import profile_key
from flowlag_report.profile import Profile
from local.cli import main
from local.report import profiles_of

ARMS = ("cloudwatch-60", "cloudwatch-600", "s3-text-600", "s3-parquet-600")
EXPORT = "@ingestionTime,@timestamp,srcPort\n2022-03-03 19:03:04.651,2022-03-03 19:00:40.000,4184\n"
FLOW_LOG = "version srcport dstport protocol packets bytes start\n2 4184 7777 6 1 340 1646334040\n"


def invoked(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def answer_of(*arguments):
    result = invoked(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return json.loads(result.stdout)


def refused(*arguments):
    """The sentence by which the command refuses; nothing is written."""
    before = {*Path().rglob("*")}
    result = invoked("report", *arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert {*Path().rglob("*")} == before
    (line,) = result.stderr.splitlines()
    return line.removeprefix("flowlag: ")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A copy of the results bucket: two runs in each of two regions, some of whose records are lost."""
    folder = tmp_path_factory.mktemp("results") / "bucket"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("local.simulate.truth.FLOW_LOGS", 10)
        shape = ("--experiment", "default", "--runs", 2, "--hours", 0.5, "--regions", "us-east-1,eu-west-1")
        answer_of("simulate", *shape, "--loss", 0.01, "--missed", 0.002, "--out", folder)
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def copied(results, here):
    return Path(shutil.copytree(results, here / "copy"))


def put_profiles(folder, profiles):
    for each in profiles:
        path = folder / profile_key(each.region, each.started_at, each.run_id, each.arm)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.to_bytes())


def data_of(*arguments):
    answer_of("report", *arguments, "--data", "data.json")
    return {name: value for name, value in json.loads(Path("data.json").read_text()).items() if name != "built_at"}


# ---------------------------------------------------------------- what it says
def test_the_page_is_written_and_its_answer_told(results):
    told = invoked("report", results, "-o", "page.html")

    sentence, source, where = told.stdout.splitlines()
    assert sentence.startswith("In 2 regions, half of the flow records to CloudWatch Logs (600 s) were visible ")
    assert source.startswith("These are simulated, not AWS, delays")
    assert where == "The page is page.html."
    assert sentence in Path("page.html").read_text()


def test_the_answer_for_programs(results):
    told = answer_of("report", results, "--badge", "badge.svg")

    assert {name: told[name] for name in ("source", "n_runs", "page", "badge", "void_runs")} == {
        "source": "simulated",
        "n_runs": 4,
        "page": "out/report.html",
        "badge": "badge.svg",
        "void_runs": 0,
    }
    assert set(told["arms"]) == set(ARMS)
    assert Path("out/report.html").is_file()
    assert Path("badge.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("arm", ARMS)
def test_it_says_what_analyze_says(results, arm):
    analyzed = {each["arm"]: each for each in answer_of("analyze", results)["arms"]}[arm]
    told = {each["arm"]: each for each in data_of(results)["arms"]}[arm]

    for ours, theirs in (
        ("n_packets", "n_packets"),
        ("n_bursts", "n_bursts"),
        ("n_runs", "n_runs"),
        ("undelivered", "missing"),
    ):
        assert told[ours] == analyzed[theirs]
    for name in ("min", "p50", "p90", "p95", "max"):
        assert told["delay_s"][name] == pytest.approx(analyzed["delay_s"][name], abs=1.5)
    assert told["over_runs_s"]["p50"] == pytest.approx(
        [analyzed["delay_p50_over_runs_s"]["min"], analyzed["delay_p50_over_runs_s"]["max"]], abs=0.001
    )


def test_what_the_ledger_says_is_in_each_profile(results):
    for profile in profiles_of([results], burst_gap_s=30):
        fates = {fate: sum(n for _, n in spans) for fate, spans in profile.missing.items()}
        assert fates.get("never_sent", 0) == profile.counts["never_sent"]
        assert fates.get("unrecorded", 0) == profile.undelivered
        assert fates.get("before_first_record", 0) <= profile.counts["before_first_record"]
        assert profile.first_delivery["status"] == "delivered"


# ---------------------------------------------------------------- from where
def test_profiles_that_lie_there_are_taken_instead_of_tables(copied):
    from_tables = data_of(copied)
    put_profiles(copied, profiles_of([copied], burst_gap_s=30))
    for table in ("observations", "ledger", "first_deliveries"):
        shutil.rmtree(copied / table)

    assert data_of(copied) == from_tables


def test_runs_without_profiles_are_taken_from_the_tables(copied):
    from_tables = data_of(copied)
    put_profiles(copied, profiles_of([copied], burst_gap_s=30)[:5])

    assert data_of(copied) == from_tables


def test_profiles_alone_suffice(copied, here):
    put_profiles(here / "alone", profiles_of([copied], burst_gap_s=30))

    assert data_of(here / "alone") == data_of(copied)


def test_a_folder_of_copies_is_all_of_them(copied, here):
    for region in ("us-east-1", "eu-west-1"):
        for table in ("runs", "observations", "ledger", "first_deliveries"):
            shutil.copytree(
                copied / table / f"region={region}", here / "several" / region / table / f"region={region}"
            )

    assert data_of(here / "several") == data_of(copied)


def test_many_runs_are_read_by_several_processes(copied, monkeypatch):
    alone = data_of(copied)
    monkeypatch.setattr("local.report.tables.RUNS_FOR_PROCESSES", 2)

    assert data_of(copied) == alone


def test_what_is_given_twice_counts_once(copied):
    assert data_of(copied, copied) == data_of(copied)


def test_observations_alone_are_reported_of_as_far_as_they_go(copied):
    data = data_of(copied / "observations")

    assert {each["name"] for each in data["arms"]} == set(ARMS)
    assert data["answer"]["n_runs"] == 4
    assert data["runs"]["verdict"] == [None] * 4


# ---------------------------------------------------------------- what it refuses
def test_sources_are_never_mixed(copied, here):
    (here / "export.csv").write_text(EXPORT)
    profile = profiles_of([copied], burst_gap_s=30)[0]
    put_profiles(here / "others", [Profile.of_json(profile.to_json() | {"source": "aws", "run_id": "real"})])

    assert refused(copied, "others") == (
        "these runs are of the sources aws and simulated, which never go into one statistic"
    )
    assert refused(copied, "export.csv").startswith("'export.csv' is no copy of the results bucket, as others are")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("flow.log", FLOW_LOG, "'flow.log' holds flow-log files, which do not say when they were delivered"),
        ("empty.csv", "", "'empty.csv' is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(here, name, content, sentence):
    (here / name).write_text(content)

    assert refused(name).startswith(sentence)


def test_a_path_that_is_not_there_is_named():
    assert refused("nowhere") == "there is no file or directory 'nowhere': check the path"


def test_a_damaged_profile_is_named(copied):
    path = copied / "profiles" / "region=us-east-1" / "dt=2026-01-01" / "run.arm.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")

    assert refused(copied) == f"the profile '{path}' cannot be used: it is not JSON"


@pytest.mark.parametrize("table", ["runs", "observations", "ledger", "first_deliveries"])
def test_a_damaged_table_is_named(copied, table):
    path = next((copied / table).rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-20])

    assert refused(copied) == f"'{path}' is damaged or cut short as a Parquet file: fetch it again"


def test_observations_that_are_not_there_are_named(copied):
    path = next((copied / "observations").rglob("*.parquet"))
    path.unlink()

    assert refused(copied) == f"there is no file or directory '{path}': check the path"


def test_another_table_in_its_place_is_named(copied):
    path = next((copied / "observations").rglob("*.parquet"))
    shutil.copyfile(next((copied / "ledger").rglob("*.parquet")), path)

    assert refused(copied) == f"'{path}' is not of these tables: it lacks the column 'sent_at'"


def test_a_ledger_beside_a_copy_is_refused(copied):
    assert refused(copied, "--ledger", "ledger.csv").endswith("give no ledger and no capture with it")


def test_a_page_that_cannot_be_written_leaves_nothing(results, here):
    (here / "page.html").mkdir()

    result = invoked("report", results, "-o", "page.html")
    assert result.exit_code == 2
    assert [path.name for path in here.iterdir()] == ["page.html"]


def test_the_page_can_be_read_by_others(results):
    invoked("report", results, "-o", "page.html")

    assert stat.S_IMODE(Path("page.html").stat().st_mode) == 0o644
