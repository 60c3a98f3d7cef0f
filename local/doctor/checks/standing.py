"""Whether the stack, its region, its run and its bucket of results are what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.doctor.checks.words import grant, to_the_second
from local.doctor.findings import broken, not_applicable, ok, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.doctor.facts.delivery import Bucket
    from local.doctor.findings import Judged
    from local.doctor.scope import Scope

_START: Final = "Start one with `aws stepfunctions start-execution`; docs/operations.md says how."


def stack(scope: Scope, _: None) -> Judged:
    """Whether the stack is as it was deployed."""
    status = scope.stack.status
    if status.endswith("_IN_PROGRESS"):
        return ok(f"It is there and being changed ({status}).", "Look again when CloudFormation is done.")
    if "FAILED" in status or status == "ROLLBACK_COMPLETE":
        return broken(f"It is {status}.", "Look at its events in CloudFormation, mend the cause and deploy again.")
    return ok(f"It is {status} and has what a stack of flowlag has.")


def region(scope: Scope, failures: Mapping[str, str]) -> Judged:
    """Whether the region's services answer from here."""
    if failures:
        reasons = "; ".join(f"{service}: {why}" for service, why in failures.items())
        return broken(
            f"Not everything can be reached from here: {reasons}.",
            f"Check the network and the endpoints that lead to {scope.stack.region}, and its name.",
        )
    return ok("EC2 and Systems Manager answer.")


def run(scope: Scope, _: None) -> Judged:
    """Whether there is a run, and whether it fares well."""
    found = scope.run
    if scope.refusal:
        return unknown(f"Which runs there are could not be told: {scope.refusal}.", grant())
    if found is None:
        return not_applicable("No run was started yet, so that nothing can arrive.", _START)
    if not found.is_over:
        return ok(f"It is under way since {to_the_second(found.began_at)}.")
    if found.status == "SUCCEEDED":
        return ok(f"It began at {to_the_second(found.began_at)} and has ended in success.")
    why = f": {found.failure[:300].rstrip('.')}" if found.failure else ""
    return broken(
        f"It ended as {found.status}{why}.",
        "Mend that cause, and start another run; table `runs` has the reasons of a void one.",
    )


def results_bucket(scope: Scope, facts: Bucket) -> Judged:
    """Whether results have where to go."""
    if not facts.exists:
        return broken(
            f"There is no bucket {scope.stack.results_bucket}: no run can write its results.",
            "Deploy the home stack again, and name its bucket to the satellites (HomeBucket).",
        )
    return ok("It can be read.")
