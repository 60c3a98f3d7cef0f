"""PublishReport: the page of a run's campaign, from the profiles of all its runs in all regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlag_aws.clock import now
from flowlag_aws.reports import Reports
from flowlag_aws.settings import Results
from flowlag_aws.store import Store
from flowlag_aws.telemetry import logger
from flowlag_report import build
from flowlag_report.profile import Profile, UnreadableProfile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id}` to `{page, profiles}`: the page's URI, if there is one, and of how many profiles it is made."""
    settings = Results.read()
    plan = Store(settings.work_bucket).plan(event["run_id"])
    reports, experiment = Reports.of(settings), plan.request.experiment
    campaign = [each for each in _readable(reports) if (each.experiment, each.source) == (experiment, plan.source)]
    if not campaign:  # the first run, and none of its arms came to anything
        return {"page": None, "profiles": 0}
    report = build(campaign, built_at=now())
    page = reports.put_report(experiment, page=report.html, data=report.data_json, badge=report.badge)
    logger.info("report published", extra={"run_id": plan.run_id, "page": page, "profiles": len(campaign)})
    return {"page": page, "profiles": len(campaign)}


def _readable(reports: Reports) -> Iterator[Profile]:
    """Every profile that this version reads: a campaign goes on when flowlag is renewed in the midst of it."""
    left_out = []
    for key, data in reports.profiles():
        try:
            yield Profile.of_bytes(data)
        except UnreadableProfile as reason:
            left_out.append(f"{key}: {reason}")
    if left_out:
        logger.warning("profiles left out", extra={"profiles": len(left_out), "first": left_out[0]})
