"""Our stack on a cloud: what the template says of functions and state machine, made by plain API calls.

The template as a whole is deployed elsewhere. Here the state machine is deployed anew for every scenario, so that
something can go wrong in one state of it: that state then calls a stand-in for its function. Nothing else is ever
changed.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.cloudformation import ROOT, Names, document, of_type, resolved
from tests.workflow import sources
from tests.workflow.clouds import REGION, Cloud
from tests.workflow.traffic import Traffic
from tests.workflow.world import RunInTheWorld, World

RUN_TAG = "flowlag:run-id"
PATIENCE_S = 300
LOOK_EVERY_S = 0.4

REQUEST = {"rate": 10, "traffic_s": 1, "drain_s": 25, "poll_interval_s": 5, "first_delivery_timeout_s": 120}
"""A run that waits for its first delivery as long as a busy machine may need, and otherwise hurries.

Scaled down, it still drains for more than a second: what comes in the very second of its closing is late.
"""

LAYERS = {"AwsLayer": "aws.zip", "ArrowLayer": "arrow.zip", "StatsLayer": "stats.zip"}
"""This machine's layers, for what others wrote: our own packages, as they are now, go in with the functions."""

PACKAGES = (
    "layers/core/flowlag",
    "layers/aws/flowlag_aws",
    "layers/stats/flowlag_stats",
    "layers/report/flowlag_report",
    "sender",
)

type Layers = Mapping[str, str]
"""The ARN of each layer, by its name in the template."""


