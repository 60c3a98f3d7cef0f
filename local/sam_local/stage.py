"""The stage: the embedded AWS with the stack on it, which is what the events refer to and the functions work on."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from flowlag.errors import FlowlagError
from local.cloud.deploy import STACK, deploy
from local.cloud.region import Region
from local.cloud.settings import ENDPOINT_TAG
from local.sam_local.events import REGION, RUN, Here
from local.sam_local.sam import ENDPOINT, VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

PRESET: Final = "nitro-60"
TIME_SCALE: Final = 60
"""The flow-log service delivers within seconds."""

_PATIENCE_S: Final = 60.0
_POLL_S: Final = 0.2
_ANSWERS: Final = "flowlag-sam-local-answers"


class NothingDelivered(FlowlagError):
    """The flow-log service has delivered nothing to a new flow log."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A function, as it was deployed.

    Attributes:
        name: its physical name.
        role: the ARN of its role.
        variables: its environment.
    """

    name: str
    role: str
    variables: Mapping[str, str]


class Stage:
    """The embedded AWS with the stack on it, for as long as it is entered.

    Attributes:
        region: the embedded AWS.
        outputs: the stack's.
        functions: what was deployed, by logical id.
    """

    region: Region
    outputs: Mapping[str, str]
    functions: Mapping[str, Deployed]

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self.region = undo.enter_context(Region(region=REGION, preset=PRESET, time_scale=TIME_SCALE))
            self.outputs = deploy(self.region)
            self.functions = {
                each["LogicalResourceId"]: self._deployed(each["PhysicalResourceId"])
                for each in self._resources()
                if each["ResourceType"] == "AWS::Lambda::Function"
            }
            location = {"LocationConstraint": REGION}
            self.region.client("s3").create_bucket(Bucket=_ANSWERS, CreateBucketConfiguration=location)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def port(self) -> int:
        """Where the embedded AWS answers, on 127.0.0.1."""
        return int(self.region.endpoint.rpartition(":")[2])

    def write_variables(self, gateway: str) -> None:
        """Write what `--env-vars` takes: each function's own variables, and AWS as `gateway` leads to it."""
        endpoint = f"http://{gateway}:{self.port}"
        variables = {name: {**each.variables, ENDPOINT: endpoint} for name, each in self.functions.items()}
        VARIABLES.write_text(json.dumps(variables, indent=1))

    def credentials(self, function: str) -> dict[str, str]:
        """The rights of a function, as the environment has them."""
        sts = self.region.client("sts")
        assumed = sts.assume_role(RoleArn=self.functions[function].role, RoleSessionName=function)["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": assumed["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": assumed["SecretAccessKey"],
            "AWS_SESSION_TOKEN": assumed["SessionToken"],
            **self.place(),
        }

    def root(self) -> dict[str, str]:
        """All rights, as the environment has them."""
        return {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", **self.place()}

    def place(self) -> dict[str, str]:
        """Where the SAM CLI itself finds this AWS."""
        return {"AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION, ENDPOINT: self.region.endpoint}

    def here(self, gateway: str) -> Here:
        """What the events' run has here instead."""
        plan = self.control("plan") or {"interface_id": ""}
        url: str = self.region.client("s3").generate_presigned_url(
            "put_object", Params={"Bucket": _ANSWERS, "Key": RUN}, ExpiresIn=3_600
        )
        account: str = self.region.client("sts").get_caller_identity()["Account"]
        return Here(
            account, plan["interface_id"], url.replace(self.region.endpoint, f"http://{gateway}:{self.port}")
        )

    def invoke_at(self, endpoint: str) -> None:
        """Have this AWS invoke every function of the stack at another Lambda endpoint from now on."""
        client = self.region.client("lambda")
        for each in self.functions.values():
            arn = client.get_function_configuration(FunctionName=each.name)["FunctionArn"]
            client.tag_resource(Resource=arn, Tags={ENDPOINT_TAG: endpoint})

    # ------------------------------------------------------------ what the run left
    def control(self, name: str) -> dict[str, Any] | None:
        """A document of the run in the work bucket; None where there is none."""
        found = self.objects(self.outputs["WorkBucketName"], f"control/{RUN}/{name}.json")
        return json.loads(next(iter(found.values()))) if found else None

    def answered(self) -> dict[str, Any] | None:
        """What EmptyStack answered CloudFormation."""
        found = self.objects(_ANSWERS, "")
        return json.loads(found[RUN]) if found else None

    def objects(self, bucket: str, prefix: str) -> dict[str, bytes]:
        """Objects by their keys."""
        s3 = self.region.client("s3")
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return {each["Key"]: s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in listed}

    def await_first_delivery(self, log_group: str) -> None:
        """Wait until the flow-log service has delivered to a log group.

        Raises:
            NothingDelivered: it did not, in a minute.
        """
        logs = self.region.client("logs")
        deadline = time.monotonic() + _PATIENCE_S
        while not logs.filter_log_events(logGroupName=log_group, limit=1)["events"]:
            if time.monotonic() > deadline:
                raise NothingDelivered(f"nothing came to {log_group} within {_PATIENCE_S:.0f} s")
            time.sleep(_POLL_S)

    def _resources(self) -> list[dict[str, Any]]:
        resources: list[dict[str, Any]] = self.region.client("cloudformation").describe_stack_resources(
            StackName=STACK
        )["StackResources"]
        return resources

    def _deployed(self, name: str) -> Deployed:
        found = self.region.client("lambda").get_function_configuration(FunctionName=name)
        return Deployed(found["FunctionName"], found["Role"], found.get("Environment", {}).get("Variables", {}))
