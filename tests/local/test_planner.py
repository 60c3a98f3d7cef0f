"""`flowlag plan`: what it promises is held against simulated campaigns, and its numbers against known ones."""

import json
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from flowlag.delivery import PRESETS, Schedule
from flowlag.errors import InvalidRequest
from local.cli import main
from local.planner import Difference, Promise, Spread
from local.render import SOURCE_IN_WORDS
from local.sources import OBSERVATIONS, Accounted, Dataset, Row, RunRow, Series

T0 = 1_700_000_000
SECOND = 1_000_000
CAMPAIGNS = 20_000


def difference(seconds, spread_s, between="arms", *, confidence=0.95, power=0.9):
    spread = Spread(seconds=spread_s, notes=())
    return Difference(seconds=seconds, between=between, spread=spread, confidence=confidence, power=power)


# ---------------------------------------------------------------- differences, against simulated campaigns
def stated_share(values, others, confidence):
    """In how many of the campaigns (rows) Student's t test states a difference; `others` None: of values from 0."""
    found = stats.ttest_1samp(values, 0, axis=1) if others is None else stats.ttest_ind(values, others, axis=1)
    return float((found.pvalue < 1 - confidence).mean())


@pytest.mark.parametrize(
    ("seconds", "spread_s", "confidence", "power"),
    [(30, 24.5, 0.95, 0.9), (10, 24.5, 0.95, 0.8), (60, 20, 0.99, 0.95), (5, 4, 0.9, 0.5)],
)
@pytest.mark.parametrize("between", ["arms", "campaigns"])
def test_with_the_planned_runs_the_difference_is_stated_as_often_as_promised(
    seconds, spread_s, confidence, power, between
):
    goal = difference(seconds, spread_s, between, confidence=confidence, power=power)
    runs = goal.runs_of_each(spread_s)
    chance = np.random.default_rng(18)
    later = chance.normal(seconds, spread_s, (CAMPAIGNS, runs))
    earlier = chance.normal(0, spread_s, (CAMPAIGNS, runs)) if between == "campaigns" else None
    stated = stated_share(later, earlier, confidence)
    assert stated == pytest.approx(goal.power_of(runs, spread_s), abs=4 * sqrt(0.25 / CAMPAIGNS))
    assert stated >= power - 4 * sqrt(0.25 / CAMPAIGNS)
    assert goal.runs == runs * (2 if between == "campaigns" else 1)


def run_means_s(preset, traffic_s, runs):
    """The mean delay of a packet a second, of each of so many runs that the delivery model makes."""
    chance = np.random.default_rng(18)
    sent = np.arange(traffic_s) * SECOND
    for _ in range(runs):
        schedule = Schedule.drawn(preset, *chance.random(2))
        dealt = list(schedule.delivered(0, (traffic_s + 1_800) * SECOND))
        ends = np.array([schedule.window_end(start) for _, starts in dealt for start in starts])
        delivered = np.repeat([at for at, _ in dealt], [len(starts) for _, starts in dealt])
        yield float((delivered[np.searchsorted(ends, sent, "right")] - sent).mean()) / SECOND


def test_runs_as_the_model_makes_them_keep_the_promise():
    spread = Spread.of_preset(PRESETS["xen-600"], "arms", 10_800)
    goal = difference(30, spread.seconds)
    means = np.array(list(run_means_s(PRESETS["xen-600"], 10_800, 400)))
    pairs = np.random.default_rng(18).choice(means, (2, CAMPAIGNS, goal.runs))
    stated = stated_share(30 + pairs[1] - pairs[0], None, 0.95)
    assert stated == pytest.approx(goal.power_of(goal.runs, spread.seconds), abs=0.03)


@pytest.mark.parametrize("between", ["arms", "campaigns"])
@pytest.mark.parametrize("seconds", [3, 12, 40])
def test_one_run_fewer_is_too_few(seconds, between):
    goal = difference(seconds, 24.5, between)
    runs = goal.runs_of_each(24.5)
    assert goal.power_of(runs, 24.5) >= 0.9 > goal.power_of(runs - 1, 24.5)


