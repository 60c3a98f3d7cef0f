"""What is looked at: the stack, and one run of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from flowlag.plan import CLOUDWATCH, S3, Arm, RunPlan
from flowlag_aws.clock import micros, now
from flowlag_aws.executions import RUNNING, failure_in_words
from flowlag_aws.log_groups import log_group_name
from flowlag_aws.store import CONTROL, delivery_prefix
from local.doctor.account import NO_BUCKET, NotLooked, code_of, in_words, is_one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowlag.instants import Micros
    from local.doctor.account import Account

_ANY: Final = "any"
_NO_OBJECT: Final = frozenset({"NoSuchKey", NO_BUCKET})
_NO_EXECUTION: Final = frozenset({"ExecutionDoesNotExist", "InvalidArn"})
_NEWEST: Final = 100
_OUTPUTS: Final = frozenset({"StateMachineArn", "WorkBucketName", "ResultsBucketName"})
_RESOURCES: Final = frozenset({"DecodeRecordsFunction", "FlowLogDeliveryRole", "SenderInstance", "TrafficDocument"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack of flowlag.

    Attributes:
        resources: logical id to physical id.
    """

    name: str
    region: str
    partition: str
    account_id: str
    status: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    resources: Mapping[str, str]

    @property
    def state_machine_arn(self) -> str:
        """What runs are executions of."""
        return self.outputs["StateMachineArn"]

    @property
    def work_bucket(self) -> str:
        """What flow logs deliver to, and the instances upload to."""
        return self.outputs["WorkBucketName"]

    @property
    def results_bucket(self) -> str:
        """Where results go, perhaps in another region."""
        return self.outputs["ResultsBucketName"]

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run.

    Attributes:
        status: of its execution.
        failure: why it ended, in its own words; empty where it did not fail.
        plan: None where PlanRun did not get that far.
        files: the names of its control files, each with when it was last written.
    """

    run_id: str
    execution: str
    status: str
    began_at: Micros
    failure: str
    plan: RunPlan | None
    files: Mapping[str, Micros]

    @property
    def is_over(self) -> bool:
        """Whether its execution has ended."""
        return self.status != RUNNING

    @property
    def is_sending(self) -> bool:
        """Whether probes should be leaving: the traffic was ordered, and nobody has asked it to stop."""
        return not self.is_over and "bundle.json" in self.files and "stop.json" not in self.files


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A stack, the run of it that is looked at, and when.

    Attributes:
        run: None where there was none yet, or where AWS would not tell.
        refusal: why AWS would not tell; empty where it did.
    """

    stack: Stack
    run: Run | None
    refusal: str
    at: Micros

    @property
    def plan(self) -> RunPlan | None:
        """The run's plan, if it has one."""
        return self.run.plan if self.run else None

    @property
    def of_run(self) -> str:
        """Whose things are looked at, in words."""
        return f"of run {self.run.run_id}" if self.run and self.run.plan else "of any run"

    @property
    def log_groups(self) -> Mapping[str, str]:
        """Arm to log group. Where there is no plan, of an arm that any run might have."""
        prefix = f"/flowlag/{self.stack.name}"
        return {arm.name: log_group_name(prefix, self._run_id, arm.name) for arm in self._arms(CLOUDWATCH)}

    @property
    def folders(self) -> Mapping[str, str]:
        """Arm to the folder of the work bucket that its flow log delivers to; else as `log_groups`."""
        return {arm.name: delivery_prefix(self._run_id, arm.name) for arm in self._arms(S3)}

    @property
    def hive_folders(self) -> frozenset[str]:
        """The arms that lay their keys out for Hive."""
        return frozenset(arm.name for arm in self._arms(S3) if arm.hive_compatible)

    @property
    def _run_id(self) -> str:
        return self.plan.run_id if self.plan else _ANY

    def _arms(self, destination: str) -> list[Arm]:
        any_arms = (Arm(), Arm(destination=S3), Arm(destination=S3, hive_compatible=True))
        arms = self.plan.arms if self.plan else any_arms
        return [arm for arm in arms if arm.destination == destination]


# ---------------------------------------------------------------- the stack
def find_stack(account: Account, name: str) -> Stack:
    """Describe a stack.

    Raises:
        NotLooked: there is none of this name here, it is not flowlag's, or AWS does not answer.
    """
    here = f"in {account.region}"
    try:
        (described,) = account.cloudformation.describe_stacks(StackName=name)["Stacks"]
        resources = _resources(account, name)
    except (BotoCoreError, ClientError) as reason:
        if code_of(reason) == "ValidationError":
            raise NotLooked(f"there is no stack '{name}' {here}: {_where_to_look(account, name)}") from None
        raise NotLooked(f"the stack '{name}' {here} cannot be looked at: {in_words(reason)}") from None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    if not (outputs.keys() >= _OUTPUTS and resources.keys() >= _RESOURCES):
        status = described["StackStatus"]
        raise NotLooked(
            f"the stack '{name}' {here} is {status} and lacks what a stack of flowlag has: name another "
            "--stack, or deploy it"
        )
    _, partition, _, _, account_id, _ = described["StackId"].split(":", 5)
    return Stack(
        name=name,
        region=account.region,
        partition=partition,
        account_id=account_id,
        status=described["StackStatus"],
        outputs=outputs,
        parameters={each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])},
        resources=resources,
    )


