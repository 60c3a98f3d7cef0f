"""Our stack on a cloud: what the template says of functions and state machine, made by plain API calls.

The template as a whole is deployed elsewhere. Here the state machine is deployed once a run, so that something can
go wrong in one state of it: that state then calls a stand-in for its function. Nothing else is ever changed.
"""

import io
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.workflow import sources
from tests.workflow.clouds import REGION, Cloud
from tests.workflow.world import RunInTheWorld, Traffic, World

NAME = "flowlag-test"
BUCKET = "flowlag-test-results"
RUN_TAG = "flowlag:run-id"
END_TIMEOUT_S = 120

REQUEST = {"rate": 10, "traffic_s": 1, "drain_s": 1, "poll_interval_s": 5, "first_delivery_timeout_s": 120}
"""A run that waits for its first delivery as long as a busy machine may need, and otherwise hurries."""

LAYERS = {"AwsLayer": "aws.zip", "ArrowLayer": "arrow.zip"}
"""This machine's layers, for what others wrote: our own packages, as they are now, go in with the functions."""


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """A run to be made, and what goes wrong in it.

    Attributes:
        run_id: its name.
        request: what is asked for, over `REQUEST`.
        stand_ins: state to the function of `stand_ins.py` that it calls.
        is_silent: nothing is ever delivered.
    """

    run_id: str
    request: Mapping[str, Any] = field(default_factory=dict)
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    is_silent: bool = False