def publish_layers(cloud: Cloud) -> Layers:
    """Publish the layers, for all stacks of a cloud."""
    publish = cloud.client("lambda").publish_layer_version
    folder = ROOT / ".build" / "layers"
    assert folder.is_dir(), "the layers are not built: run `make setup`"
    return {
        name: publish(LayerName=name, Content={"ZipFile": (folder / file).read_bytes()})["LayerVersionArn"]
        for name, file in LAYERS.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """A run to be made, and what goes wrong in it.

    Attributes:
        run_id: its name.
        request: what is asked for, over `REQUEST`.
        stand_ins: state to what goes wrong in it, of `stand_ins.py`.
        arm: the one arm in which something goes wrong; empty for all of them.
        is_silent: nothing is ever delivered.
        story: what happens, if more than that the run is made; what it returns is what the tests look at.
    """

    run_id: str
    request: Mapping[str, Any] = field(default_factory=dict)
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    arm: str = ""
    is_silent: bool = False
    story: "Callable[[Stack, Scenario], Any]" = lambda stack, scenario: stack.run(scenario)


class Stack:
    """A stack, deployed: one sender, and so one run at a time. `folder` is for the memory of its stand-ins."""

    def __init__(self, name: str, cloud: Cloud, world: World, layers: Layers, folder: Path) -> None:
        self.name = name
        self.cloud = cloud
        self.world = world
        self.work_bucket, self.results_bucket = f"{name}-work", f"{name}-results"
        self._layers = layers
        self._folder = folder
        self._code = _code()
        self._account = cloud.client("sts").get_caller_identity()["Account"]
        self._role = f"arn:aws:iam::{self._account}:role/{name}"
        self._known = self._make_resources()
        for logical_id, properties in sources.functions().items():
            self._make_function(f"{name}-{logical_id}", properties)
        self._stand_in = f"{name}-StandIn"
        self._make_function(self._stand_in, stand_in())
        self._permit()
        self._machine = self._make_machine()

    # ------------------------------------------------------------ deployment
    def _make_resources(self) -> Names:
        """Make what the functions need, and say what the template's names stand for."""
        for bucket in (self.work_bucket, self.results_bucket):
            self.cloud.client("s3").create_bucket(Bucket=bucket)
        self.cloud.client("iam").create_role(RoleName=self.name, AssumeRolePolicyDocument=TRUST)
        parameters = {name: str(each["Default"]) for name, each in document()["Parameters"].items()}
        functions = sources.functions()
        return parameters | {
            **self._make_instances(parameters["SenderInstanceType"]),
            "Source": "local",
            "AWS::AccountId": self._account,
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::StackName": self.name,
            "WorkBucket": self.work_bucket,
            "WorkBucket.Arn": f"arn:aws:s3:::{self.work_bucket}",
            "ResultsBucket": self.results_bucket,
            "TrafficDocument": f"{self.name}-traffic",
            "FlowLogDeliveryRole.Arn": self._role,
            **{name: f"{self.name}-{name}" for name in functions},
            **{f"{name}.Arn": self._function_arn(f"{self.name}-{name}") for name in functions},
        }

    def _make_instances(self, kind: str) -> dict[str, str]:
        """Make the sender and the target. By CloudFormation: both clouds give such an instance its interface."""
        subnet = self.cloud.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        properties = {"ImageId": "ami-12c6146b", "InstanceType": kind, "SubnetId": subnet}
        instance = {"Type": "AWS::EC2::Instance", "Properties": properties}
        body = json.dumps({"Resources": dict.fromkeys(("SenderInstance", "TargetInstance"), instance)})
        client = self.cloud.client("cloudformation")
        client.create_stack(StackName=self.name, TemplateBody=body)
        client.get_waiter("stack_create_complete").wait(StackName=self.name, WaiterConfig={"Delay": 1})
        resources = client.describe_stack_resources(StackName=self.name)["StackResources"]
        made = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}
        target = self.cloud.client("ec2").describe_instances(InstanceIds=[made["TargetInstance"]])
        address = target["Reservations"][0]["Instances"][0]["PrivateIpAddress"]
        return {**made, "TargetInstance.PrivateIp": address}

    def _permit(self) -> None:
        """Let CloudWatch Logs invoke the decoder, and flow logs deliver into the work bucket."""
        permission = resolved(of_type("AWS::Lambda::Permission")["DecodePermission"], self._known)
        self.cloud.client("lambda").add_permission(StatementId="DecodePermission", **permission)
        policy = resolved(of_type("AWS::S3::BucketPolicy")["WorkBucketPolicy"], self._known)
        text = json.dumps(policy["PolicyDocument"])
        self.cloud.client("s3").put_bucket_policy(Bucket=policy["Bucket"], Policy=text)

    def _function_arn(self, name: str) -> str:
        return f"arn:aws:lambda:{REGION}:{self._account}:function:{name}"

    def _make_function(self, name: str, properties: Mapping[str, Any]) -> None:
        variables = resolved(properties["Environment"]["Variables"], self._known)
        self.cloud.client("lambda").create_function(
            FunctionName=name,
            Runtime=properties["Runtime"],
            Handler=properties["Handler"],
            Role=self._role,
            Timeout=properties["Timeout"],
            MemorySize=properties["MemorySize"],
            Environment={"Variables": {**variables, "AWS_ENDPOINT_URL_SSM": self.world.endpoint}},
            Layers=[self._layers[layer["Ref"]] for layer in properties["Layers"] if layer["Ref"] in self._layers],
            Code={"ZipFile": self._code},
        )

    def _make_machine(self) -> str:
        (properties,) = of_type("AWS::Serverless::StateMachine").values()
        made = self.cloud.client("stepfunctions").create_state_machine(
            name=resolved(properties["Name"], self._known),
            definition=self._definition(sources.machine()),
            roleArn=self._role,
        )
        return made["stateMachineArn"]

    def _definition(self, machine: sources.State) -> str:
        definition = json.dumps(machine)
        for name, value in sources.substitutions().items():
            definition = definition.replace(f"${{{name}}}", resolved(value, self._known))
        return definition

    def _with_stand_ins(self, scenario: Scenario) -> sources.State:
        machine = sources.machine()
        for state, what in scenario.stand_ins.items():
            task = sources.tasks(machine)[state]
            task["Parameters"] = {
                "FunctionName": self._function_arn(self._stand_in),
                "Payload": {
                    "what": what,
                    "function": sources.module_of(task),
                    "arm": scenario.arm,
                    "memory": str(self._folder / f"{scenario.run_id}-{state}"),
                    "event": task["Parameters"]["Payload"],
                },
            }
        return machine

    # ------------------------------------------------------------ runs
    def run(self, scenario: Scenario) -> "Run":
        """Make a run and wait for its end."""
        return self.start(scenario).end()

    def start(self, scenario: Scenario) -> "Run":
        """Start a run."""
        self.prepare(scenario)
        return self.execute(scenario.run_id, REQUEST | scenario.request)

    def prepare(self, scenario: Scenario) -> None:
        """Have the state machine as the scenario has it, and the world ready for its run."""
        self.cloud.client("stepfunctions").update_state_machine(
            stateMachineArn=self._machine, definition=self._definition(self._with_stand_ins(scenario))
        )
        self.world.runs[scenario.run_id] = RunInTheWorld(scenario.is_silent)

    def execute(self, name: str, given: Mapping[str, Any], *, run_id: str = "") -> "Run":
        """Start an execution of the state machine as it is; `run_id`, if the run is not called by its name."""
        started = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=self._machine, name=name, input=json.dumps(given)
        )
        return Run(self, run_id or name, started["executionArn"])

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """Call a function by hand, and return its answer."""
        answer = self.cloud.client("lambda").invoke(
            FunctionName=f"{self.name}-{function}", Payload=json.dumps(event).encode()
        )
        payload = answer["Payload"].read().decode()
        assert "FunctionError" not in answer, payload
        return json.loads(payload)


