"""`flowlag simulate`: what it leaves is what Athena would have, is true, and is whole or not there."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from flowlag.delivery import PRESETS
from flowlag.tables import TABLES
from local import simulate
from local.cli import main
from local.query import named_queries
from local.simulate.campaign import Campaign

TROUBLES = ("--loss", "0.01", "--late", "0.1", "--twice", "0.1", "--wire-loss", "0.01", "--missed", "0.002")
SHORT = ("--runs", "1", "--hours", "0.2")


@pytest.fixture(autouse=True, scope="module")
def small_population():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("local.simulate.truth.FLOW_LOGS", 10)
        yield


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoked(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def asked(*arguments):
    """What a command answers as JSON; nothing else is on its outputs."""
    result = invoked(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return json.loads(result.stdout)


def refused(*arguments):
    result = invoked("simulate", *SHORT, *arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    return line.removeprefix("flowlag: ")


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- what it leaves
@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Two regions, four arms, and something of everything that may happen."""
    folder = tmp_path_factory.mktemp("simulated") / "data"
    arguments = ("--experiment", "default", "--runs", 3, "--hours", 0.5, "--regions", "us-east-1,eu-west-1")
    asked("simulate", *arguments, *TROUBLES, "--out", folder)
    return folder


@pytest.fixture(scope="module")
def truth(campaign):
    return json.loads((campaign / "truth.json").read_text())


def test_the_tables_lie_under_the_keys_of_the_bucket(campaign, truth):
    names = {path.relative_to(campaign).as_posix() for path in campaign.rglob("*.parquet")}

    by_run = {(run["region"], run["started_at"][:10], run["run_id"]) for run in truth["runs"]}
    arms = ("cloudwatch-60", "cloudwatch-600", "s3-text-600", "s3-parquet-600")
    assert names == {
        f"{table}/region={region}/dt={day}/{name}.parquet"
        for region, day, run_id in by_run
        for table, of_table in (
            ("observations", [f"{run_id}.{arm}" for arm in arms]),
            ("first_deliveries", [f"{run_id}.{arm}" for arm in arms]),
            ("ledger", [run_id]),
            ("runs", [run_id]),
        )
        for name in of_table
    }
    assert len(by_run) == 6
    assert {name.partition("/")[0] for name in names} == set(TABLES) - {"quarantine"}


def test_it_says_what_was_asked_for_and_what_it_is(truth):
    assert (truth["made_by"], truth["schema_version"], truth["source"]) == ("flowlag simulate", 1, "simulated")
    assert truth["arguments"]["loss"] == 0.01
    assert truth["n_runs"] == len(truth["runs"]) == 6
    assert truth["arms"]["s3-text-600"]["habits"]["publish_every_s"] == PRESETS["xen-600"].file_every_s


def test_analyze_agrees_with_the_truth_to_the_microsecond(campaign, truth):
    answer = asked("analyze", campaign)

    assert (answer["source"], answer["n_runs"]) == ("simulated", 6)
    assert [arm["arm"] for arm in answer["arms"]] == sorted(truth["arms"])
    for arm in answer["arms"]:
        true = truth["arms"][arm["arm"]]
        assert (arm["n_packets"], arm["n_bursts"], arm["n_runs"]) == (
            true["n_packets"],
            true["n_bursts"],
            true["n_runs"],
        )
        assert arm["missing"] == true["n_missing"]
        assert arm["delay_s"] == pytest.approx(true["delay_with_missing_s"], abs=1e-6)


def test_every_arm_of_every_run_adds_up(truth):
    for run in truth["runs"]:
        for arm in run["arms"].values():
            assert arm["n_missing"] == arm["lost"] + arm["too_late"]
            assert 0 < arm["n_packets"] + arm["n_missing"] <= run["n_ticks"]
            assert max(arm["late"], arm["repeated"]) <= arm["n_packets"]
    for name, arm in truth["arms"].items():
        for count in (
            "n_packets",
            "n_missing",
            "n_bursts",
            "capture_windows",
            "lost",
            "late",
            "repeated",
            "too_late",
        ):
            assert arm[count] == sum(run["arms"][name][count] for run in truth["runs"]), count
        assert min(arm["lost"], arm["late"], arm["repeated"]) > 0


@pytest.mark.parametrize("name", named_queries())
def test_every_named_query_answers(name, campaign, truth):
    rows = asked("query", name, "--source", campaign)["rows"]

    assert rows
    assert {row["source"] for row in rows} == {"simulated"}
    if "arm" in rows[0] and "n_packets" in rows[0] and "hour_utc" not in rows[0]:
        assert {row["arm"] for row in rows} == set(truth["arms"])
        assert sum(row["n_packets"] for row in rows) == sum(arm["n_packets"] for arm in truth["arms"].values())


def test_the_percentiles_of_the_query_are_true(campaign, truth):
    rows = asked("query", "delay_by_arm", "--source", campaign)["rows"]

    true = {(run["region"], run["run_id"], arm): told for run in truth["runs"] for arm, told in run["arms"].items()}
    assert len(rows) == len(true) == 24
    for row in rows:
        told = true[row["region"], row["run_id"], row["arm"]]
        assert (row["n_packets"], row["n_missing"], row["n_bursts"]) == (
            told["n_packets"],
            told["n_missing"],
            told["n_bursts"],
        )
        for name in ("min", "p50", "p90", "p95", "p99", "max"):
            assert row[f"{name}_s"] == pytest.approx(told["delay_s"][name], abs=1e-6)