class Stack:
    """The stack, deployed. `folder` is for the memory of its stand-ins."""

    def __init__(self, cloud: Cloud, world: World, folder: Path) -> None:
        self.cloud = cloud
        self.world = world
        self._folder = folder
        self._code = _code()
        self._account = cloud.client("sts").get_caller_identity()["Account"]
        self._role = f"arn:aws:iam::{self._account}:role/{NAME}"
        self._function_arn = f"arn:aws:lambda:{REGION}:{self._account}:function:{{}}"
        self._known = self._make_resources()
        self._layers = self._make_layers()
        for logical_id, properties in sources.functions().items():
            self._make_function(logical_id, properties, properties["Handler"], {})
        self._permit()

    # ------------------------------------------------------------ deployment
    def _make_resources(self) -> dict[str, str]:
        """Make what the functions need, and say what the template's names stand for."""
        self.cloud.client("s3").create_bucket(Bucket=BUCKET)
        self.cloud.client("iam").create_role(RoleName=NAME, AssumeRolePolicyDocument=TRUST)
        parameters = {name: str(each["Default"]) for name, each in sources.template()["Parameters"].items()}
        instances = self._make_instances(parameters["SenderInstanceType"])
        return parameters | {
            **instances,
            "Source": "local",
            "AWS::AccountId": self._account,
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::StackName": NAME,
            "ResultsBucket": BUCKET,
            "TrafficDocument": f"{NAME}-traffic",
            "FlowLogDeliveryRole.Arn": self._role,
            **{name: name for name in sources.functions()},
            **{f"{name}.Arn": self._function_arn.format(name) for name in sources.functions()},
        }

    def _make_instances(self, kind: str) -> dict[str, str]:
        """Make the sender and the target. By CloudFormation: both clouds give such an instance its interface."""
        subnet = self.cloud.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        properties = {"ImageId": "ami-12c6146b", "InstanceType": kind, "SubnetId": subnet}
        instance = {"Type": "AWS::EC2::Instance", "Properties": properties}
        names = ("SenderInstance", "TargetInstance")
        client = self.cloud.client("cloudformation")
        client.create_stack(StackName=NAME, TemplateBody=json.dumps({"Resources": dict.fromkeys(names, instance)}))
        client.get_waiter("stack_create_complete").wait(StackName=NAME, WaiterConfig={"Delay": 1})
        made = client.describe_stack_resources(StackName=NAME)["StackResources"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in made}

    def _permit(self) -> None:
        """Let CloudWatch Logs invoke the decoder."""
        for name, permission in sources.resources("AWS::Lambda::Permission").items():
            values = {key: sources.resolved(value, self._known) for key, value in permission.items()}
            self.cloud.client("lambda").add_permission(StatementId=name, **values)

    def _make_layers(self) -> dict[str, str]:
        publish = self.cloud.client("lambda").publish_layer_version
        folder = sources.CHECKOUT / ".build" / "layers"
        assert folder.is_dir(), "the layers are not built: run `make setup`"
        return {
            name: publish(LayerName=name, Content={"ZipFile": (folder / file).read_bytes()})["LayerVersionArn"]
            for name, file in LAYERS.items()
        }

    def _make_function(
        self, name: str, properties: Mapping[str, Any], handler: str, environment: Mapping[str, str]
    ) -> str:
        variables = properties["Environment"]["Variables"].items()
        self.cloud.client("lambda").create_function(
            FunctionName=name,
            Runtime=properties["Runtime"],
            Handler=handler,
            Role=self._role,
            Timeout=properties["Timeout"],
            MemorySize=properties["MemorySize"],
            Environment={
                "Variables": {
                    **{variable: sources.resolved(value, self._known) for variable, value in variables},
                    "AWS_ENDPOINT_URL_SSM": self.world.endpoint,
                    **environment,
                }
            },
            Layers=[self._layers[layer["Ref"]] for layer in properties["Layers"] if layer["Ref"] in self._layers],
            Code={"ZipFile": self._code},
        )
        return self._function_arn.format(name)

    def _make_machine(self, scenario: Scenario) -> str:
        machine = sources.machine()
        for state, handler in scenario.stand_ins.items():
            task = sources.tasks(machine)[state]
            properties = sources.functions()[sources.function_of(task)]
            name = f"{scenario.run_id}-{state}"[:64]
            environment = {
                "FUNCTION": properties["Handler"].partition(".")[0],
                "ALREADY_CRASHED": str(self._folder / name),
            }
            arn = self._make_function(name, properties, f"stand_ins.{handler}", environment)
            task["Parameters"]["FunctionName"] = arn
        definition = json.dumps(machine)
        for name, value in sources.substitutions().items():
            definition = definition.replace(f"${{{name}}}", sources.resolved(value, self._known))
        client = self.cloud.client("stepfunctions")
        made = client.create_state_machine(name=scenario.run_id, definition=definition, roleArn=self._role)
        return made["stateMachineArn"]

    # ------------------------------------------------------------ runs
    def run(self, scenario: Scenario) -> "Run":
        """Make a run and wait for its end."""
        self.world.runs[scenario.run_id] = RunInTheWorld(scenario.is_silent)
        client = self.cloud.client("stepfunctions")
        execution = client.start_execution(
            stateMachineArn=self._make_machine(scenario),
            name=scenario.run_id,
            input=json.dumps(REQUEST | scenario.request),
        )["executionArn"]
        deadline = time.monotonic() + END_TIMEOUT_S
        while (described := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
            assert time.monotonic() < deadline, f"{scenario.run_id} on {self.cloud.name} does not end"
            time.sleep(0.2)
        return Run(self, scenario.run_id, described)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended, and what it left behind."""

    stack: Stack
    run_id: str
    execution: dict[str, Any]

    @property
    def orders(self) -> list[str]:
        """What the instances were ordered to do."""
        return self.stack.world.runs[self.run_id].orders

    @property
    def traffic(self) -> Traffic | None:
        """What the sender has sent."""
        return self.stack.world.runs[self.run_id].traffic

    def flow_logs(self) -> list[dict[str, Any]]:
        """The flow logs that carry the run's tag."""
        tag = {"Name": f"tag:{RUN_TAG}", "Values": [self.run_id]}
        return self.stack.cloud.client("ec2").describe_flow_logs(Filters=[tag])["FlowLogs"]

    def plan(self) -> dict[str, Any] | None:
        """The run's plan, if it was written."""
        keys = self._keys(f"control/{self.run_id}/plan.json")
        return json.loads(self._object(keys[0])) if keys else None

    def rows(self, table: str, arm: str = "") -> list[dict[str, Any]]:
        """A table's rows of this run, or of one of its arms."""
        name = f"{self.run_id}.{arm}" if arm else self.run_id
        keys = [key for key in self._keys(f"{table}/region={REGION}/") if f"/{name}." in key]
        return [row for key in keys for row in pq.ParquetFile(io.BytesIO(self._object(key))).read().to_pylist()]

    def events(self, arm: str) -> list[dict[str, Any]]:
        """What the flow log of an arm delivered, the first delivery first."""
        group = f"/flowlag/{NAME}/{self.run_id}/{arm}"
        pages = self.stack.cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        return sorted((event for page in pages for event in page["events"]), key=lambda each: each["ingestionTime"])

    def _keys(self, prefix: str) -> list[str]:
        pages = self.stack.cloud.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for page in found for each in page.get("Contents", [])]

    def _object(self, key: str) -> bytes:
        return self.stack.cloud.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def _code() -> bytes:
    """What every function gets as its code: all functions, the packages of our layers, the stand-ins.

    An empty scapy stands for the real one, which each start and stop of traffic would zip: that takes seconds.
    """
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for path in (*sources.FUNCTIONS.glob("*.py"), Path(__file__).with_name("stand_ins.py")):
            archive.write(path, path.name)
        for package in ("layers/core/flowlag", "layers/aws/flowlag_aws", "sender"):
            root = sources.CHECKOUT / package
            for path in root.rglob("*.py"):
                archive.write(path, path.relative_to(root.parent))
        archive.writestr("scapy/__init__.py", "")
    return sink.getvalue()
