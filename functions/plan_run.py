"""PlanRun: decide a run from what was asked and what the region looks like, and claim its sender."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowlag.errors import FlowlagError, InvalidRequest
from flowlag.experiment import read_experiment
from flowlag.plan import RunRequest, plan_run
from flowlag_aws.claims import claim_site
from flowlag_aws.clock import now
from flowlag_aws.settings import Planning
from flowlag_aws.site import describe_site
from flowlag_aws.store import Store
from flowlag_aws.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from flowlag.plan import Site

EXPERIMENTS = Path(__file__).with_name("experiments")


class RunExists(FlowlagError):
    """Another execution has made this run: a schedule fired twice. The state machine leaves that run alone."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """`{run_id, execution, request}` to what the state machine waits by: arms and durations in seconds."""
    settings = Planning.read()
    store = Store(settings.work_bucket)
    request = _request(event["request"])
    wanted = plan_run(
        event["run_id"],
        request,
        _site(settings, request),
        execution=event["execution"],
        now=now(),
        code_version=settings.code_version,
    )
    plan = store.put_plan(wanted)
    if plan.execution != wanted.execution:
        raise RunExists(f"run '{plan.run_id}' belongs to {plan.execution}")
    claim_site(store, plan)
    return {
        "arms": [arm.name for arm in plan.arms],
        "traffic_s": plan.request.traffic_s,
        "poll_interval_s": plan.request.poll_interval_s,
        "drain_s": plan.request.drain_s,
    }


def _request(request: object) -> RunRequest:
    """What is asked for: an experiment by its name, settings over it; or settings alone."""
    if not isinstance(request, dict) or "experiment" not in request:
        return RunRequest.of_json(request)
    overrides = {name: value for name, value in request.items() if name != "experiment"}
    known = {path.stem: path for path in sorted(EXPERIMENTS.glob("*.toml"))}
    name = request["experiment"]
    if not isinstance(name, str) or name not in known:
        raise InvalidRequest(f"there is no experiment {name!r:.60}; there are {', '.join(known)}")
    return read_experiment(name, known[name].read_text(encoding="utf-8"), overrides)


def _site(settings: Planning, request: RunRequest) -> Site:
    return describe_site(
        source=settings.source,
        senders=settings.sender_instance_ids.split(","),
        hypervisor=request.sender,
        target=settings.target_instance_id or None,
        address=settings.target_address,
        port=int(settings.target_port),
    )
