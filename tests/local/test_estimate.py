"""`flowlag estimate`: a campaign's cost for people and for programs."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from flowlag.cost import Assumptions
from flowlag.prices import COLLECTED_ON
from local.checkout import CHECKOUT
from local.cli import main
from local.estimate import EXPERIMENTS

DOCUMENT = CHECKOUT / "docs" / "cost.md"
GENERATED = re.compile(r"<!-- flowlag (?P<command>.*?) -->\n```\n(?P<block>.*?)```", re.DOTALL)


def estimate(*arguments):
    result = CliRunner().invoke(main, ["estimate", *arguments], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.stderr
    return result.stdout


def estimated(*arguments):
    return json.loads(estimate(*arguments, "--json"))


def prose(text):
    return " ".join(text.split())


def test_programs_get_every_item_and_totals_that_add_up():
    answer = estimated("--regions", "eu-west-1,us-east-1", "--runs-per-day", "2", "--days", "10")
    assert (answer["experiment"], answer["arms"]) == (
        "default",
        ["cloudwatch-60", "cloudwatch-600", "s3-text-600", "s3-parquet-600"],
    )
    total = 0
    for region in answer["regions"]:
        items = (*region["run"], *region["machines_of_a_run"], *region["standing"])
        for item in items:
            assert item["usd"] == pytest.approx(item["quantity"] * item["usd_per_unit"])
            assert item["verified"] == (item["source"]["url"] is not None)
        run = sum(item["usd"] for item in region["run"])
        machines = sum(item["usd"] for item in region["machines_of_a_run"])
        assert region["usd_per_run"] == pytest.approx(run)
        assert region["usd_per_run_with_machines"] == pytest.approx(run + machines)
        assert region["usd"] == pytest.approx(20 * run + sum(item["usd"] for item in region["standing"]))
        total += region["usd"]
    assert answer["usd"] == pytest.approx(total)
    assert answer["usd_per_day"] == pytest.approx(total / 10)
    assert answer["assumptions"]["record_bytes"] == Assumptions().record_bytes


def test_people_read_items_totals_and_the_date_of_the_prices():
    text = estimate("--regions", "eu-west-1", "--runs-per-day", "1", "--days", "1")
    assert text.startswith("1 run a day of experiment 'default' (4 arms) for 1 day in 1 region: ")
    for item in ("state transitions", "flow logs to CloudWatch Logs", "public IPv4 addresses", "dashboard"):
        assert len(re.findall(rf"^ {item} +[\d.,]+ ", text, re.MULTILINE)) == 1
    assert f"collected on {COLLECTED_ON}, without taxes, discounts and free tiers." in prose(text)
    total = estimated("--regions", "eu-west-1", "--runs-per-day", "1", "--days", "1")["usd"]
    assert f"in 1 region: {total:,.2f} USD." in text


def test_what_costs_nothing_is_for_programs_only():
    assert "dead-letter queues" not in estimate()
    assert "dead-letter queues" in {item["item"] for item in estimated()["regions"][0]["run"]}


def test_what_is_not_known_is_said():
    notes = prose(estimate("--regions", "eu-north-1,eu-west-1"))
    assert "No prices are known of eu-north-1: those of us-east-1 were taken." in notes
    assert "none of the region's own is known: Parquet conversion (eu-west-1)." in notes
    (unverified,) = re.findall(r"no source was found for the price: (.*?)\.", notes)
    assert "flow logs to S3 (eu-west-1)" in unverified
    assert "sender t3.micro" not in unverified
    known = prose(estimate("--regions", "us-east-1"))
    assert "No prices are known" not in known
    assert "region's own" not in known


def test_a_second_sender_and_a_target_of_ones_own():
    answer = estimated("--sender-type", "t2.micro", "--sender-type", "t3.micro", "--own-target", "--days", "1")
    (region,) = answer["regions"]
    assert (answer["senders"], answer["target"], region["runs"]) == (["t2.micro", "t3.micro"], None, 8)
    assert [item["item"] for item in region["standing"]][:3] == [
        "sender t2.micro",
        "sender t3.micro",
        "public IPv4 addresses",
    ]


def test_an_experiment_is_found_by_name_and_by_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((EXPERIMENTS / "s3-layouts.toml").read_text())
    named, mine = estimated("s3-layouts"), estimated(str(path))
    assert (named["experiment"], mine["experiment"]) == ("s3-layouts", "mine")
    assert named["usd"] == mine["usd"]


def test_without_runs_the_stack_still_costs():
    answer = estimated("--runs-per-day", "0", "--days", "1")
    (region,) = answer["regions"]
    assert answer["usd"] == pytest.approx(sum(item["usd"] for item in region["standing"]))
    assert answer["usd"] > 0
    assert "stand idle for 100% of the time" in answer["notes"][-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope"], "there is no experiment 'nope': there are default, "),
        (["no/such.toml"], "there is no file or directory 'no/such.toml': check the path"),
        (["bytes.toml"], "'bytes.toml' is not an experiment: it is not text"),
        (["torn.toml"], "experiment 'torn' is not TOML: "),
        (["wrong.toml"], "experiment 'wrong': rate is a whole number from 1 to 10, not 11"),
        (["--regions", "Europe"], "'Europe' is no region: give names as in eu-west-1,us-east-1"),
        (["--regions", ""], "'' is no region: "),
        (["--regions", "eu-west-1,eu-west-1"], "a campaign has one region or more, and none twice"),
        (["--runs-per-day", "7"], "7 runs of 3.6 hours, one after the other, do not fit a day: have 6 or fewer"),
        (["--sender-type", "m5.large"], "Invalid value for '--sender-type': 'm5.large' is not one of 't2.micro'"),
        (["--days", "0"], "Invalid value for '--days': "),
    ],
)
def test_bad_input_is_refused_in_one_sentence(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    Path("bytes.toml").write_bytes(b"\xff\xfe\x00")
    Path("torn.toml").write_text("rate = ")
    Path("wrong.toml").write_text("rate = 11")
    result = CliRunner().invoke(main, ["estimate", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"flowlag: {sentence}")


def test_the_document_shows_what_the_command_prints():
    found = list(GENERATED.finditer(DOCUMENT.read_text()))
    assert found
    for each in found:
        printed = estimate(*each["command"].split()[1:])
        assert each["block"].splitlines() == [line.rstrip() for line in printed.splitlines()]