def _resources(account: Account, name: str) -> dict[str, str]:
    pages = account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    return {
        each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
        for page in pages
        for each in page["StackResourceSummaries"]
    }


def _where_to_look(account: Account, name: str) -> str:
    others = account.other_regions_with(name)
    if others:
        return f"there is one in {', '.join(others)}, so give --region {others[0]}"
    return "name another --stack or --region, or deploy it"


# ---------------------------------------------------------------- the run
def find_run(account: Account, stack: Stack, run_id: str | None) -> Run | None:
    """Describe a run: the one that is named, else the one under way, else the newest; None where there is none.

    Raises:
        NotLooked: there is no run of that name.
        ClientError: AWS refuses to tell.
    """
    execution = _execution_of(account, stack, run_id) if run_id else _newest(account, stack)
    if execution is None:
        return None
    try:
        described = account.states.describe_execution(executionArn=execution)
    except ClientError as reason:
        if is_one_of(reason, _NO_EXECUTION):
            raise NotLooked(f"the stack '{stack.name}' has no run '{run_id}': {_known(account, stack)}") from None
        raise
    run_id = _run_id(described["name"], described.get("input", "{}"))
    plan = document(account, stack, run_id, "plan.json")
    return Run(
        run_id=run_id,
        execution=execution,
        status=described["status"],
        began_at=micros(described["startDate"]),
        failure=failure_in_words(described.get("error", ""), described.get("cause", "")),
        plan=RunPlan.of_json(plan) if plan and plan["execution"] == execution else None,
        files=_files(account, stack, run_id),
    )


def _execution_of(account: Account, stack: Stack, run_id: str) -> str:
    """A run that a schedule has started has another name than its execution; its plan knows that."""
    plan = document(account, stack, run_id, "plan.json")
    machine = stack.state_machine_arn.replace(":stateMachine:", ":execution:", 1)
    return str(plan["execution"]) if plan else f"{machine}:{run_id}"


def _newest(account: Account, stack: Stack) -> str | None:
    """The newest execution among those that run, else among all of the last ones."""
    executions = account.states.list_executions(stateMachineArn=stack.state_machine_arn, maxResults=_NEWEST)
    found = executions["executions"]
    newest = max(found, key=lambda each: (each["status"] == RUNNING, each["startDate"]), default=None)
    return newest["executionArn"] if newest else None


def _known(account: Account, stack: Stack) -> str:
    executions = account.states.list_executions(stateMachineArn=stack.state_machine_arn, maxResults=3)
    names = ", ".join(each["name"] for each in executions["executions"])
    return f"its newest executions are {names}" if names else "no run was ever started"


def _run_id(name: str, asked: str) -> str:
    """What the state machine calls the run: by the time for which it was scheduled, else as its execution."""
    request = json.loads(asked)
    if "scheduled_at" not in request:
        return name
    return f"{request['run_prefix']}-{re.sub('[-:]', '', request['scheduled_at'])}"


def document(account: Account, stack: Stack, run_id: str, name: str) -> dict[str, Any] | None:
    """A control document of a run; None where it was not written."""
    try:
        answer = account.s3.get_object(Bucket=stack.work_bucket, Key=f"{CONTROL}{run_id}/{name}")
    except ClientError as reason:
        if is_one_of(reason, _NO_OBJECT):
            return None
        raise
    written: dict[str, Any] = json.loads(answer["Body"].read())
    return written


def _files(account: Account, stack: Stack, run_id: str) -> dict[str, Micros]:
    prefix = f"{CONTROL}{run_id}/"
    try:
        found = account.s3.list_objects_v2(Bucket=stack.work_bucket, Prefix=prefix).get("Contents", [])
    except ClientError as reason:
        if is_one_of(reason, _NO_OBJECT):
            return {}
        raise
    return {each["Key"].removeprefix(prefix): micros(each["LastModified"]) for each in found}


def scope_of(account: Account, stack: Stack, run_id: str | None) -> Scope:
    """A stack with the run that is to be looked at, and the time.

    Raises:
        NotLooked: there is no run of that name.
    """
    try:
        return Scope(stack=stack, run=find_run(account, stack, run_id), refusal="", at=now())
    except (BotoCoreError, ClientError) as reason:
        return Scope(stack=stack, run=None, refusal=in_words(reason), at=now())
