"""`flowlag doctor`: why is nothing arriving? It only reads.

`facts` asks AWS, `checks` judges what it said, `scope` says of which stack and run, `account` has the clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.doctor.account import Account, in_words
from local.doctor.checks import arrival, delivery, sending, standing
from local.doctor.checks.words import refused
from local.doctor.facts import arrival as arrival_facts
from local.doctor.facts import delivery as delivery_facts
from local.doctor.facts import sending as sending_facts
from local.doctor.findings import Diagnosis, Finding
from local.doctor.scope import find_stack, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.doctor.findings import Judged
    from local.doctor.scope import Scope


@dataclass(frozen=True, slots=True)
class Check[Facts]:
    """A check: its name, what it looks at in words, what it asks, and how it judges the answer."""

    name: str
    looks_at: Callable[[Scope], str]
    look: Callable[[Account, Scope], Facts]
    judge: Callable[[Scope, Facts], Judged]

    def finding(self, account: Account, scope: Scope) -> Finding:
        """What it comes to; that it cannot tell, where AWS does not."""
        try:
            judged = self.judge(scope, self.look(account, scope))
        except (BotoCoreError, ClientError) as reason:
            judged = refused(in_words(reason))
        return Finding(self.name, self.looks_at(scope), judged)


def _nothing_more(_account: Account, _scope: Scope) -> None:
    """The facts of a check whose facts are the scope."""


def _arrived(account: Account, scope: Scope) -> dict[str, arrival_facts.Arrived]:
    return arrival_facts.arrived(account, scope, arrival.lately_s(scope))


CHECKS: Final[tuple[Check[Any], ...]] = (
    Check(
        "stack",
        lambda scope: f"the stack {scope.stack.name} in {scope.stack.region}",
        _nothing_more,
        standing.stack,
    ),
    Check(
        "region",
        lambda scope: f"whether the services of {scope.stack.region} answer",
        sending_facts.unreachable_services,
        standing.region,
    ),
    Check(
        "run",
        lambda scope: f"run {scope.run.run_id}" if scope.run else "the executions of the stack's state machine",
        _nothing_more,
        standing.run,
    ),
    Check(
        "traffic",
        lambda scope: f"the instances, and the sending {scope.of_run}",
        sending_facts.traffic,
        sending.traffic,
    ),
    Check(
        "security groups",
        lambda _: "the rules between the sender and the target's port",
        sending_facts.doors,
        sending.security_groups,
    ),
    Check("hypervisor", lambda _: "what the sender runs on", sending_facts.hypervisor, sending.hypervisor),
    Check("flow logs", lambda scope: f"the flow logs {scope.of_run}", delivery_facts.flow_logs, delivery.flow_logs),
    Check(
        "delivery role",
        lambda scope: f"what {scope.stack.resources['FlowLogDeliveryRole']} may do to log groups {scope.of_run}",
        delivery_facts.delivery_role,
        delivery.delivery_role,
    ),
    Check(
        "trust policy",
        lambda scope: f"who may assume {scope.stack.resources['FlowLogDeliveryRole']}",
        delivery_facts.delivery_trust,
        delivery.trust,
    ),
    Check(
        "log groups", lambda scope: f"the log groups {scope.of_run}", delivery_facts.log_groups, delivery.log_groups
    ),
    Check(
        "bucket policy",
        lambda scope: f"what the bucket {scope.stack.work_bucket} lets flow logs {scope.of_run} do",
        delivery_facts.work_bucket,
        delivery.bucket_policy,
    ),
    Check("records", lambda scope: f"what has arrived {scope.of_run}", _arrived, arrival.records),
    Check(
        "subscription",
        lambda scope: f"the way from the log groups {scope.of_run} to DecodeRecords",
        arrival_facts.subscription,
        arrival.subscription,
    ),
    Check(
        "results bucket",
        lambda scope: f"the bucket {scope.stack.results_bucket}",
        delivery_facts.results_bucket,
        standing.results_bucket,
    ),
)
"""In the order of a flow record's way."""


def diagnose(stack: str, region: str | None, run_id: str | None) -> Diagnosis:
    """Look at a stack and one of its runs, and say what keeps records from arriving.

    Args:
        stack: name of the CloudFormation stack.
        region: where it is; None leaves it to the environment.
        run_id: the run; None takes the one under way, else the newest.

    Raises:
        NotLooked: there are no credentials, or there is no such stack or run.
    """
    account = Account(region)
    scope = scope_of(account, find_stack(account, stack), run_id)
    return Diagnosis(
        stack=stack,
        region=account.region,
        run_id=scope.run.run_id if scope.run else None,
        findings=[check.finding(account, scope) for check in CHECKS],
    )