def test_below_five_runs_nothing_is_stated_however_large_the_difference():
    assert difference(1e9, 1e-6).runs == 5
    assert difference(1e9, 1e-6, "campaigns").runs == 10
    assert difference(1e9, 1e-6).power_of(5, 1e-6) == 1


def test_without_a_difference_it_is_stated_as_often_as_chance_allows():
    assert difference(1e-9, 1, power=0.01).power_of(20, 1) == pytest.approx(0.05)


def test_a_difference_that_takes_too_many_runs():
    with pytest.raises(InvalidRequest, match=r"runs differ by 24\.5 s, so it would take more than 100,000 of them"):
        difference(0.1, 24.5)


# ---------------------------------------------------------------- how far runs differ
@pytest.mark.parametrize(("preset", "traffic_s"), [("xen-600", 10_800), ("xen-600", 2_700), ("nitro-60", 3_600)])
def test_the_spread_of_a_preset_is_that_of_the_runs_it_makes(preset, traffic_s):
    means = list(run_means_s(PRESETS[preset], traffic_s, 400))
    spread = Spread.of_preset(PRESETS[preset], "campaigns", traffic_s).seconds
    assert spread == pytest.approx(np.std(means), rel=0.1)
    assert Spread.of_preset(PRESETS[preset], "arms", traffic_s).seconds == pytest.approx(sqrt(2) * spread)


def series(run, arm, delays):
    """Each tick's delay in seconds; ticks without one are left out."""
    rows = (
        Row(tick, tick * SECOND, tick * SECOND, (tick + delay) * SECOND)
        for tick, delay in enumerate(delays, start=T0)
        if delay is not None
    )
    return Series.of(run, arm, rows)


def pilot(*several, runs=None):
    return Dataset("simulated", OBSERVATIONS, several, runs=runs or {})


def test_between_arms_it_is_that_of_the_differences_on_the_same_ticks():
    data = pilot(
        *(series(f"run-{at}", "a", [100, 200, 300]) for at in range(4)),
        *(series(f"run-{at}", "b", [None, 200 + late, 300 + late]) for at, late in enumerate((5, 7, 12))),
    )
    spread = Spread.of_pilot(data, "arms", ())
    assert (spread.seconds, spread.pilot_runs) == (pytest.approx(np.std([5, 7, 12], ddof=1)), 3)
    assert spread.source == "simulated"
    assert spread.notes == ("The spread is that of 3 runs' differences on the same ticks of 'a' and 'b'.",)
    # The upper 80 % limit of a standard deviation of 3 values: chi-squared with 2 degrees is -2 ln(1 - level).
    assert spread.limit_s == pytest.approx(spread.seconds * sqrt(2 / (-2 * np.log(0.8))))


def test_between_campaigns_it_is_that_of_the_medians():
    data = pilot(*(series(f"run-{at}", "a", [0, delay, 900]) for at, delay in enumerate((100, 104, 120))))
    spread = Spread.of_pilot(data, "campaigns", ())
    assert spread.seconds == pytest.approx(np.std([100, 104, 120], ddof=1))
    assert spread.notes == ("The spread is that of 3 runs' median delays of 'a'.",)


def test_a_run_without_a_median_is_none():
    silent = {"run-2": RunRow("run-2", T0, "complete", {"a": Accounted(0, 9)})}
    data = pilot(series("run-0", "a", [1]), series("run-1", "a", [2]), runs=silent)
    assert Spread.of_pilot(data, "campaigns", ()).pilot_runs == 2


