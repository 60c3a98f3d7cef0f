"""`flowlag lookback` on records whose delays are known, against a rule that is really run at every phase."""

import configparser
import json
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flowlag.errors import InvalidRequest
from local.cli import main
from local.durations import in_units, seconds_of
from local.instants import iso
from local.lookback import Rule, lookback
from local.render import SOURCE_IN_WORDS
from local.rule_formats import Setting
from local.sources import FLOW_LOG, OBSERVATIONS, Accounted, Dataset, Row, RunRow, Series

T0 = 1_700_000_000
SECOND = 1_000_000
EP18 = (
    Path(os.environ.get("FLOWLAG_EP18", Path(__file__).parents[3] / "shared" / "ep18"))
    / "logs-insights-results.csv"
)


def series(delays, *, run="run-1", arm="cloudwatch-600", label=0):
    """Records sent a second apart, each delivered after its delay (None: when is not known); `start` comes `label`
    seconds after the send."""
    rows = (
        Row(tick, tick * SECOND, (tick + label) * SECOND, None if delay is None else (tick + delay) * SECOND)
        for tick, delay in enumerate(delays, start=T0)
    )
    return Series.of(run, arm, rows)


def dataset(*several, undelivered=(), kind=OBSERVATIONS):
    runs = {run: RunRow(run, T0 * SECOND, "complete", arms) for run, arms in dict(undelivered).items()}
    return Dataset("simulated", kind, several, runs=runs)


def ask(data, every, within=None, arm=None):
    return lookback(data, Rule(every_s=every, within_s=within), arm)


# ---------------------------------------------------------------- what a rule misses
def replayed(records, every, within):
    """The share that a rule misses whose phase is any half second: whole seconds lie evenly between these."""
    seen = 0
    for phase in range(every):
        executions = [at + phase + 0.5 for at in range(-every, 400, every)]
        seen += sum(any(t >= i and t - within <= s for t in executions) for s, i in records)
    return 1 - seen / (every * len(records))


@settings(max_examples=50)
@given(
    delays=st.lists(st.integers(-5, 60), min_size=1, max_size=12),
    every=st.integers(1, 20),
    within=st.integers(1, 90),
    label=st.integers(-60, 0),
)
def test_the_missed_share_is_that_of_a_rule_run_at_every_phase(delays, every, within, label):
    measured = ask(dataset(series(delays, label=label)), every, within).everything
    sent = [(at, at + delay) for at, delay in enumerate(delays)]
    started = [(s + label, i) for s, i in sent]
    assert measured.from_send.missed_share == pytest.approx(replayed(sent, every, within))
    assert measured.from_start.missed_share == pytest.approx(replayed(started, every, within))


@settings(max_examples=50)
@given(
    delays=st.lists(st.integers(-5, 900), min_size=1, max_size=40),
    every=st.floats(0.001, 600),
    percent=st.sampled_from([50, 90, 95, 99, 100]),
)
def test_the_look_back_needed_is_the_shortest_to_the_microsecond(delays, every, percent):
    data = dataset(series(delays))
    needed = ask(data, every).everything.from_send.needed_s[percent]
    assert 1 - ask(data, every, needed).everything.from_send.missed_share >= percent / 100 - 1e-12
    assert 1 - ask(data, every, needed - 1e-6).everything.from_send.missed_share < percent / 100


def test_of_one_delay_everything_is_known():
    answer = ask(dataset(series([120] * 50)), 300, 360)
    assert answer.everything.from_send.missed_share == pytest.approx(0.2)  # seen if one of 300 s is in the last 240
    assert answer.everything.from_send.needed_s == {50: 270, 90: 390, 95: 405, 99: 417, 100: 420}


def test_nothing_is_missed_from_the_interval_and_the_longest_delay_on():
    data = dataset(series([10, 626, 30]))
    assert ask(data, 300).everything.from_send.needed_s[100] == 926
    assert ask(data, 300, 926).everything.from_send.missed_share == 0
    assert ask(data, 300, 10).everything.from_send.missed_share == 1


