"""The page's data: what is said of a campaign, held against the statistics that it is made of."""

import json
from dataclasses import replace
from itertools import permutations
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from flowlag.plan import AWS, LOCAL, XEN
from flowlag_report import build
from flowlag_report.data import NoReport
from flowlag_report.lookback import missed_share, needed_s
from flowlag_stats.intervals import percentile_interval
from flowlag_stats.pooling import pooled_percentile
from tests.report.campaigns import BEGIN, SECOND, campaign, profile

NOW = (BEGIN + 10 * 86_400) * SECOND


@pytest.fixture(scope="module")
def runs():
    return campaign()


@pytest.fixture(scope="module")
def data(runs):
    return build(runs, NOW).data


def arm(data, name="cloudwatch-600"):
    (found,) = (each for each in data["arms"] if each["name"] == name)
    return found


def of_arm(profiles, name="cloudwatch-600"):
    return [each for each in profiles if each.arm == name]


# ---------------------------------------------------------------- the answer
def test_the_answer_is_one_sentence(data):
    assert data["answer"]["sentence"] == (
        "In 2 regions, half of the flow records to CloudWatch Logs (600 s) were visible 6 min 9 s after the packet"
        ", 95 % after 10 min 39 s; longest 11 min 13 s; from 12 runs."
    )


def test_of_one_region_the_sentence_names_it():
    sentence = build([profile()], NOW).data["answer"]["sentence"]

    assert sentence.startswith("In eu-west-1, half of the flow records to CloudWatch Logs (600 s) were visible ")
    assert sentence.endswith("; from 1 run.")


def test_of_no_region_the_sentence_is_silent():
    sentence = build([profile(region=None)], NOW).data["answer"]["sentence"]

    assert sentence.startswith("Half of the flow records to CloudWatch Logs (600 s) were visible ")


def test_what_mostly_did_not_come_is_said():
    sentence = build([profile(lost=range(700, 3_600))], NOW).data["answer"]["sentence"]

    assert "were not visible by the deadline, 95 % not by the deadline; longest" in sentence


def test_the_three_ns_are_told(data, runs):
    assert data["answer"]["n_runs"] == 12
    assert data["answer"]["n_packets"] == sum(each.delivered for each in of_arm(runs))
    assert data["answer"]["n_bursts"] == sum(each.n_bursts for each in of_arm(runs))


def test_the_service_level_says_how_many_runs_are_missing(data):
    assert data["answer"]["slo"] == (
        "Within what time 95 % of flows are visible cannot be stated with 95 % confidence yet: "
        "47 more runs are needed."
    )


def test_the_service_level_takes_the_random_probes_of_enough_runs():
    found = arm(build([profile(number=number, lag_s=number % 9) for number in range(60)], NOW).data)["slo"]

    assert (found["runs_missing"], found["undelivered"]) == (0, 0)
    assert found["sentence"].startswith("With 95 % confidence, 95 % of flows are visible within ")


@pytest.mark.parametrize(
    ("source", "words"), [(AWS, "AWS delays"), (LOCAL, "local, not AWS"), ("simulated", "simulated")]
)
def test_the_source_is_said_in_words(source, words):
    report = build([profile(source=source)], NOW)

    assert words in report.data["source_in_words"]
    assert words in report.html


# ---------------------------------------------------------------- what goes into a statistic
def test_sources_are_never_mixed():
    with pytest.raises(NoReport, match="of the sources aws and local, which never go into one statistic"):
        build([profile(source=AWS), profile(number=1, source=LOCAL)], NOW)


def test_no_run_is_no_report():
    with pytest.raises(NoReport, match="there is no run to report of"):
        build([], NOW)


def test_void_runs_are_listed_and_in_no_number(runs):
    void = profile(number=99, lag_s=5_000, verdict="void", reasons=["the sender never began"])
    found, without = build([*runs, void], NOW).data, build(runs, NOW).data

    assert found["void_runs"] == [
        {
            "run_id": "run-eu-west-1-99",
            "region": "eu-west-1",
            "started_at": void.started_at // 1_000,
            "reasons": ["the sender never began"],
        }
    ]
    assert [found[name] for name in ("arms", "answer", "runs", "profiles", "newest")] == [
        without[name] for name in ("arms", "answer", "runs", "profiles", "newest")
    ]


def test_where_every_run_is_void_nothing_is_said():
    report = build([profile(verdict="void", reasons=["why"])], NOW)

    assert report.data["answer"]["sentence"] == "No run has measured anything yet."
    assert "not known yet" in report.badge
    assert report.data["void_runs"][0]["reasons"] == ["why"]