@pytest.mark.parametrize(
    ("several", "between", "arms", "sentence"),
    [
        (
            [("r", "a"), ("r", "b"), ("r", "c")],
            "arms",
            (),
            "choose 2 of the pilot's arms with --arm; it has a, b, c",
        ),
        ([("r", "a"), ("r", "b")], "campaigns", (), "choose 1 of the pilot's arms with --arm; it has a, b"),
        ([("r", "a"), ("r", "b")], "arms", ("a", "d"), "choose 2 of the pilot's arms with --arm; it has a, b"),
        ([("r", "a"), ("r", "b")], "arms", ("a", "a"), "choose 2 of the pilot's arms with --arm; it has a, b"),
        ([("r", "")], "arms", (), "choose 2 of the pilot's arms with --arm; it has one, without a name"),
        (
            [("r", "a"), ("r", "b")],
            "arms",
            (),
            "how far runs differ takes 2 runs or more, and the pilot has 1 of 'a' and",
        ),
        (
            [("r", "a"), ("s", "b")],
            "arms",
            (),
            "how far runs differ takes 2 runs or more, and the pilot has 0 of 'a' and",
        ),
        ([("r", "a"), ("s", "a")], "campaigns", (), "the runs of the pilot do not differ at all"),
    ],
)
def test_a_pilot_that_does_not_tell(several, between, arms, sentence):
    with pytest.raises(InvalidRequest) as refusal:
        Spread.of_pilot(pilot(*(series(run, arm, [1, 2]) for run, arm in several)), between, arms)
    assert str(refusal.value).startswith(sentence)


def test_the_runs_of_a_pilot_count_for_a_promise():
    data = pilot(*(series(f"run-{at}", "a", [at]) for at in range(12)), series("run-0", "b", [1]))
    goal = Promise.of_pilot(data, ("a",), share=0.95, confidence=0.95)
    assert (goal.runs, goal.pilot_runs, goal.source) == (59, 12, "simulated")


# ---------------------------------------------------------------- the command
def run(*arguments):
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.stderr
    return result.stdout


def planned(*arguments):
    return json.loads(run("plan", *arguments, "--json"))


