"""Sweeping: what runs left behind, and no living execution owns.

A run cleans up after itself, also when it fails. But an execution can be aborted, or end of what no Catch sees
(States.DataLimitExceeded, a timeout of the machine), and cleanup itself can fail. What remains is found by its
owner: flow logs by the execution in their tag, everything else by the run in its name and that run's plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from flowlag.errors import FlowlagError
from flowlag.summary import RunSummary
from flowlag.verdict import judge
from flowlag_aws.claims import claims
from flowlag_aws.clock import now
from flowlag_aws.evidence import read_clocks
from flowlag_aws.executions import RUNNING, status_of
from flowlag_aws.flow_logs import delete_flow_logs, owners_of_flow_logs
from flowlag_aws.log_groups import delete_log_group, log_groups, run_and_arm
from flowlag_aws.metrics import publish
from flowlag_aws.rows import Rows
from flowlag_aws.store import DELIVERIES
from flowlag_aws.telemetry import logger
from flowlag_aws.traffic import stop_traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowlag.plan import RunPlan
    from flowlag_aws.settings import Sweeping

EVIDENCE_KEPT_US: Final = 7 * 86_400 * 1_000_000
"""How long a closed run keeps what its flow logs delivered, so that it can be reconciled again."""

STRAY_TRAFFIC_US: Final = 3_600 * 1_000_000
"""How long after a plan traffic may have started. It ends by itself after its longest duration, so that later
nobody has to ask an instance which may be gone."""

_STOP_TIMEOUT_S = 120
"""Of each instance. One that does not answer must leave time for the rest."""


class NotSwept(FlowlagError):
    """Something remains; the message names it. The next sweep tries again."""


@dataclass(slots=True)
class Swept:
    """What was removed, by run; and what could not be, in sentences."""

    traffic: list[str] = field(default_factory=list)
    flow_logs: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    summarized: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def sweep(settings: Sweeping) -> Swept:
    """Remove what no living run owns: stray traffic first, for it is what costs and disturbs, then the rest.

    One thing that cannot be removed does not keep the others.
    """
    swept = Swept()
    rows = Rows.of(settings)
    groups = list(log_groups(settings.log_group_prefix))
    claimed = [claim.run_id for claim in claims(rows.work)]
    owners = owners_of_flow_logs(settings.state_machine_arn)
    with_evidence = {run_and_arm(group)[0] for group in groups} | set(rows.work.folders(DELIVERIES))
    for run_id in sorted({*claimed, *owners, *with_evidence}):
        plan = rows.work.find_plan(run_id)
        execution = owners.get(run_id) if plan is None else plan.execution
        if execution is not None and status_of(execution) == RUNNING:
            continue
        of_run = _Remains(settings, rows, run_id, plan)
        if run_id in claimed:
            _try(swept, swept.traffic, of_run.stop_traffic, run_id)
        if run_id in owners:
            _try(swept, swept.flow_logs, partial(_delete_flow_logs, owners[run_id]), run_id)
        if run_id in with_evidence:
            _try(swept, swept.evidence, of_run.delete_evidence, run_id)
        _try(swept, swept.summarized, of_run.summarize, run_id)
    return swept


def _try(swept: Swept, done: list[str], step: Callable[[], bool], run_id: str) -> None:
    try:
        if step():
            done.append(run_id)
    except Exception as error:  # noqa: BLE001 - whatever it is: the next thing may still be removable
        logger.exception("not swept", extra={"run_id": run_id})
        swept.problems.append(f"run '{run_id}': {type(error).__name__}: {error}")


def _delete_flow_logs(execution: str) -> bool:
    return bool(delete_flow_logs(execution))


@dataclass(frozen=True, slots=True)
class _Remains:
    """What a run whose execution has ended may have left. Each step tells whether there was something to do."""

    settings: Sweeping
    rows: Rows
    run_id: str
    plan: RunPlan | None

    def stop_traffic(self) -> bool:
        """Stop what nobody has seen stop, and what has not ended by itself."""
        if self.plan is None or self.rows.work.find_control(self.run_id, "traffic") is not None:
            return False
        longest_us = self.plan.request.longest_traffic_s * 1_000_000
        if now() > self.plan.planned_at + longest_us + STRAY_TRAFFIC_US:
            return False
        stop_traffic(self.rows.work, self.plan, self.settings, timeout_s=_STOP_TIMEOUT_S)
        return True

    def delete_evidence(self) -> bool:
        """Delete log groups and deliveries; first it is written down, so that nobody takes nothing for a result."""
        closed = self.rows.work.find_control(self.run_id, "closed")
        if closed is not None and now() < closed["at"] + EVIDENCE_KEPT_US:
            return False
        self.rows.work.put_new_control(self.run_id, "swept", {"at": now()})
        for group in log_groups(f"{self.settings.log_group_prefix}/{self.run_id}"):
            delete_log_group(group)
        self.rows.work.delete(f"{DELIVERIES}{self.run_id}/")
        return True

    def summarize(self) -> bool:
        """Keep a run that nobody could summarize, as void."""
        if self.plan is None or self.rows.has_run(self.plan):
            return False
        status = status_of(self.plan.execution)
        failure = f"the execution ended as {status}" if status else "the execution ended, nobody knows how"
        verdict = judge({arm.name: None for arm in self.plan.arms}, failures=[failure])
        summary = RunSummary.of(self.run_id, self.plan.source, verdict, [])
        self.rows.put_run(self.plan, summary, read_clocks(self.rows.work, self.plan))
        publish(summary)
        return True