def test_hypervisors_are_never_pooled():
    data = build([profile(), profile(number=1, hypervisor=XEN)], NOW).data

    assert [(each["name"], each["label"], each["n_runs"]) for each in data["arms"]] == [
        ("cloudwatch-600.nitro", "CloudWatch Logs (600 s, Nitro)", 1),
        ("cloudwatch-600.xen", "CloudWatch Logs (600 s, Xen)", 1),
    ]


def test_arms_alike_but_for_their_names_are_told_apart():
    alike = replace(profile("s3-text-600"), arm="s3-text-600-hive")

    assert [each["label"] for each in build([profile("s3-text-600"), alike], NOW).data["arms"]] == [
        "S3 text (600 s, s3-text-600)",
        "S3 text (600 s, s3-text-600-hive)",
    ]


def test_the_order_of_profiles_says_nothing(runs):
    few = runs[:4]
    reports = {json.dumps(build(order, NOW).data) + build(order, NOW).html for order in permutations(few)}

    assert len(reports) == 1


# ---------------------------------------------------------------- numbers
@pytest.mark.parametrize("name", ["cloudwatch-60", "cloudwatch-600", "s3-text-600"])
@pytest.mark.parametrize(("percentile", "share"), [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)])
def test_percentiles_and_intervals_are_those_of_the_statistics(data, runs, name, percentile, share):
    samples = [each.sample for each in of_arm(runs, name)]
    interval = percentile_interval(samples, share)

    assert arm(data, name)["delay_s"][percentile] == round(pooled_percentile(samples, share)[0], 6)
    assert arm(data, name)["interval_s"][percentile] == [round(interval.low, 6), round(interval.high, 6)]


def test_below_five_runs_there_is_a_range_and_no_interval():
    found = arm(build([profile(number=number, lag_s=number) for number in range(4)], NOW).data)

    assert set(found["interval_s"].values()) == {None}
    low, high = found["over_runs_s"]["p50"]
    assert high - low == pytest.approx(3)


def test_of_one_run_the_numbers_are_exact():
    only = profile(lost=(700, 701))

    assert arm(build([only], NOW).data)["delay_s"] == {
        name: only.delay_s[name] for name in ("min", "p50", "p90", "p95", "p99", "max")
    }


def test_a_change_is_told_with_its_run():
    steady = [profile(number=number, lag_s=number % 3, traffic_s=1_200) for number in range(12)]
    later = [profile(number=number, lag_s=300 + number % 3, traffic_s=1_200) for number in range(12, 24)]
    ((change,),) = (each["changes"] for each in arm(build([*steady, *later], NOW).data)["regions"])

    assert (change["run_id"], change["n_before"], change["n_after"]) == ("run-eu-west-1-12", 12, 12)


@pytest.mark.parametrize(("every", "within"), [(300, 360), (60, 30), (600, 5_000), (300, 0.5)])
def test_what_a_rule_misses_is_the_mean_over_all_probes(runs, every, within):
    profiles = of_arm(runs)
    delays = np.concatenate([each.sample.delays for each in profiles])
    seen = np.clip((within - delays) / every, 0, 1).sum()
    probes = len(delays) + sum(each.undelivered for each in profiles)

    assert missed_share(profiles, every, within) == pytest.approx(1 - seen / probes, abs=2e-4)


def test_the_look_back_that_is_needed_suffices_and_hardly(runs):
    profiles = of_arm(runs)
    found = needed_s(profiles, 300, 0.9)

    assert missed_share(profiles, 300, found) == pytest.approx(0.1, abs=1e-5)
    assert missed_share(profiles, 300, found - 1) > 0.1
    assert needed_s(profiles, 300, 1) is None  # some were never delivered


# ---------------------------------------------------------------- what goes into the page
def test_columns_have_a_row_for_each_profile(data, runs):
    assert {len(column) for column in data["profiles"].values()} == {len(runs)}
    assert {len(column) for column in data["runs"].values()} == {12}


def test_the_points_of_the_newest_run_of_each_region_are_kept_and_of_no_other(data):
    assert {(each["arm"], each["region"], each["run_id"]) for each in data["newest"]} == {
        (name, region, f"run-{region}-5")
        for name in ("cloudwatch-60", "cloudwatch-600", "s3-text-600")
        for region in ("eu-west-1", "us-east-1")
    }


def test_data_is_json_that_everybody_reads(data):
    assert json.loads(json.dumps(data, allow_nan=False)) == json.loads(json.dumps(data))


# ---------------------------------------------------------------- the badge
def test_the_badge_says_the_answer():
    badge = build([profile(source=AWS)], NOW).badge

    assert ET.fromstring(badge).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own
    assert ">50 % in 6 min 7 s, 95 % in 10 min 37 s (1 run)<" in badge


def test_the_badge_of_what_is_not_aws_says_so(runs):
    assert ">simulated: 50 % in " in build(runs, NOW).badge