def test_from_start_is_counted_from_the_label_of_the_window():
    measured = ask(dataset(series([120] * 50, label=-30)), 300, 360).everything
    assert measured.start_before_send_s == 30
    assert (measured.from_send.missed_share, measured.from_start.missed_share) == (pytest.approx(0.2), 0.3)
    assert measured.from_start.needed_s[100] == 450
    assert measured.needed_s(100) == 450


# ---------------------------------------------------------------- which records count
def test_probes_that_were_never_delivered_are_missed():
    data = dataset(series([100] * 6), undelivered={"run-1": {"cloudwatch-600": Accounted(6, 4)}})
    answer = ask(data, 60, 160)
    measured = answer.everything
    assert (measured.n_packets, measured.undelivered, measured.from_send.missed_share) == (10, 4, 0.4)
    assert measured.from_send.needed_s == {50: 150, 90: None, 95: None, 99: None, 100: None}
    assert measured.needed_s(99) is None
    assert "Probes that were sent and never delivered count as missed: 4." in answer.notes


def test_an_arm_that_delivered_nothing_in_a_run_misses_all_of_it():
    silent = {"run-2": {"cloudwatch-600": Accounted(0, 6)}}
    answer = ask(dataset(series([100] * 6), undelivered=silent), 60, 160)
    assert (answer.everything.n_runs, answer.everything.from_send.missed_share) == (2, 0.5)
    over_runs = answer.everything.from_send.missed_share_over_runs
    assert (over_runs.min, over_runs.max) == (0, 1)


def test_observed_probes_whose_file_is_not_given_are_no_silence():
    elsewhere = {"run-2": {"cloudwatch-600": Accounted(50, 6)}}
    assert ask(dataset(series([100] * 6), undelivered=elsewhere), 60, 160).everything.n_packets == 6


def test_records_without_a_time_of_delivery_are_left_out_and_counted():
    answer = ask(dataset(series([100, None, 100, None])), 60, 160)
    assert (answer.everything.n_packets, answer.everything.from_send.missed_share) == (2, 0)
    assert "Records that have no time of delivery yet, and so are left out: 2." in answer.notes


def test_a_record_that_came_twice_is_one():
    once = series([100, 100])
    again = Series.of(
        "run-1", "cloudwatch-600", [Row(T0, T0 * SECOND, T0 * SECOND, (T0 + at) * SECOND) for at in (900, 100)]
    )
    both = Series.of(
        "run-1",
        "cloudwatch-600",
        [
            Row(*map(int, row))
            for each in (again, once)
            for row in zip(each.ticks, each.sent_at, each.window_start, each.ingested_at, strict=True)
        ],
    )
    measured = ask(dataset(both), 60, 160).everything
    assert (measured.n_packets, measured.longest_delay_s) == (2, 100)


def test_arms_are_told_together_and_apart():
    data = dataset(series([100] * 6, arm="a"), series([400] * 2, arm="b"))
    answer = ask(data, 300, 400)
    assert {name: each.from_send.missed_share for name, each in answer.arms.items()} == {"a": 0, "b": 1}
    assert answer.everything.from_send.missed_share == 0.25
    assert answer.everything.n_runs == 1
    assert any(note.startswith("2 arms are together in these numbers") for note in answer.notes)
    only = ask(data, 300, 400, "b")
    assert (only.everything.from_send.missed_share, list(only.arms)) == (1, ["b"])
    assert not any("arms" in note for note in only.notes)


def test_an_arm_that_is_not_there():
    with pytest.raises(InvalidRequest, match="there is no arm 'c' in these results: there are a, b"):
        ask(dataset(series([1], arm="a"), series([1], arm="b")), 60, arm="c")
    with pytest.raises(
        InvalidRequest, match="there is no arm 'c' in these results: there are none that have names"
    ):
        ask(dataset(series([1], arm="")), 60, arm="c")


