from dataclasses import replace

import pytest

from flowlag_aws import clients
from flowlag_aws.reports import Reports
from flowlag_aws.store import Store
from tests.functions.run import ARM, PLAN

pytestmark = pytest.mark.slow


def test_profiles_come_back_whole_and_in_order_from_every_region_and_day(store: Store) -> None:
    reports = Reports(store)
    for region in ("us-east-1", "eu-west-1"):
        for day in range(120):
            plan = replace(PLAN, region=region, planned_at=PLAN.planned_at + day * 86_400_000_000)
            reports.put_profile(plan, ARM, f"{region} {day}".encode())
    store.put("report/default/data.json", b"no profile")

    found = dict(reports.profiles())

    assert list(found) == sorted(found)
    assert list(found.values()) == [
        f"{region} {day}".encode() for region in ("eu-west-1", "us-east-1") for day in range(120)
    ]


def test_a_profile_is_found_by_its_run_and_arm(store: Store) -> None:
    reports = Reports(store)
    assert list(reports.profiles()) == []
    assert reports.find_profile(PLAN, ARM) is None
    reports.put_profile(PLAN, ARM, b"first")
    reports.put_profile(PLAN, ARM, b"second")
    assert reports.find_profile(PLAN, ARM) == b"second"
    assert reports.find_profile(PLAN, "cloudwatch-60") is None


@pytest.mark.parametrize(("experiment", "folder"), [("s3-layouts", "s3-layouts"), ("", "by_hand")])
def test_a_report_is_what_browsers_take_for_a_page(store: Store, experiment: str, folder: str) -> None:
    page = Reports(store).put_report(experiment, page="<p>½</p>", data="{}", badge="<svg/>")
    assert page == f"s3://{store.bucket}/report/{folder}/index.html"
    kinds = {}
    for name in ("index.html", "data.json", "badge.svg"):
        answer = clients.s3().get_object(Bucket=store.bucket, Key=f"report/{folder}/{name}")
        kinds[name] = (answer["ContentType"], answer["CacheControl"], answer["Body"].read().decode())
    assert kinds == {
        "index.html": ("text/html; charset=utf-8", "max-age=300", "<p>½</p>"),
        "data.json": ("application/json", "max-age=300", "{}"),
        "badge.svg": ("image/svg+xml", "max-age=300", "<svg/>"),
    }
