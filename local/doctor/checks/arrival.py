"""Whether records arrive and are decoded, or whether it is too early to ask."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from flowlag.delivery import PRESETS
from flowlag.plan import NITRO, S3, XEN
from local.doctor.checks.words import AGAIN, DEPLOY, NO_PLAN, allowed, to_the_second
from local.doctor.findings import Verdict, broken, listed, not_applicable, ok
from local.doctor.policies import Asked, answer
from local.durations import in_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowlag.instants import Micros
    from flowlag.plan import Arm
    from local.doctor.facts.arrival import Arrived, Decoder, Filter, Subscription
    from local.doctor.findings import Judged
    from local.doctor.scope import Scope

PATIENCE: Final = 2
"""How many times the longest usual delay is waited for before `not yet` becomes `never`: Episode 18's slowest first
object came 960 s after the flow log's creation, the model's slowest after 780 s."""


# ---------------------------------------------------------------- what arrives
def usual_delay_s(scope: Scope) -> dict[str, float]:
    """Arm to the longest usual delay of its records, by the delivery model of the sender's hypervisor."""
    plan = scope.plan
    return {arm.name: longest_s(plan.hypervisor, arm) for arm in plan.arms} if plan else {}


def longest_s(hypervisor_: str | None, arm: Arm) -> float:
    """The longest usual delay of an arm's records, by the delivery model of the sender's hypervisor."""
    kind = NITRO if hypervisor_ == NITRO else XEN
    preset = next(each for each in PRESETS.values() if each.hypervisor == kind)
    habits = preset.to_s3 if arm.destination == S3 else preset.under(arm.aggregation_interval_s)
    return habits.longest_delay_s


def lately_s(scope: Scope) -> dict[str, float]:
    """Arm to the time within which something must have arrived if it is to arrive at all."""
    return {arm: PATIENCE * seconds for arm, seconds in usual_delay_s(scope).items()}


def records(scope: Scope, facts: Mapping[str, Arrived]) -> Judged:
    """Whether records arrive, or whether it is too early to ask."""
    usual, patience = usual_delay_s(scope), lately_s(scope)
    states = {arm: _state(scope, each, patience[arm]) for arm, each in facts.items()}
    never, waiting, arrived = (
        [arm for arm, state in states.items() if state is wanted]
        for wanted in (_State.NEVER, _State.WAITING, _State.ARRIVED)
    )
    if never:
        return _never(never, facts, patience)
    if waiting:
        last = max(waiting, key=lambda arm: _created_at(facts[arm]) + usual[arm] * 1_000_000)
        return _not_yet(scope, waiting, _created_at(facts[last]), usual[last])
    if arrived:
        return ok(f"Records have arrived in {listed(arrived)}.")
    return not_applicable("No flow log has had anything to deliver yet." if facts else NO_PLAN)


class _State(Enum):
    """How far the records of an arm are."""

    ARRIVED = auto()
    WAITING = auto()
    NEVER = auto()
    NOT_DUE = auto()


def _state(scope: Scope, each: Arrived, patience_s: float) -> _State:
    if each.probes or (each.probes is None and each.others):
        return _State.ARRIVED
    if not each.is_there:
        return _State.NOT_DUE  # the checks of log groups and bucket say why
    if each.flow_log is None:
        return _State.NEVER if scope.run and scope.run.is_over else _State.NOT_DUE
    is_early = scope.at - each.flow_log.created_at < patience_s * 1_000_000
    return _State.WAITING if is_early else _State.NEVER


def _created_at(each: Arrived) -> Micros:
    return each.flow_log.created_at if each.flow_log else 0


def _not_yet(scope: Scope, arms: Sequence[str], created_at: Micros, usual_s: float) -> Judged:
    age_s = max(0, round((scope.at - created_at) / 1e6))
    age, usual, until = in_units(age_s), in_units(usual_s), to_the_second(created_at + round(usual_s * 1e6))
    return ok(
        f"No probe has arrived in {listed(arms)} yet, which is not unusual {age} after the flow log's creation.",
        f"Wait until {until}: the first records usually take up to {usual}.",
    )


def _never(arms: Sequence[str], facts: Mapping[str, Arrived], patience_s: Mapping[str, float]) -> Judged:
    longest = in_units(max(patience_s[arm] for arm in arms))
    when = f"in the last {longest}" if any(facts[arm].flow_log for arm in arms) else "at all"
    others = sum(facts[arm].others for arm in arms)
    if others:
        return broken(
            f"No probe has arrived in {listed(arms)} {when}, but {others} other records have.",
            "So the way is open, and probes are missing: see the checks of traffic, security groups and flow logs.",
        )
    return broken(
        f"Nothing has arrived in {listed(arms)} {when}.",
        "If every check above is ok, the service itself is late: look at the AWS Health Dashboard.",
    )


# ---------------------------------------------------------------- the decoder
def subscription(scope: Scope, facts: Subscription) -> Judged:
    """Whether what arrives in the log groups comes to the decoder."""
    if not scope.log_groups:
        return not_applicable("No arm delivers to CloudWatch Logs.")
    if facts.decoder is None:
        return broken("The function DecodeRecords does not exist.", DEPLOY)
    wrongs: dict[str, list[str]] = {}
    for arm, filters in facts.filters.items():
        wrong = _filters(filters, facts.decoder)
        if wrong:
            wrongs.setdefault(wrong, []).append(arm)
    if wrongs:
        said = "; ".join(f"that of {listed(arms)} {wrong}" for wrong, arms in wrongs.items())
        return broken(f"Of the log groups, {said}.", AGAIN)
    return _decoder(scope, facts.decoder)


def _filters(filters: Sequence[Filter], decoder: Decoder) -> str:
    """What is wrong with the subscriptions of a log group, in words that follow its name; empty if nothing is."""
    ours = [each for each in filters if each.destination == decoder.arn]
    if not filters:
        return "has no subscription filter"
    if not ours:
        return f"sends its records elsewhere ({listed(each.destination for each in filters)})"
    if all(each.pattern for each in ours):
        return "lets through only what matches a pattern, and not all records"
    return ""


def _decoder(scope: Scope, decoder: Decoder) -> Judged:
    name = decoder.arn.rpartition(":")[2]
    if decoder.state not in ("Active", "Inactive"):  # inactive: not invoked for weeks, and wakes up by itself
        return broken(f"The function {name} is {decoder.state}.", DEPLOY)
    if decoder.reserved == 0:
        return broken(
            f"The function {name} is disabled: its reserved concurrency is 0.",
            f"aws lambda delete-function-concurrency --region {scope.stack.region} --function-name {name}",
        )
    judged = allowed(
        answer(decoder.policy or {}, _invocation(scope, decoder)),
        "The log groups may invoke the decoder.",
        f"CloudWatch Logs may not invoke {name}",
        f"Let logs.amazonaws.com do lambda:InvokeFunction on {name}, or deploy again.",
    )
    if judged.verdict is not Verdict.OK:
        return judged
    failed = (
        f"It failed {decoder.errors} times in the last hour: look into its log, and into the dead-letter queue."
    )
    subscribed = "The log groups may invoke the decoder, and nothing disables it."
    return ok(subscribed, failed if decoder.errors else "")


def _invocation(scope: Scope, decoder: Decoder) -> Asked:
    group = next(iter(scope.log_groups.values()))
    source = scope.stack.arn("logs", f"log-group:{group}:*")
    return Asked(
        service="logs.amazonaws.com",
        action="lambda:InvokeFunction",
        resource=decoder.arn,
        keys={"aws:sourceaccount": scope.stack.account_id, "aws:sourcearn": source},
    )