def test_without_times_of_delivery_there_is_no_answer():
    with pytest.raises(InvalidRequest, match="flow-log files do not say when they were delivered"):
        ask(dataset(series([None]), kind=FLOW_LOG), 60)
    with pytest.raises(InvalidRequest, match="no record has a time of delivery yet"):
        ask(dataset(series([None])), 60)


# ---------------------------------------------------------------- runs
def campaign(*delays):
    return dataset(*(series([delay] * 20, run=f"run-{at}") for at, delay in enumerate(delays)))


def test_below_five_runs_there_is_a_range_and_no_interval():
    counted = ask(campaign(100, 160, 220, 280), 300, 360).everything.from_send
    assert counted.missed_share_interval is None
    assert (counted.missed_share_over_runs.min, counted.missed_share_over_runs.max) == (
        pytest.approx(2 / 15),
        pytest.approx(11 / 15),
    )
    needed = counted.needed_over_runs_s[100]
    assert (needed.min, needed.max) == (400, 580)


def test_of_one_run_there_is_no_range():
    counted = ask(campaign(100), 300, 360).everything.from_send
    assert counted.missed_share_over_runs is None
    assert set(counted.needed_over_runs_s.values()) == {None}


def test_from_five_runs_of_one_size_on_the_interval_is_students():
    delays = (100, 130, 160, 190, 280)
    answer = ask(campaign(*delays), 300, 360)
    shares = [1 - (360 - delay) / 300 for delay in delays]
    low, high = stats.t.interval(0.95, 4, loc=sum(shares) / 5, scale=stats.sem(shares))
    interval = answer.everything.from_send.missed_share_interval
    assert (interval.min, interval.max) == (pytest.approx(low), pytest.approx(high))
    assert not any("Below 5 runs" in note for note in answer.notes)


def test_an_interval_of_shares_stays_between_none_and_all():
    interval = ask(campaign(100, 100, 100, 100, 400), 60, 200).everything.from_send.missed_share_interval
    assert interval.min == 0
    assert 0.2 < interval.max <= 1


def test_runs_that_agree_give_no_interval():
    assert ask(campaign(*[100] * 6), 300, 500).everything.from_send.missed_share_interval is None


# ---------------------------------------------------------------- the command
@pytest.fixture
def export(tmp_path, monkeypatch):
    """An export of records that take from 1 to 600 s, by seconds, to come."""
    monkeypatch.chdir(tmp_path)
    rows = (
        f"{iso((tick + delay) * SECOND)},{iso((tick - 30) * SECOND)},{tick % 65_536}\n"
        for delay, tick in enumerate(range(T0, T0 + 600), start=1)
    )
    Path("export.csv").write_text("@ingestionTime,@timestamp,srcPort\n" + "".join(rows))
    return "export.csv"


