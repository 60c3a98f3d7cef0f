from pathlib import Path

import pytest

from flowlag.errors import InvalidRequest
from flowlag.experiment import read_experiment
from flowlag.plan import Arm, RunRequest

DECLARED = Path(__file__).parents[2] / "functions" / "experiments"
TEXT = """
rate = 2
traffic_s = 10_800
arms = [
  {destination = "cloud-watch-logs", aggregation_interval_s = 60},
  {destination = "s3", file_format = "parquet"},
]
"""


def declared(name: str) -> RunRequest:
    return read_experiment(name, (DECLARED / f"{name}.toml").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- those of the project
@pytest.mark.parametrize("name", sorted(path.stem for path in DECLARED.iterdir()))
def test_every_declared_experiment_can_be_run(name: str) -> None:
    assert declared(name).experiment == name


def test_the_default_experiment_compares_destinations_and_intervals_on_the_same_packets() -> None:
    request = declared("default")
    assert [arm.name for arm in request.arms] == [
        "cloudwatch-60",
        "cloudwatch-600",
        "s3-text-600",
        "s3-parquet-600",
    ]
    assert request == RunRequest(
        experiment="default", arms=request.arms
    )  # its settings are the defaults, spelt out


def test_the_layouts_in_s3_are_an_experiment_of_their_own() -> None:
    assert [arm.name for arm in declared("s3-layouts").arms] == [
        "s3-text-600",
        "s3-text-600-hive",
        "s3-text-600-hourly",
        "s3-parquet-600-hive-hourly",
    ]


# ---------------------------------------------------------------- any
def test_an_experiment_is_a_request_by_name() -> None:
    assert read_experiment("mine", TEXT) == RunRequest(
        experiment="mine",
        rate=2,
        arms=(Arm(aggregation_interval_s=60), Arm(destination="s3", file_format="parquet")),
    )


def test_an_experiment_that_declares_nothing_is_the_default_request() -> None:
    assert read_experiment("nothing", "") == RunRequest(experiment="nothing")


def test_settings_that_somebody_asks_for_go_over_the_declared_ones() -> None:
    asked = {"traffic_s": 60, "sender": "nitro", "arms": [{"aggregation_interval_s": 60}]}
    assert read_experiment("mine", TEXT, asked) == RunRequest(
        experiment="mine", rate=2, traffic_s=60, sender="nitro", arms=(Arm(aggregation_interval_s=60),)
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rate = ", "experiment 'mine' is not TOML: Invalid value (at "),
        ("rate = 11", "experiment 'mine': rate is a whole number from 1 to 10, not 11"),
        ("speed = 1", "experiment 'mine': a run has no setting 'speed'; it has "),
        (
            "arms = [{aggregation_interval_s = 61}]",
            "experiment 'mine': an arm's aggregation_interval_s is 60 or 600",
        ),
        ("experiment = 'mine'", "experiment 'mine' does not name itself: its file does"),
        ("[[arms]]\nto = 's3'", "experiment 'mine': arms is a list of objects with destination, "),
        ("traffic_s = 2026-11-23", "experiment 'mine': traffic_s is a whole number from 1 to 86400, not datetime"),
    ],
)
def test_what_cannot_be_run_is_refused_by_the_experiments_name(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_experiment("mine", text)
    assert str(refusal.value).startswith(sentence)
    assert "\n" not in str(refusal.value)


def test_an_override_that_cannot_be_run_is_refused_by_the_experiments_name() -> None:
    with pytest.raises(InvalidRequest, match="experiment 'mine': rate is a whole number from 1 to 10, not 0"):
        read_experiment("mine", TEXT, {"rate": 0})
