"""Whether probes leave the sender, and get to the target."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from flowlag.plan import NITRO
from local.doctor.checks.words import DEPLOY, to_the_second
from local.doctor.findings import broken, listed, not_applicable, ok, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.doctor.facts.sending import Doors, Machine, Rule, Traffic
    from local.doctor.findings import Judged
    from local.doctor.scope import Scope

LEDGER_STALE_S: Final = 180
"""The sender uploads its ledger every minute, and each upload may take one (sender/shipping.py)."""


# ---------------------------------------------------------------- traffic
def traffic(scope: Scope, facts: Traffic) -> Judged:
    """Whether probes leave: without traffic a flow log delivers nothing but NODATA, if anything."""
    if not facts.machines:
        return broken("The stack has no instances.", DEPLOY)
    for machine in facts.machines:
        wrong = _machine(scope, machine)
        if wrong is not None:
            return wrong
    names = listed(f"{each.role} {each.instance_id}" for each in facts.machines)
    standing = f"Running, and online in Systems Manager: {names}"
    if scope.run is None or not scope.run.is_sending:
        return ok(f"{standing}; no probes are due now.")
    return _sending(scope, facts, standing)


def _machine(scope: Scope, machine: Machine) -> Judged | None:
    where = f"--region {scope.stack.region}"
    if machine.state is None:
        return broken(
            f"The {machine.role} {machine.instance_id} does not exist any more.",
            f"{DEPLOY} A run that was under way is lost: start another one.",
        )
    if machine.state != "running":
        return broken(
            f"The {machine.role} {machine.instance_id} is {machine.state}.",
            f"Start it: aws ec2 start-instances {where} --instance-ids {machine.instance_id}",
        )
    if not machine.is_online:
        return broken(
            f"The {machine.role} {machine.instance_id} runs, but is not online in Systems Manager.",
            "After a start that takes some minutes; else its way to the service is cut (route, egress on port 443, "
            "instance profile).",
        )
    return None


def _sending(scope: Scope, facts: Traffic, standing: str) -> Judged:
    order, upload = facts.order, facts.upload
    again = "Abort the run and start another one; /var/lib/flowlag on the sender has its log."
    if order is None or order.status in {"Pending", "InProgress"}:
        return ok(f"{standing}; the order to send is on its way.", "Look again in a few minutes.")
    if order.status != "Success":
        return broken(f"The sender's order {order.action} ended as {order.status}.", again)
    if order.action != "start-sending" or (upload and upload.is_closed):
        return broken("The sender has ended, although the run has not asked it to.", again)
    last_sign = max(order.at, upload.at if upload else 0)
    if scope.at - last_sign > LEDGER_STALE_S * 1_000_000:
        return broken(
            f"The sender has uploaded nothing since {to_the_second(last_sign)}, and should every minute.",
            f"It has died or cannot reach S3. {again}",
        )
    said = f"its ledger came at {to_the_second(upload.at)}" if upload else "its first ledger comes within a minute"
    return ok(f"{standing}; probes leave since {to_the_second(order.at)}, and {said}.")


# ---------------------------------------------------------------- security groups
def security_groups(_: Scope, facts: Doors) -> Judged:
    """Whether a probe may leave the sender and enter the target."""
    sender, target = facts.sender, facts.target
    if sender is None or sender.address is None or facts.address is None or (target and target.state is None):
        return not_applicable("An instance is missing, and with it its security groups.")
    may_leave = permits(facts.egress, facts.port, facts.address, target.groups if target else frozenset())
    may_enter = not target or permits(facts.ingress, facts.port, sender.address, sender.groups)
    if may_leave is False:
        return broken(
            f"The sender may not send to {facts.address} port {facts.port}: its probes are rejected.",
            f"Let {listed(sorted(sender.groups))} send TCP {facts.port} to {facts.address}, or deploy again.",
        )
    if target and may_enter is False:
        return broken(
            f"The target does not let the sender's probes in on port {facts.port}: all count as lost on the wire.",
            f"Let TCP {facts.port} from the sender into {listed(sorted(target.groups))}, or deploy again.",
        )
    if may_leave is None or may_enter is None:
        return unknown("A prefix list decides.", "Look whether it has the address of the other instance.")
    if target is None:
        return ok("A probe may leave the sender; whether your own target lets it in cannot be seen from here.")
    return ok(f"A probe may leave the sender and enter the target on port {facts.port}.")


def permits(rules: Iterable[Rule], port: int, address: str, groups: frozenset[str]) -> bool | None:
    """Whether rules let TCP through to or from an address with these groups; None if a prefix list decides."""
    fitting = [
        each for each in rules if each.protocol == "-1" or (each.protocol in ("tcp", "6") and _has(each, port))
    ]
    peers = {peer for each in fitting for peer in each.peers}
    if peers & groups or any(
        "/" in peer and ip_address(address) in ip_network(peer, strict=False) for peer in peers
    ):
        return True
    return None if any(peer.startswith("pl-") for peer in peers) else False


def _has(rule: Rule, port: int) -> bool:
    return rule.low <= port <= rule.high


# ---------------------------------------------------------------- the hypervisor
_NITRO_S: Final = 60


def hypervisor(scope: Scope, facts: str | None) -> Judged:
    """What an aggregation interval means on this sender."""
    if facts != NITRO:
        return ok(f"It is {facts or 'not known'}: an aggregation interval of 600 s is one.")
    asked = [arm.name for arm in scope.plan.arms if arm.aggregation_interval_s > _NITRO_S] if scope.plan else []
    return ok(
        "It is nitro, where an aggregation interval is 60 s or less, whatever is asked for.",
        f"Do not take {listed(asked)} for 600 s: that needs a sender on Xen, such as t2." if asked else "",
    )