@dataclass(frozen=True, slots=True)
class Run:
    """A run and what it leaves behind."""

    stack: Stack
    run_id: str
    arn: str

    @property
    def execution(self) -> dict[str, Any]:
        """The execution, as Step Functions describes it now."""
        return self.stack.cloud.client("stepfunctions").describe_execution(executionArn=self.arn)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The events of the execution so far."""
        history = self.stack.cloud.client("stepfunctions").get_execution_history
        return history(executionArn=self.arn, maxResults=1_000)["events"]

    def end(self) -> "Run":
        """Wait for the end of the execution."""
        await_that(lambda: self.execution["status"] != "RUNNING", f"the end of {self.arn}")
        return self

    def until(self, state: str) -> "Run":
        """Wait until the execution has come to a state outside of the Map."""
        await_that(
            lambda: any(event.get("stateEnteredEventDetails", {}).get("name") == state for event in self.history),
            f"state {state} of {self.arn}",
        )
        return self

    def abort(self) -> "Run":
        """Stop the execution where it is."""
        self.stack.cloud.client("stepfunctions").stop_execution(executionArn=self.arn)
        return self.end()

    @property
    def in_the_world(self) -> RunInTheWorld:
        """The run, as the world sees it."""
        return self.stack.world.runs[self.run_id]

    @property
    def orders(self) -> list[str]:
        """What the instances were ordered to do."""
        return self.in_the_world.orders

    @property
    def traffic(self) -> Traffic | None:
        """What the sender has sent."""
        return self.in_the_world.traffic

    def flow_logs(self) -> list[dict[str, Any]]:
        """The flow logs that carry the run's tag."""
        tag = {"Name": f"tag:{RUN_TAG}", "Values": [self.run_id]}
        return self.stack.cloud.client("ec2").describe_flow_logs(Filters=[tag])["FlowLogs"]

    def control(self, name: str) -> dict[str, Any] | None:
        """A control document of the run, if it was written."""
        found = self._objects(self.stack.work_bucket, f"control/{self.run_id}/", f"/{name}.json")
        return json.loads(*found.values()) if found else None

    def tables(self) -> dict[str, bytes]:
        """Every object of the run in the results bucket."""
        return self._objects(self.stack.results_bucket, "", f"/{self.run_id}.")

    def rows(self, table: str, arm: str = "") -> list[dict[str, Any]]:
        """A table's rows of this run, or of one of its arms."""
        name = f"{self.run_id}.{arm}" if arm else self.run_id
        found = self._objects(self.stack.results_bucket, f"{table}/region={REGION}/", f"/{name}.")
        return [row for body in found.values() for row in pq.ParquetFile(io.BytesIO(body)).read().to_pylist()]

    def report(self, folder: str) -> dict[str, str]:
        """What is published of the campaign that has this folder, by the names of the files."""
        found = self._objects(self.stack.results_bucket, f"report/{folder}/", "/")
        return {key.rpartition("/")[2]: body.decode() for key, body in found.items()}

    def log_groups(self) -> list[str]:
        """The log groups of the run's arms."""
        prefix = f"/flowlag/{self.stack.name}/{self.run_id}/"
        groups = self.stack.cloud.client("logs").describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
        return [each["logGroupName"] for each in groups]

    def events(self, arm: str) -> list[dict[str, Any]]:
        """What the flow log of an arm delivered to CloudWatch Logs, the first delivery first."""
        group = f"/flowlag/{self.stack.name}/{self.run_id}/{arm}"
        pages = self.stack.cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        return sorted((event for page in pages for event in page["events"]), key=lambda each: each["ingestionTime"])

    def files(self) -> dict[str, dict[str, Any]]:
        """The files that flow logs of the run delivered to S3, as S3 lists them, by key."""
        return {each["Key"]: each for each in self._listed(self.stack.work_bucket, f"deliveries/{self.run_id}/")}

    def _objects(self, bucket: str, prefix: str, part: str) -> dict[str, bytes]:
        """The objects under a prefix that have `part` in their keys."""
        get = self.stack.cloud.client("s3").get_object
        keys = [each["Key"] for each in self._listed(bucket, prefix)]
        return {key: get(Bucket=bucket, Key=key)["Body"].read() for key in keys if part in key}

    def _listed(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self.stack.cloud.client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Contents", [])


def await_that(is_so: Callable[[], bool], what: str) -> None:
    """Wait until something is so, and fail if it never is."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain for {what}"
        time.sleep(LOOK_EVERY_S)


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def stand_in() -> dict[str, Any]:
    """The properties of the function that stands in for any other: it has all that the others have."""
    functions = [
        sources.functions()[sources.function_of(task)] for task in sources.tasks(sources.machine()).values()
    ]
    variables = {name: value for each in functions for name, value in each["Environment"]["Variables"].items()}
    layers = {layer["Ref"]: layer for each in functions for layer in each["Layers"]}
    return {
        **functions[0],
        "Handler": "stand_ins.handler",
        "Timeout": max(each["Timeout"] for each in functions),
        "Environment": {"Variables": variables},
        "Layers": [*layers.values()],
    }


def _code() -> bytes:
    """What every function gets as its code: all functions, the packages of our layers, the stand-ins.

    An empty scapy stands for the real one, which each start and stop of traffic would zip: that takes seconds.
    """
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.write(Path(__file__).with_name("stand_ins.py"), "stand_ins.py")
        for path in sources.FUNCTIONS.rglob("*.*"):
            if path.suffix in {".py", ".toml"}:
                archive.write(path, path.relative_to(sources.FUNCTIONS))
        for package in PACKAGES:
            root = ROOT / package
            for path in root.rglob("*.*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    archive.write(path, path.relative_to(root.parent))
        archive.writestr("scapy/__init__.py", "")
    return sink.getvalue()