def test_the_same_arguments_give_the_same_bytes():
    for name in ("one", "two"):
        asked("simulate", *SHORT, *TROUBLES, "--out", name)

    assert files_of(Path("one")) == files_of(Path("two"))
    asked("simulate", *SHORT, *TROUBLES, "--seed", 2, "--out", "two")
    assert files_of(Path("one")).keys() != files_of(Path("two")).keys()


@pytest.mark.parametrize(
    ("preset", "arm"),
    [("xen-600", "cloudwatch-600"), ("xen-600-overlapping", "cloudwatch-600"), ("nitro-60", "cloudwatch-60")],
)
def test_without_an_experiment_it_has_the_arm_of_its_preset(preset, arm):
    told = asked("simulate", "--preset", preset, *SHORT)

    assert told["out"] == "out/simulated"
    assert list(told["arms"]) == [arm]
    (row,) = asked("query", "campaign_progress", "--source", "out")["rows"]
    assert (row["experiment"], row["n_complete"]) == (preset, 1)


def test_an_experiment_may_be_a_file():
    Path("often.toml").write_text('rate = 5\ntraffic_s = 60\narms = [{destination = "s3"}]\n')

    told = asked("simulate", "--runs", 1, "--experiment", "often.toml")

    assert list(told["arms"]) == ["s3-text-600"]
    assert told["arms"]["s3-text-600"]["n_packets"] > 5 * 60


def test_people_get_tables_and_the_next_commands():
    result = invoked("simulate", *SHORT)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("These are simulated, not AWS, delays")
    assert "cloudwatch-600" in result.stdout
    assert "flowlag analyze out/simulated" in " ".join(result.stdout.split())


def test_where_nothing_was_recorded_there_is_no_delay():
    told = asked("simulate", *SHORT, "--loss", 1)

    arm = told["arms"]["cloudwatch-600"]
    assert (arm["delay_s"], arm["n_runs"], arm["n_missing"]) == (None, 0, 0), "void runs are not averaged in"
    assert invoked("simulate", *SHORT, "--loss", 1).exit_code == 0
    (row,) = asked("query", "campaign_progress", "--source", "out")["rows"]
    assert (row["n_void"], row["n_packets"]) == (1, 0)


# ---------------------------------------------------------------- where it leaves it
def test_what_a_simulation_left_is_replaced_as_a_whole():
    asked("simulate", "--runs", 2, "--hours", 0.2)
    Path("out/simulated/notes.txt").write_text("of the older one")

    asked("simulate", *SHORT)

    assert len(list(Path("out/simulated/runs").rglob("*.parquet"))) == 1
    assert not Path("out/simulated/notes.txt").exists()
    assert [path.name for path in Path("out").iterdir()] == ["simulated"]


def test_an_empty_folder_is_used():
    Path("empty").mkdir()

    asked("simulate", *SHORT, "--out", "empty")

    assert Path("empty/truth.json").exists()


@pytest.mark.parametrize("name", ["letter.txt", "truth.json"])
@pytest.mark.parametrize("text", ["dear", "{}", "[1]", '{"made_by": "somebody else"}'])
def test_anything_else_is_left_alone(folder, name, text):
    Path("mine").mkdir()
    Path("mine", name).write_text(text)

    assert refused("--out", "mine").startswith(f"'{folder / 'mine'}' is there already and was not made by")
    assert files_of(folder) == {Path("mine", name): text.encode()}


def test_a_file_is_left_alone(folder):
    Path("mine").write_text("dear")

    assert "was not made by" in refused("--out", "mine")
    assert "File exists" in refused("--out", "mine/data") or "Not a directory" in refused("--out", "mine/data")
    assert files_of(folder) == {Path("mine"): b"dear"}


@pytest.mark.parametrize("older", [False, True])
def test_ctrl_c_leaves_what_there_was(folder, monkeypatch, older):
    if older:
        asked("simulate", *SHORT)
    before = files_of(folder)

    def cut_short(campaign):
        yield from list(Campaign.simulate(campaign))
        raise KeyboardInterrupt

    class Interrupted(Campaign):
        simulate = cut_short

    monkeypatch.setattr(simulate, "Campaign", Interrupted)
    result = invoked("simulate", *SHORT, "--seed", 5)

    assert result.exit_code == 130
    assert files_of(folder) == before
    assert [path.name for path in folder.rglob("*") if path.name.startswith(".")] == []


def test_at_no_moment_the_older_one_can_be_lost(folder, monkeypatch):
    asked("simulate", *SHORT)
    before, rename = files_of(folder), Path.rename

    def refuse_the_new_one(path, target):
        if path.name == "made":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new_one)

    assert invoked("simulate", *SHORT, "--seed", 5).exit_code == 130
    assert files_of(folder) == before


# ---------------------------------------------------------------- what it refuses
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--hours", "0"), "a run has more than 0 and at most 24 hours, not 0"),
        (("--hours", "nan"), "a run has more than 0 and at most 24 hours, not nan"),
        (("--hours", "24.1"), "a run has more than 0 and at most 24 hours, not 24.1"),
        (("--loss", "nan"), "loss is a share from 0 to 1, not nan"),
        (("--regions", "us-east-1,us-east-1"), "a campaign has no region twice"),
        (("--regions", "moon"), "'moon' is no region: give names as in eu-west-1,us-east-1"),
        (("--experiment", "nope.toml"), "there is no file or directory 'nope.toml': check the path"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(folder, arguments, sentence):
    assert refused(*arguments) == sentence
    assert list(folder.iterdir()) == []