def run(*arguments):
    result = CliRunner().invoke(main, ["lookback", *arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_programs_get_the_share_and_every_look_back(export):
    answer = json.loads(run(export, "--every", "5m", "--within", "10m", "--json"))
    assert (answer["source"], answer["every_s"], answer["within_s"]) == ("aws", 300, 600)
    assert (answer["n_packets"], answer["n_runs"], answer["n_bursts"]) == (600, 1, 1)
    assert answer["missed_share"] == pytest.approx(sum(range(1, 301)) / 300 / 600)
    assert answer["within_for_zero_misses_s"] == answer["within_needed_s"]["100"] == 900
    assert answer["from_start"]["within_for_zero_misses_s"] == 930
    assert [arm["missed_share"] for arm in answer["arms"]] == [answer["missed_share"]]
    open_ended = json.loads(run(export, "--every", "300", "--json"))
    assert (open_ended["within_s"], open_ended["missed_share"]) == (None, None)
    assert open_ended["within_needed_s"] == answer["within_needed_s"]


def test_people_read_the_source_then_the_answer(export):
    first, second, third, *rest = run(export, "--every", "5m", "--within", "10m").splitlines()
    assert first == SOURCE_IN_WORDS["aws"]
    assert second == "A rule that runs every 5m over the last 10m misses 25.08% of the flow records."
    assert third == "600 packets, 1 burst, 1 run"
    rest = " ".join(" ".join(rest).split())
    assert "send 25.08% 15m" in rest
    assert "`start` 30.08% 15m 30s" in rest
    assert "here 30.0 s before it on average" in rest
    assert "Below 5 runs no confidence interval is given" in rest
    needed = " ".join(run(export, "--every", "5m").split())
    assert "A rule that runs every 5m has to look back 15m to see all of these flow records." in needed
    assert "send 7m 31s 11m 51s 12m 47s 14m 1s 15m `start` 8m 1s" in needed


def test_a_setting_says_what_it_is_good_for(export):
    for name in ("kql", "esql", "spl", "otel"):
        asked = run(export, "--every", "5m", "--within", "6m", "--format", name)
        assert "over the last 6m, as was asked for" in asked
        needed = " ".join(line.strip("/# ") for line in run(export, "--every", "5m", "--format", name).splitlines())
        assert "Every 5m over the last 15m, a rule sees 99 % of the flow records" in needed
        assert f"{SOURCE_IN_WORDS['aws']} n_packets 600, n_bursts 1, n_runs 1." in needed
        answer = json.loads(run(export, "--every", "5m", "--format", name, "--json"))
        assert answer["format"] == name
        assert answer["setting"] == run(export, "--every", "5m", "--format", name)


def test_the_longer_need_of_both_counts_is_set(export):
    needs = json.loads(run(export, "--every", "1m", "--json"))
    sent, started = needs["within_needed_s"]["99"], needs["from_start"]["within_needed_s"]["99"]
    assert 10 * 60 < sent < 11 * 60 < started < 12 * 60
    assert 'from = "now-12m"' in run(export, "--every", "1m", "--format", "esql")


def test_kql(export):
    lines = run(export, "--every", "5m", "--within", "12m", "--format", "kql").splitlines()
    assert [line for line in lines if not line.startswith("//")] == [
        "let rule_every = 5m;",
        "let ingestion_delay = 7m;",
        "AWSVPCFlow",
        "| where TimeGenerated >= ago(ingestion_delay + rule_every)",
        "| where ingestion_time() > ago(rule_every) // each record in one execution only",
    ]
    assert any("run query every 5 minutes, lookup data from the last 12 minutes" in line for line in lines)


def test_esql(export):
    setting = tomllib.loads(run(export, "--every", "5m", "--within", "12m", "--format", "esql"))
    assert setting["rule"].items() >= {"type": "esql", "interval": "5m", "from": "now-12m"}.items()
    assert setting["rule"]["query"].startswith("FROM logs-aws.vpcflow-* METADATA _id, _version, _index\n")


@pytest.mark.parametrize(
    ("every", "cron"),
    [
        ("1m", "*/1 * * * *"),
        ("5m", "*/5 * * * *"),
        ("1h", "0 */1 * * *"),
        ("12h", "0 */12 * * *"),
        ("1d", "0 0 * * *"),
    ],
)
def test_spl(export, every, cron):
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.read_string(run(export, "--every", every, "--within", "26h", "--format", "spl"))
    (name,) = parser.sections()
    stanza = parser[name]
    assert stanza["cron_schedule"] == cron
    assert (stanza["dispatch.earliest_time"], stanza["dispatch.latest_time"]) == ("-1560m@m", "now")
    minutes = round(seconds_of(every) / 60)
    assert (stanza["dispatch.index_earliest"], stanza["dispatch.index_latest"]) == (f"-{minutes}m@m", "@m")
    assert stanza["realtime_schedule"] == "0"


def test_otel(export):
    setting = yaml.safe_load(run(export, "--every", "5m", "--within", "12m", "--format", "otel"))
    (polled,) = setting["filebeat.inputs"]
    assert (polled["type"], polled["scan_frequency"], polled["latency"]) == ("aws-cloudwatch", "5m", "7m")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.csv", "--every", "5m"], "there is no file or directory 'missing.csv': check the path"),
        (["export.csv"], "Missing option '--every'"),
        (
            ["export.csv", "--every", "5x"],
            "Invalid value for '--every': '5x' is not a duration: give one as in 30s",
        ),
        (["export.csv", "--every", "0"], "Invalid value for '--every': '0' is shorter than a microsecond"),
        (["export.csv", "--every", "5m", "--within", "367d"], "Invalid value for '--within': '367d' is shorter"),
        (["export.csv", "--every", "5m", "--arm", "a"], "there is no arm 'a' in these results"),
        (["export.csv", "--every", "5m", "--format", "sql"], "Invalid value for '--format': 'sql' is not one of"),
        (["export.csv", "--every", "90", "--format", "kql"], "rules are set in minutes: to print a setting, give"),
        (["export.csv", "--every", "5m", "--within", "90", "--format", "kql"], "rules are set in minutes"),
        (["export.csv", "--every", "5m", "--within", "4m", "--format", "otel"], "a rule that looks back for less"),
        (["export.csv", "--every", "4m", "--format", "kql"], "Sentinel runs rules every 5 minutes or more"),
        (["export.csv", "--every", "5m", "--within", "15d", "--format", "kql"], "Sentinel runs rules every 5"),
        (["export.csv", "--every", "7m", "--format", "spl"], "cron cannot run a search every 7m all day"),
        (["export.csv", "--every", "90m", "--format", "spl"], "cron cannot run a search every 1h 30m all day"),
        (["flow.log", "--every", "5m"], "flow-log files do not say when they were delivered"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(export, arguments, sentence):  # noqa: ARG001 - in its folder
    Path("flow.log").write_text(
        "version srcport dstport protocol packets bytes start\n2 4184 7777 6 1 340 1646334040\n"
    )
    result = CliRunner().invoke(main, ["lookback", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"flowlag: {sentence}")


def test_no_setting_is_made_of_what_never_came_or_of_several_arms():
    lossy = dataset(series([100] * 6), undelivered={"run-1": {"cloudwatch-600": Accounted(6, 4)}})
    with pytest.raises(
        InvalidRequest, match="no look-back sees 99 % of the records, as too many were never delivered"
    ):
        Setting.of(ask(lossy, 300))
    assert Setting.of(ask(lossy, 300, 600)).within_min == 10
    with pytest.raises(InvalidRequest, match="a setting is for one arm: choose it with --arm, among a, b"):
        Setting.of(ask(dataset(series([1], arm="a"), series([1], arm="b")), 300))


# ---------------------------------------------------------------- durations
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5_400),
        ("90", 90),
        ("0.5", 0.5),
        ("1.5h", 5_400),
        ("1d2h3m4.5s", 93_784.5),
    ],
)
def test_durations_are_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "5 m", "-5m", "1m1h", "1h30", "nan", "inf", "5M", "0s", "999999h", "٣m5"]
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=f"'{re.escape(text)}' is "):
        seconds_of(text)


@given(st.integers(1, 366 * 86_400))
def test_durations_are_written_as_they_are_read(seconds):
    assert seconds_of(in_units(seconds).replace(" ", "")) == seconds


def test_durations_are_rounded_up_as_a_bound_must_be():
    assert (in_units(59.2), in_units(3_600.0000001), in_units(0)) == ("1m", "1h", "0s")


# ---------------------------------------------------------------- Episode 18
@pytest.mark.skipif(not EP18.is_file(), reason="Episode 18's data is not here: set FLOWLAG_EP18 to its folder")
@pytest.mark.parametrize(
    ("within", "share", "tolerance"), [("6m", 0.688, 1e-3), ("10m", 0.290, 1e-3), ("15m", 0.0013, 1e-4)]
)
def test_what_a_rule_would_have_missed_of_run_a(within, share, tolerance):
    answer = json.loads(run(str(EP18), "--every", "5m", "--within", within, "--json"))
    assert answer["missed_share"] == pytest.approx(share, abs=tolerance)
    assert answer["within_for_zero_misses_s"] == 926.307
    assert (answer["n_packets"], answer["n_bursts"], answer["n_runs"]) == (9_999, 18, 1)
