"""What IAM asks of a call to AWS, and whether a policy's statement allows it."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from tests.functions.run import ACCOUNT, REGION, Json

LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"
EC2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
FLOW_LOG = f"{EC2}:vpc-flow-log/*"

type Need = tuple[str, str, Mapping[str, str]]
"""An action, the resource it is done to, and the context keys that a policy's condition may ask for."""


class NotAllowed(AssertionError):
    """A function did what its policies do not allow: on AWS, an AccessDenied."""


def of_object(action: str) -> Callable[[Json], list[Need]]:
    return lambda params: [(action, f"arn:aws:s3:::{params['Bucket']}/{params['Key']}", {})]


def of_objects(params: Json) -> list[Need]:
    keys = [each["Key"] for each in params["Delete"]["Objects"]]
    return [("s3:DeleteObject", f"arn:aws:s3:::{params['Bucket']}/{key}", {}) for key in keys]


def of_group(*actions: str) -> Callable[[Json], list[Need]]:
    return lambda params: [(action, f"{LOGS}:{params['logGroupName']}:log-stream:", {}) for action in actions]


def of_parameter(action: str, name: str) -> Callable[[Json], list[Need]]:
    return lambda params: [(action, params[name], {})]


def of_anything(*actions: str) -> Callable[[Json], list[Need]]:
    """Of an action without resource-level permissions."""
    return lambda _: [(action, "*", {}) for action in actions]


def of_a_new_flow_log(params: Json) -> list[Need]:
    kind = {"NetworkInterface": "network-interface", "Subnet": "subnet", "VPC": "vpc"}[params["ResourceType"]]
    to_s3 = of_anything("logs:CreateLogDelivery", "logs:DeleteLogDelivery")(params)
    to_logs = ("iam:PassRole", params.get("DeliverLogsPermissionArn", ""), PASSED_TO_FLOW_LOGS)
    return [
        ("ec2:CreateFlowLogs", FLOW_LOG, {}),
        *(("ec2:CreateFlowLogs", f"{EC2}:{kind}/{each}", {}) for each in params["ResourceIds"]),
        ("ec2:CreateTags", FLOW_LOG, {"ec2:CreateAction": "CreateFlowLogs"}),
        *(to_s3 if params["LogDestinationType"] == "s3" else [to_logs]),
    ]


PASSED_TO_FLOW_LOGS = {"iam:PassedToService": "vpc-flow-logs.amazonaws.com"}


def of_old_flow_logs(_: Json) -> list[Need]:
    # One to S3 may be among them, so that both are needed.
    return [
        ("ec2:DeleteFlowLogs", FLOW_LOG, {"aws:ResourceTag/flowlag:run-id": "any"}),
        ("logs:DeleteLogDelivery", "*", {}),
    ]


def of_a_command(params: Json) -> list[Need]:
    document = f"arn:aws:ssm:{REGION}:{ACCOUNT}:document/{params['DocumentName']}"
    instances = [f"{EC2}:instance/{instance}" for instance in params["InstanceIds"]]
    return [("ssm:SendCommand", arn, {}) for arn in (document, *instances)]


NEEDS: Mapping[str, Callable[[Json], list[Need]]] = {
    "PutObject": of_object("s3:PutObject"),
    "GetObject": of_object("s3:GetObject"),
    "HeadObject": of_object("s3:GetObject"),
    "DeleteObjects": of_objects,
    "ListObjectsV2": lambda params: [("s3:ListBucket", f"arn:aws:s3:::{params['Bucket']}", {})],
    "CreateLogGroup": of_group("logs:CreateLogGroup", "logs:TagResource"),
    "PutRetentionPolicy": of_group("logs:PutRetentionPolicy"),
    "PutSubscriptionFilter": of_group("logs:PutSubscriptionFilter"),
    "FilterLogEvents": of_group("logs:FilterLogEvents"),
    "DeleteLogGroup": of_group("logs:DeleteLogGroup"),
    "DescribeLogGroups": lambda _: [
        ("logs:DescribeLogGroups", f"{LOGS}::log-stream:", {})
    ],  # of none in particular
    "CreateFlowLogs": of_a_new_flow_log,
    "DeleteFlowLogs": of_old_flow_logs,
    "DescribeFlowLogs": of_anything("ec2:DescribeFlowLogs"),
    "DescribeInstances": of_anything("ec2:DescribeInstances"),
    "DescribeInstanceTypes": of_anything("ec2:DescribeInstanceTypes"),
    "DescribeAvailabilityZones": of_anything("ec2:DescribeAvailabilityZones"),
    "SendCommand": of_a_command,
    "GetCommandInvocation": of_anything("ssm:GetCommandInvocation"),
    "DescribeExecution": of_parameter("states:DescribeExecution", "executionArn"),
    "StopExecution": of_parameter("states:StopExecution", "executionArn"),
    "ListExecutions": of_parameter("states:ListExecutions", "stateMachineArn"),
}
"""What IAM asks of a call, by the Service Authorization Reference (read 2026-11)."""


def needs(operation: str, params: Json) -> list[Need]:
    if operation not in NEEDS:
        raise NotAllowed(f"nobody has said what IAM asks of {operation}")
    return NEEDS[operation](params)


def allows(statement: Json, need: Need) -> bool:
    action, arn, context = need
    actions, resources = (
        [value] if isinstance(value, str) else value for value in (statement["Action"], statement["Resource"])
    )
    return (
        statement["Effect"] == "Allow"
        and action in actions
        and any(fnmatchcase(arn, pattern) for pattern in resources)
        and all(
            holds(operator, key, value, context)
            for operator, tests in statement.get("Condition", {}).items()
            for key, value in tests.items()
        )
    )


def holds(operator: str, key: str, value: str, context: Mapping[str, str]) -> bool:
    match operator:
        case "StringEquals":
            return context.get(key) == value
        case "Null":
            return (key not in context) == (value == "true")
    raise NotAllowed(f"nobody has said what the condition {operator} means")
