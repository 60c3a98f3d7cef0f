"""Whether there are flow logs to see the probes, and whether something keeps their records out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowlag.record import RecordFormat
from flowlag_aws.log_groups import RETENTION_DAYS
from local.doctor.checks.words import AGAIN, DEPLOY, NO_PLAN, allowed
from local.doctor.findings import broken, listed, not_applicable, ok
from local.doctor.policies import Asked, answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from local.doctor.facts.delivery import Bucket, FlowLog, LogGroup, Role, Trust
    from local.doctor.findings import Judged
    from local.doctor.scope import Run, Scope


# ---------------------------------------------------------------- flow logs
def flow_logs(scope: Scope, facts: Mapping[str, FlowLog]) -> Judged:
    """Whether each arm has its flow log, and whether that delivers what the decoder can read."""
    found, plan = scope.run, scope.plan
    if found is None or plan is None:
        return not_applicable(NO_PLAN)
    if not facts and (found.is_over or "stop.json" in found.files):
        return not_applicable("The run is over, and its flow logs were deleted with it.")
    wrongs: dict[str, list[str]] = {}
    for arm, each in facts.items():
        for wrong in _flow_log(scope, each, plan.log_format):
            wrongs.setdefault(wrong, []).append(arm)
    missing = [arm.name for arm in plan.arms if arm.name not in facts]
    gone = [arm for arm in missing if f"{arm}.creation.json" in found.files and "stop.json" not in found.files]
    if gone:
        wrongs["was deleted while the run is under way"] = gone
    if wrongs:
        said = "; ".join(f"that of {listed(arms)} {wrong}" for wrong, arms in wrongs.items())
        return broken(
            f"Of the flow logs, {said}.",
            "An access error has its cause in a check below; else abort this run and start another one, as a flow "
            "log cannot be changed.",
        )
    if missing and "stop.json" not in found.files and not found.is_over:
        return ok(
            f"The flow logs of {listed(missing)} are not created yet.",
            "Look again in a minute; if the run goes on without them, its execution says why.",
        )
    return ok(f"{_number(facts)} active, deliver{'s' if len(facts) == 1 else ''}, and can be read.")


def _number(facts: Mapping[str, FlowLog]) -> str:
    return f"{len(facts)} flow log is" if len(facts) == 1 else f"{len(facts)} flow logs are"


def _flow_log(scope: Scope, each: FlowLog, log_format: str) -> Iterable[str]:
    """What is wrong with a flow log, in words that follow its name."""
    role = scope.stack.resources["FlowLogDeliveryRole"]
    if each.status != "ACTIVE":
        yield f"is {each.status}"
    if each.delivery == "FAILED":
        yield f"fails to deliver ({each.error or 'AWS does not say why'})"
    if each.traffic_type == "REJECT":
        yield "sees rejected traffic only (its filter is REJECT), and probes are accepted"
    if each.log_format != log_format:
        absent = [
            name
            for name in RecordFormat.of_string(log_format).names
            if f"${{{name}}}" not in each.log_format.split()
        ]
        yield f"writes another format than the decoder reads{f': without {listed(absent)}' if absent else ''}"
    if each.role_arn and each.role_arn.rpartition("/")[2] != role:
        yield f"delivers with another role than the stack's ({each.role_arn})"


# ---------------------------------------------------------------- what lets records in
def delivery_role(scope: Scope, facts: Role) -> Judged:
    """Whether the role may write into the log groups."""
    if not scope.log_groups:
        return not_applicable("No arm delivers to CloudWatch Logs.")
    if facts.refused is None:
        return broken("The role does not exist.", f"{DEPLOY} Flow logs that name the old role never deliver again.")
    if facts.refused:
        actions = listed(dict.fromkeys(action for _, action in facts.refused))
        arms = listed(dict.fromkeys(arm for arm, _ in facts.refused))
        return broken(
            f"It may not do {actions} on the log group{'s' if ' and ' in arms else ''} of {arms}.",
            f"Allow {actions} on {scope.stack.arn('logs', f'log-group:/flowlag/{scope.stack.name}/*')}, or deploy "
            "again.",
        )
    return ok("It may create log streams, put log events, and describe groups and streams.")


def trust(scope: Scope, facts: Trust) -> Judged:
    """Whether the flow-log service may assume the role."""
    if not scope.log_groups:
        return not_applicable("No arm delivers to CloudWatch Logs.")
    if facts.policy is None:
        return broken("The role does not exist.", DEPLOY)
    service = "vpc-flow-logs.amazonaws.com"
    source = scope.stack.arn("ec2", "vpc-flow-log/fl-0")
    asked = Asked(
        service=service,
        action="sts:AssumeRole",
        resource="",
        keys={"aws:sourceaccount": scope.stack.account_id, "aws:sourcearn": source},
    )
    return allowed(
        answer(facts.policy, asked),
        f"{service} may assume the role for flow logs of this account and region.",
        f"{service} may not assume the role",
        f"Let {service} do sts:AssumeRole for aws:SourceAccount {scope.stack.account_id} and aws:SourceArn "
        f"{scope.stack.arn('ec2', 'vpc-flow-log/*')}, or deploy again.",
    )


def log_groups(scope: Scope, facts: Mapping[str, LogGroup]) -> Judged:
    """Whether the log groups are there, and keep what they get for long enough."""
    found = scope.run
    if not scope.log_groups:
        return not_applicable("No arm delivers to CloudWatch Logs.")
    if found is None or found.plan is None:
        return not_applicable(NO_PLAN)
    missing = [arm for arm in scope.log_groups if arm not in facts]
    if missing:
        return _missing_groups(found, missing)
    if any(each.kind != "STANDARD" for each in facts.values()):
        return broken("A log group is not of class STANDARD, and takes no subscription.", AGAIN)
    return ok("They exist.", _retention_hint(facts))


def _missing_groups(found: Run, missing: Sequence[str]) -> Judged:
    if found.is_over:
        return not_applicable("The run is over, and its log groups were swept.")
    gone = [arm for arm in missing if f"{arm}.creation.json" in found.files]
    if gone:
        return broken(
            f"The log group of {listed(gone)} was deleted while the run is under way.",
            f"Nothing brings it back, as the role may create no group. {AGAIN}",
        )
    return ok(f"The log group of {listed(missing)} is not created yet.", "Look again in a minute.")


def _retention_hint(facts: Mapping[str, LogGroup]) -> str:
    brief = [arm for arm, each in facts.items() if each.retention_days and each.retention_days < RETENTION_DAYS]
    endless = [arm for arm, each in facts.items() if each.retention_days is None]
    if brief:
        return (
            f"That of {listed(brief)} keeps events for less than {RETENTION_DAYS} days, which a late sweep needs."
        )
    return f"That of {listed(endless)} keeps its events for ever, which costs." if endless else ""


def bucket_policy(scope: Scope, facts: Bucket) -> Judged:
    """Whether the work bucket lets the delivery service in."""
    bucket = scope.stack.work_bucket
    if not scope.folders:
        return not_applicable("No arm delivers to S3.")
    if not facts.exists:
        return broken(f"There is no bucket {bucket}.", DEPLOY)
    account_id, source = scope.stack.account_id, scope.stack.arn("logs", "*")
    needs = (
        "Let delivery.logs.amazonaws.com do s3:PutObject on deliveries/*/AWSLogs/* and s3:GetBucketAcl on the "
        f"bucket for aws:SourceAccount {account_id} and aws:SourceArn {source}, or deploy again."
    )
    if facts.policy is None:
        return broken(f"The bucket {bucket} has no policy.", needs)
    given = [answer(facts.policy, each) for each in _deliveries(scope)]
    worst = min(given, key=lambda each: {False: 0, None: 1, True: 2}[each.is_allowed])
    good = "delivery.logs.amazonaws.com may put objects and read the bucket's ACL"
    judged = allowed(worst, f"{good}.", "delivery.logs.amazonaws.com may not deliver to the bucket", needs)
    if worst.is_allowed and "x-amz-acl" in str(facts.policy):
        return ok(
            f"{good}, if with bucket-owner-full-control.",
            "If deliveries are denied all the same, take the condition on s3:x-amz-acl out, which a bucket without "
            "ACLs was seen not to meet.",
        )
    return judged


def _deliveries(scope: Scope) -> Iterable[Asked]:
    stack_ = scope.stack
    bucket = f"arn:{stack_.partition}:s3:::{stack_.work_bucket}"
    keys = {
        "aws:sourceaccount": stack_.account_id,
        "aws:sourcearn": stack_.arn("logs", "*"),
        "aws:securetransport": "true",
        "s3:x-amz-acl": "bucket-owner-full-control",  # as documented, see bucket_policy
    }
    wanted = [("s3:GetBucketAcl", bucket)]
    for arm, folder in scope.folders.items():
        account = f"aws-account-id={stack_.account_id}" if arm in scope.hive_folders else stack_.account_id
        wanted.append(("s3:PutObject", f"{bucket}/{folder}/AWSLogs/{account}/any"))
    for action, resource in wanted:
        yield Asked(service="delivery.logs.amazonaws.com", action=action, resource=resource, keys=keys)
