"""IAM: who may do what."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, iam, lambda_svc

if TYPE_CHECKING:
    from collections.abc import Mapping


def role_allows(role_arn: str, action: str, resource_arn: str) -> bool:
    """Whether a role's policies allow an action."""
    name = role_arn.rpartition("/")[2]
    policies = iam_evaluator._gather_role_policies(name, get_account_id())
    context = _context(role_arn, "AssumedRole", action, resource_arn)
    return bool(iam_evaluator.evaluate(context, policies).decision == "Allow")


def role_trusts(role_arn: str, service: str, source_arn: str) -> bool:
    """Whether a role lets a service assume it on behalf of a resource of this account."""
    role = iam._roles.get(role_arn.rpartition("/")[2]) or {}
    statements = _list(json.loads(role.get("AssumeRolePolicyDocument") or "{}").get("Statement"))
    # Under a statement for any service, MiniStack lets each one in.
    ours = [each for each in statements if service in _list(dict(each.get("Principal") or {}).get("Service"))]
    root = f"arn:aws:iam::{get_account_id()}:root"
    context = _context_of_service(service, "sts:AssumeRole", role_arn, source_arn)
    return bool(iam_evaluator.evaluate_trust_policy({"Statement": ours}, root, context))


def function_permits(function_arn: str, service: str, source_arn: str) -> bool:
    """Whether a function's resource policy lets a service invoke it for a resource of this account."""
    function, _, _ = lambda_svc._get_func_record_for_ref(function_arn)
    if not function:
        return False
    context = _context_of_service(service, "lambda:InvokeFunction", function["config"]["FunctionArn"], source_arn)
    decision = iam_evaluator.evaluate_resource_policy(function["policy"], context, service=service)
    return bool(decision.decision == "Allow")


def _context_of_service(service: str, action: str, resource_arn: str, source_arn: str) -> Any:  # noqa: ANN401 - MiniStack's
    source = {"aws:sourcearn": source_arn, "aws:sourceaccount": get_account_id()}
    return replace(_context(service, "Service", action, resource_arn), service_context=source)


def _context(principal: str, kind: str, action: str, resource_arn: str) -> Any:  # noqa: ANN401 - as above
    return iam_evaluator.EvalContext(
        principal_arn=principal,
        principal_type=kind,
        principal_account=get_account_id(),
        action=action,
        resource_arn=resource_arn,
        region=get_region(),
    )


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - IAM takes one in place of a list of one
    return value if isinstance(value, list) else [] if value is None else [value]


type _Authorization = tuple[str, str, Mapping[str, str]]
"""An action, the ARN of a resource, and condition keys of the request."""


def authorize_every_resource() -> None:
    """Check every action and resource of a request, as AWS does, where flowlag's roles depend on it.

    MiniStack checks one action on one resource: CreateFlowLogs on `*`, which no least-privilege policy allows, and
    neither the tags nor the passed role; DeleteFlowLogs on `*`, without the flow log's tags; SendCommand on `*`.
    """
    enforce = iam_evaluator.enforce

    def enforce_all(
        access_key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: Mapping[str, object] | None = None,
    ) -> object:
        context = service_context or {}
        for needed, arn, keys in _authorizations(action) or [(action, resource_arn, {})]:
            denied: object = enforce(access_key, needed, service, region, arn, {**context, **keys})
            if denied:
                app.logger.warning("%s was denied: it needs %s on %s", action, needed, arn)
                return denied
        return None

    iam_evaluator.enforce = enforce_all


def _authorizations(action: str) -> list[_Authorization]:
    """What a signed request must be allowed; empty where MiniStack's own idea serves."""
    request = iam_evaluator._signed_request.get()
    needs = {
        "ec2:CreateFlowLogs": _to_create_flow_logs,
        "ec2:DeleteFlowLogs": _to_delete_flow_logs,
        "ssm:SendCommand": _to_send_command,
    }
    return needs[action](request.body.decode()) if request is not None and action in needs else []


def _to_create_flow_logs(body: str) -> list[_Authorization]:
    parameters = parse_qs(body)
    kinds = {"VPC": "vpc", "Subnet": "subnet", "NetworkInterface": "network-interface"}
    kind = kinds.get(parameters.get("ResourceType", [""])[0], "*")
    watched = [f"{kind}/{each}" for each in ec2._parse_member_list(parameters, "ResourceId")]
    needed: list[_Authorization] = [
        ("ec2:CreateFlowLogs", _ec2_arn(resource), {}) for resource in ["vpc-flow-log/*", *watched]
    ]
    if "TagSpecification.1.ResourceType" in parameters:
        needed.append(("ec2:CreateTags", _ec2_arn("vpc-flow-log/*"), {"ec2:createaction": "CreateFlowLogs"}))
    passed = {"iam:passedtoservice": "vpc-flow-logs.amazonaws.com"}
    return needed + [
        ("iam:PassRole", role_arn, passed) for role_arn in parameters.get("DeliverLogsPermissionArn", [])
    ]


def _to_delete_flow_logs(body: str) -> list[_Authorization]:
    ids = ec2._parse_member_list(parse_qs(body), "FlowLogId")
    return [("ec2:DeleteFlowLogs", _ec2_arn(f"vpc-flow-log/{each}"), _tag_keys(each)) for each in ids]


def _tag_keys(resource_id: str) -> dict[str, str]:
    return {f"aws:resourcetag/{tag['Key'].lower()}": tag["Value"] for tag in ec2._tags.get(resource_id, [])}


def _to_send_command(body: str) -> list[_Authorization]:
    request = json.loads(body)
    document = f"arn:aws:ssm:{get_region()}:{get_account_id()}:document/{request.get('DocumentName')}"
    instances = [_ec2_arn(f"instance/{each}") for each in request.get("InstanceIds", [])]
    return [("ssm:SendCommand", arn, {}) for arn in [document, *instances]]


def _ec2_arn(resource: str) -> str:
    return f"arn:aws:ec2:{get_region()}:{get_account_id()}:{resource}"


def let_services_assume_roles() -> None:
    """Give a trust policy what it may ask of an AWS service: from which account it comes, and for what.

    MiniStack's root may play every service, but brings no `aws:SourceAccount` and no `aws:SourceArn`, by which the
    delivery role is kept from confused deputies. The service here that has them is the one that delivers flow logs.
    """
    evaluate = iam_evaluator.evaluate_trust_policy

    def evaluate_trust_policy(trust: object, caller: str, context: Any = None) -> bool:  # noqa: ANN401 - its context
        if context is not None and caller.endswith(":root"):
            source = {"aws:sourceaccount": get_account_id(), "aws:sourcearn": _ec2_arn("vpc-flow-log/fl-0")}
            context = replace(context, service_context={**source, **context.service_context})
        return bool(evaluate(trust, caller, context))

    iam_evaluator.evaluate_trust_policy = evaluate_trust_policy


def take_the_loopback_for_tls() -> None:
    """Take every request for one over TLS.

    It comes over the loopback, where there is nothing to encrypt; a policy that denies what is not over TLS, as a
    bucket's should, would deny everything.
    """
    pin = app.pin_request_origin
    app.pin_request_origin = lambda address, _is_tls: pin(address, True)  # noqa: FBT003 - MiniStack's signature
