import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from flowlag.plan import RunPlan
from flowlag.tables import profile_key
from flowlag_aws.store import NotStored
from flowlag_report import build
from flowlag_report.profile import Profile
from tests.functions.closed import OBSERVATIONS, TRAFFIC, close
from tests.functions.events import load
from tests.functions.run import ARM, NOON, PLAN, Json, instant
from tests.functions.stack import Cloud

DAY_US = instant(86_400)
BUILT_AT = instant(NOON + 9_000)
SATELLITE = {"HomeRegion": "eu-central-1", "HomeBucket": "results-at-home"}


@pytest.fixture
def profile(cloud: Cloud, planned: RunPlan) -> Profile:
    """The profile of the run's arm, as SummarizeRun leaves it."""
    close(cloud, OBSERVATIONS)
    cloud.store.put_control(planned.run_id, "traffic", TRAFFIC)
    cloud.invoke("summarize_run", load("summarize_run"))
    (data,) = cloud.objects("profiles/").values()
    return Profile.of_bytes(data)


@pytest.fixture(autouse=True)
def _built(at: Callable[..., None]) -> None:
    at(BUILT_AT)


def put(cloud: Cloud, profile: Profile, **changed: Any) -> Profile:
    """Add a profile like this one."""
    other = replace(profile, **changed)
    key = profile_key(str(other.region), other.started_at, other.run_id, other.arm)
    cloud.results.put(key, other.to_bytes())
    return other


def publish(cloud: Cloud) -> Json:
    answer: Json = cloud.invoke("publish_report", load("publish_report"))
    return answer


def reported(cloud: Cloud, folder: str = "by_hand") -> Json:
    """The data of a published report."""
    data: Json = json.loads(cloud.objects()[f"report/{folder}/data.json"])
    return data


# ---------------------------------------------------------------- what is published
def test_a_report_is_a_page_its_data_and_a_badge(cloud: Cloud, profile: Profile) -> None:
    assert publish(cloud) == {"page": f"s3://{cloud.results.bucket}/report/by_hand/index.html", "profiles": 1}
    report = build([profile], BUILT_AT)
    objects = cloud.objects("report/")
    assert objects.keys() == {f"report/by_hand/{name}" for name in ("index.html", "data.json", "badge.svg")}
    assert objects["report/by_hand/index.html"].decode() == report.html
    assert objects["report/by_hand/badge.svg"].decode() == report.badge
    assert reported(cloud) == json.loads(json.dumps(report.data))
    assert reported(cloud)["answer"]["n_packets"] == len(OBSERVATIONS)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("data.json", "application/json"),
        ("badge.svg", "image/svg+xml"),
    ],
)
@pytest.mark.usefixtures("profile")
def test_a_browser_shows_it_and_asks_again_after_minutes(cloud: Cloud, name: str, kind: str) -> None:
    publish(cloud)
    head = boto3.client("s3").head_object(Bucket=cloud.results.bucket, Key=f"report/by_hand/{name}")
    assert (head["ContentType"], head["CacheControl"]) == (kind, "max-age=300")


@pytest.mark.usefixtures("profile")
def test_a_report_that_is_published_again_replaces_the_first(cloud: Cloud) -> None:
    publish(cloud)
    objects = cloud.objects()
    publish(cloud)
    assert cloud.objects() == objects


# ---------------------------------------------------------------- of which runs
def test_the_runs_of_a_campaign_are_those_of_the_experiment_on_every_day_in_every_region(
    cloud: Cloud, profile: Profile
) -> None:
    asked = replace(PLAN, request=replace(PLAN.request, experiment="default"))
    cloud.store.put_control(PLAN.run_id, "plan", asked.to_json())
    campaign = [
        put(
            cloud,
            profile,
            run_id=f"{region}-{day}",
            region=region,
            started_at=PLAN.planned_at + day * DAY_US,
            experiment="default",
        )
        for region in ("ap-northeast-1", "eu-west-1")
        for day in range(3)
    ]
    put(cloud, profile, run_id="another-experiment", experiment="s3-layouts")
    put(cloud, profile, run_id="another-source", experiment="default", source="simulated")
    assert publish(cloud)["profiles"] == len(campaign)
    assert reported(cloud, "default") == json.loads(json.dumps(build(campaign, BUILT_AT).data))
    assert reported(cloud, "default")["answer"]["n_runs"] == len(campaign)


def test_void_runs_are_told_and_not_averaged_in(cloud: Cloud, profile: Profile) -> None:
    put(cloud, profile, run_id="void", verdict="void", reasons=("a step failed",))
    assert publish(cloud)["profiles"] == 2
    assert reported(cloud)["answer"]["n_runs"] == 1
    assert len(reported(cloud)["void_runs"]) == 1


def test_more_profiles_than_are_read_at_once_are_all_read(
    cloud: Cloud, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlag_aws.reports._PROFILES_AHEAD", 4)
    for number in range(9):
        put(cloud, profile, run_id=f"run-{number}", started_at=PLAN.planned_at + number * DAY_US)
    assert publish(cloud)["profiles"] == 10


@pytest.mark.parametrize(
    "data", [b"{", b"{}", b'{"profile_version": 0}', b"[]"], ids=["cut", "empty", "older", "list"]
)
def test_a_profile_that_cannot_be_read_is_left_out_and_told(
    cloud: Cloud, profile: Profile, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    key = profile_key("eu-west-1", profile.started_at, "older", ARM)
    cloud.results.put(key, data)
    assert publish(cloud)["profiles"] == 1
    (said,) = [vars(record) for record in caplog.records if record.levelname == "WARNING"]
    assert (said["msg"], said["profiles"]) == ("profiles left out", 1)
    assert said["first"].startswith(f"{key}: ")


@pytest.mark.usefixtures("planned")
def test_where_no_arm_came_to_anything_there_is_no_report(cloud: Cloud) -> None:
    assert publish(cloud) == {"page": None, "profiles": 0}
    assert cloud.objects("report/") == {}


def test_a_run_that_was_never_planned_has_no_campaign(cloud: Cloud) -> None:
    with pytest.raises(NotStored, match="does not exist"):
        publish(cloud)


# ---------------------------------------------------------------- where to
@pytest.mark.parametrize("parameters", [SATELLITE], ids=["satellite"])
@pytest.mark.usefixtures("profile")
def test_a_satellite_publishes_at_home(cloud: Cloud) -> None:
    assert publish(cloud)["page"] == "s3://results-at-home/report/by_hand/index.html"
    assert reported(cloud)["answer"]["n_runs"] == 1