@pytest.mark.parametrize(
    ("share", "confidence", "runs"),
    [
        (0.95, 0.95, 59),
        (0.95, 0.99, 90),
        (0.99, 0.95, 299),
        (0.99, 0.99, 459),
        (0.999, 0.95, 2_995),
        (0.5, 0.75, 2),
    ],
)
def test_a_promise_takes_as_many_runs_as_the_bound_of_one_probe_a_run(share, confidence, runs):
    plan = planned("--share", str(share), "--confidence", str(confidence))
    assert (plan["runs"], plan["runs_to_make"]) == (runs, runs)
    assert plan["days"] == -(-runs // 4)


def test_days_and_dollars_are_those_of_the_estimate():
    campaign = [
        "--regions",
        "eu-west-1,us-east-1",
        "--runs-per-day",
        "3",
        "--sender-type",
        "t2.micro",
        "--own-target",
    ]
    plan = planned("--share", "0.95", "--confidence", "0.99", "--experiment", "s3-layouts", *campaign)
    assert (plan["days"], plan["senders"], plan["runs_per_day"]) == (15, ["t2.micro"], 3)
    assert plan["regions"] == ["eu-west-1", "us-east-1"]
    assert plan["usd"] == json.loads(run("estimate", "s3-layouts", "--days", "15", *campaign, "--json"))["usd"]
    assert any(note.startswith("The runs of all regions and senders count together") for note in plan["notes"])
    two = planned("--share", "0.95", "--sender-type", "t2.micro", "--sender-type", "t3.micro")
    assert two["days"] == 8


def test_a_difference_for_programs():
    plan = planned("--difference", "30")
    assert (plan["goal"], plan["between"], plan["runs"], plan["days"]) == ("difference", "arms", 7, 2)
    assert (plan["confidence"], plan["power"]) == (0.95, 0.9)
    assert plan["spread_s"] == pytest.approx(20.04, abs=0.01)
    assert (plan["spread_source"], plan["pilot_runs"], plan["spread_limit_s"]) == ("model", None, None)
    assert plan["power_of_these"] >= 0.9
    assert not any(note.startswith("The runs of all regions") for note in plan["notes"])
    two = planned("--difference", "30s", "--between", "campaigns")
    assert (two["runs_of_each"], two["runs"], two["runs_to_make"], two["days"]) == (6, 12, 12, 3)
    narrow = planned("--difference", "30s", "--preset", "nitro-60")
    assert narrow["spread_s"] == pytest.approx(sqrt(2) * 20 / sqrt(12))


def test_people_read_the_answer_first():
    first, *rest = run("plan", "--difference", "30").splitlines()
    usd = planned("--difference", "30")["usd"]
    assert first == f"A difference of 30 s between two arms takes 7 runs: 2 days, {usd:.2f} USD."
    told = " ".join(" ".join(rest).split())
    assert "spread between runs (standard deviation) 20.0 s" in told
    assert "The spread is the model's (xen-600) and not measured" in told
    assert "List prices in USD" in told
    campaigns = " ".join(run("plan", "--difference", "30", "--between", "campaigns").split())
    assert campaigns.startswith(
        "A difference of 30 s between two campaigns takes 6 runs of each, 12 in all: 3 days, "
    )
    promise = " ".join(run("plan", "--share", "0.95", "--confidence", "0.99").split())
    assert promise.startswith(
        "To state with 0.99 confidence when 0.95 of the records are visible takes 90 runs: 23 days, "
    )


@pytest.fixture
def exports(tmp_path, monkeypatch):
    """A pilot of three runs, a day apart, whose delays are 100, 110 and 130 s."""
    monkeypatch.chdir(tmp_path)
    lines = ["@ingestionTime,@timestamp,srcPort"]
    for day, delay in enumerate((100, 110, 130)):
        for tick in range(T0 + day * 86_400, T0 + day * 86_400 + 20):
            sent = np.datetime64(tick, "s")
            lines.append(f"{sent + np.timedelta64(delay, 's')},{sent},{tick % 65_536}")
    Path("pilot.csv").write_text("\n".join(lines))
    return "pilot.csv"


def test_a_pilot_tells_how_far_runs_differ_and_how_sure_that_is(exports):
    plan = planned(exports, "--difference", "20", "--between", "campaigns")
    assert plan["spread_s"] == pytest.approx(np.std([100, 110, 130], ddof=1))
    assert (plan["spread_source"], plan["pilot_runs"]) == ("aws", 3)
    assert plan["runs_at_spread_limit"] > plan["runs"]
    told = " ".join(run("plan", exports, "--difference", "20", "--between", "campaigns").split())
    assert f"Pilot: {SOURCE_IN_WORDS['aws']}" in told
    assert f"runs, were it that {plan['runs_at_spread_limit']}" in told


def test_a_promise_that_the_pilot_keeps_already_costs_nothing(exports):
    plan = planned(exports, "--share", "0.5", "--confidence", "0.75")
    assert (plan["runs"], plan["pilot_runs"], plan["runs_to_make"], plan["days"], plan["usd"]) == (2, 3, 0, 0, 0)
    told = " ".join(run("plan", exports, "--share", "0.5", "--confidence", "0.75").split())
    assert "takes 2 runs, 3 of them there already: 0 days, 0.00 USD." in told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give either --difference or --share: see 'flowlag plan --help'"),
        (["--difference", "30", "--share", "0.95"], "give either --difference or --share"),
        (["pilot.csv", "--difference", "30", "--preset", "xen-600"], "a pilot tells how far runs differ: give no"),
        (
            ["pilot.csv", "--difference", "30"],
            "choose 2 of the pilot's arms with --arm; it has one, without a name",
        ),
        (["missing.csv", "--share", "0.95"], "there is no file or directory 'missing.csv'"),
        (["--difference", "x"], "Invalid value for '--difference': 'x' is not a duration"),
        (["--difference", "0.01"], "runs differ by 20 s, so it would take more than 100,000 of them"),
        (["--difference", "30", "--power", "1"], "--power is a share between 0 and 1, not 1"),
        (["--difference", "30", "--confidence", "nan"], "--confidence is a share between 0 and 1, not nan"),
        (["--share", "0"], "--share is a share between 0 and 1, not 0"),
        (["--share", "0.9999999"], "it would take more than 100,000 runs: ask for a lower --share"),
        (["--share", "0.95", "--experiment", "nope"], "there is no experiment 'nope'"),
        (["--share", "0.95", "--regions", "Europe"], "'Europe' is no region"),
        (["--share", "0.95", "--runs-per-day", "7"], "7 runs of 3.6 hours, one after the other, do not fit a day"),
        (["--share", "0.95", "--runs-per-day", "0"], "Invalid value for '--runs-per-day'"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_sentence(exports, arguments, sentence):  # noqa: ARG001 - in its folder
    result = CliRunner().invoke(main, ["plan", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"flowlag: {sentence}")
