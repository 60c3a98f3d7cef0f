"""The stack without its machines: what the template gives a function, in this process.

`Cloud.invoke` calls a handler under the environment that the template sets for it, and refuses every call to AWS
that the function's own policies do not allow.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from samtranslator.yaml_helper import yaml_parse

from flowlag_aws import parquet
from flowlag_aws.store import Store
from tests.functions.run import ACCOUNT, PLAN, REGION, STACK, Json

ROOT = Path(__file__).parents[2]
BUCKET = "flowlag-results"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"
EC2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"

STATES: Json = json.loads((ROOT / "statemachine" / "benchmark.asl.json").read_text())["States"]
STATES |= STATES["EachArm"]["ItemProcessor"]["States"]

type Need = tuple[str, str, Mapping[str, str]]
"""An action, the resource it is done to, and the context keys that a policy's condition may ask for."""


class NotAllowed(AssertionError):
    """A function did what its policies do not allow: on AWS, an AccessDenied."""


class Template:
    """The template, and the values that a deployment would give to its references."""

    def __init__(self) -> None:
        self._document = yaml_parse((ROOT / "template.yaml").read_text())
        self.values: dict[str, str] = {
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::StackName": STACK,
            "Source": "local",
            "ProbePort": "7777",
            "CodeVersion": "0.1.0",
            "SenderInstance": PLAN.sender_instance_id,
            "TargetInstance": PLAN.target_instance_id,
            "TrafficDocument": "flowlag-TrafficDocument-1",
            "ResultsBucket": BUCKET,
            "ResultsBucket.Arn": f"arn:aws:s3:::{BUCKET}",
            "FlowLogDeliveryRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/deliver",
            "DecodeRecordsFunction.Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:decode",
        }

    def resource(self, logical_id: str) -> Any:
        return self._document["Resources"][logical_id]["Properties"]

    def environment(self, function: str) -> dict[str, str]:
        of_all = self._document["Globals"]["Function"]["Environment"]["Variables"]
        own = self.resource(function).get("Environment", {}).get("Variables", {})
        return {name: self.resolve(value) for name, value in (of_all | own).items()}

    def statements(self, function: str) -> list[Json]:
        """What the function's policies allow. A policy is a list of statements, or names a managed policy."""
        documents = [
            self.resource(policy["Ref"])["PolicyDocument"] if "Ref" in policy else policy
            for policy in self.resource(function)["Policies"]
        ]
        return [self.resolve(statement) for document in documents for statement in document["Statement"]]

    def resolve(self, value: Any) -> Any:
        match value:
            case {"Ref": name}:
                return self.values[name]
            case {"Fn::GetAtt": [name, attribute]}:
                return self.values[f"{name}.{attribute}"]
            case {"Fn::Sub": text}:
                for name, known in self.values.items():
                    text = text.replace(f"${{{name}}}", known)
                assert "${" not in text
                return text
            case dict():
                return {key: self.resolve(each) for key, each in value.items()}
            case list():
                return [self.resolve(each) for each in value]
        return value


class Guard:
    """Sees every call that a function makes to AWS, and lets through what its policies allow."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._acting: str | None = None
        self.calls: list[tuple[str, Json]] = []

    @contextmanager
    def watching(self, function: str) -> Iterator[None]:
        self.calls.clear()
        self._acting = function
        try:
            yield
        finally:
            self._acting = None

    def __call__(self, params: Json, model: Any, **_: object) -> None:
        if self._acting is None:
            return
        self.calls.append((model.name, dict(params)))
        statements = self._template.statements(self._acting)
        for need in needs(model.name, params):
            if not any(allows(statement, need) for statement in statements):
                raise NotAllowed(f"{self._acting} may not {need[0]} on {need[1]}")


class Cloud:
    """The stack as its functions see it."""

    def __init__(self, template: Template, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
        self.template = template
        self.store = Store(BUCKET)
        self._guard = guard
        self._monkeypatch = monkeypatch

    def invoke(self, name: str, event: Json) -> Any:
        """What the function answers. Its calls to AWS are in `calls`, as the operations' names and parameters."""
        function = "".join(word.capitalize() for word in name.split("_")) + "Function"
        for variable, value in self.template.environment(function).items():
            self._monkeypatch.setenv(variable, value)
        handler = import_module(f"functions.{name}").handler
        with self._guard.watching(function):
            return handler(event, Context())

    @property
    def calls(self) -> list[tuple[str, Json]]:
        """What the last function that was invoked asked of AWS, in order."""
        return self._guard.calls

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        return {key: self.store.get(key) for key in self.store.keys(prefix)}

    def rows(self, key: str) -> list[Json]:
        """An object of a table as rows; instants are microseconds."""
        data = self.store.get(key)
        columns = parquet.decode(data, pq.ParquetFile(BytesIO(data)).schema_arrow.names)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


class Context:
    """What Powertools' logger takes from Lambda's context."""

    function_name = "function"
    memory_limit_in_mb = 256
    invoked_function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:function"
    aws_request_id = "request"


def needs(operation: str, params: Json) -> list[Need]:  # noqa: PLR0911 - an answer for each operation
    """What IAM asks of a call, by the Service Authorization Reference (read 2026-11)."""
    bucket = f"arn:aws:s3:::{params.get('Bucket')}"
    group = f"{LOGS}:{params.get('logGroupName')}:log-stream:"
    flow_log = f"{EC2}:vpc-flow-log/*"
    match operation:
        case "PutObject" | "GetObject":
            return [(f"s3:{operation}", f"{bucket}/{params['Key']}", {})]
        case "ListObjectsV2":
            return [("s3:ListBucket", bucket, {})]
        case "CreateLogGroup":
            return [("logs:CreateLogGroup", group, {}), ("logs:TagResource", group, {})]
        case "PutRetentionPolicy" | "PutSubscriptionFilter" | "FilterLogEvents":
            return [(f"logs:{operation}", group, {})]
        case "CreateFlowLogs":
            passed = {"iam:PassedToService": "vpc-flow-logs.amazonaws.com"}
            return [
                ("ec2:CreateFlowLogs", flow_log, {}),
                *(("ec2:CreateFlowLogs", f"{EC2}:network-interface/{eni}", {}) for eni in params["ResourceIds"]),
                ("ec2:CreateTags", flow_log, {"ec2:CreateAction": "CreateFlowLogs"}),
                ("iam:PassRole", params["DeliverLogsPermissionArn"], passed),
            ]
        case "DeleteFlowLogs":
            return [("ec2:DeleteFlowLogs", flow_log, {"aws:ResourceTag/flowlag:run-id": "any"})]
        case "DescribeFlowLogs" | "DescribeInstances" | "DescribeInstanceTypes" | "DescribeAvailabilityZones":
            return [(f"ec2:{operation}", "*", {})]
        case "SendCommand":
            document = f"arn:aws:ssm:{REGION}:{ACCOUNT}:document/{params['DocumentName']}"
            instances = [f"{EC2}:instance/{instance}" for instance in params["InstanceIds"]]
            return [("ssm:SendCommand", arn, {}) for arn in (document, *instances)]
        case "GetCommandInvocation":
            return [("ssm:GetCommandInvocation", "*", {})]
    raise NotAllowed(f"nobody has said what IAM asks of {operation}")


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
