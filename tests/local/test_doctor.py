"""`flowlag doctor` on the embedded AWS: what is broken is named, what is not is not, and nothing is changed."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from botocore.client import BaseClient
from click.testing import CliRunner

from flowlag_aws import clock
from local.cli import main
from local.cloud.region import Region
from local.doctor import CHECKS
from local.doctor.account import Account, WriteRefused
from tests.faults.runs import Run, Stack, wait_until

pytestmark = pytest.mark.slow

GROUP = "/flowlag/flowlag/watched/cloudwatch-600"
ARMS = [{"destination": "cloud-watch-logs"}, {"destination": "s3"}]
FOREVER_S = 3_600
READ_ONLY = {
    "DescribeAvailabilityZones", "DescribeExecution", "DescribeFlowLogs", "DescribeInstanceInformation",
    "DescribeInstanceTypes", "DescribeInstances", "DescribeLogGroups", "DescribeRegions", "DescribeSecurityGroups",
    "DescribeStacks", "DescribeSubscriptionFilters", "FilterLogEvents", "GetBucketPolicy", "GetFunctionConcurrency",
    "GetFunctionConfiguration", "GetMetricStatistics", "GetObject", "GetPolicy", "GetRole", "ListCommands",
    "ListExecutions", "ListObjectsV2", "ListStackResources", "SimulatePrincipalPolicy",
}  # fmt: skip
"""Calls that AWS's documentation says to change nothing; what the doctor may call."""


# ---------------------------------------------------------------- the set-up
@pytest.fixture(scope="module")
def stack(region: Region) -> Stack:
    """The unchanged template; no run of it was started yet."""
    return Stack(region)


@pytest.fixture(scope="module")
def watched(stack: Stack) -> Run:
    """A run in its traffic window, which does not end; both its arms have had their first delivery."""
    failed = stack.start("failed", experiment="none-of-this-name")
    run = stack.start("watched", arms=ARMS, traffic_s=FOREVER_S, first_delivery_timeout_s=FOREVER_S)
    states = stack.client("stepfunctions")
    wait_until(lambda: states.describe_execution(executionArn=failed.execution)["status"] == "FAILED")
    return run.until("TrafficWindow")


class Told(NamedTuple):
    """What the doctor said: its exit code, its verdict, and each check."""

    exit_code: int
    verdict: str
    checks: dict[str, dict[str, str]]

    def with_verdict(self, verdict: str) -> set[str]:
        return {name for name, each in self.checks.items() if each["verdict"] == verdict}


@dataclass
class Doctor:
    """The command, as a person calls it who has configured the AWS CLI for the embedded AWS."""

    region: Region
    credentials: dict[str, str]

    def called(self, *arguments: str) -> Any:
        """Call it, and hold every call that it makes against those that only read."""
        call, made = BaseClient._make_api_call, set()

        def noted(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
            made.add(operation)
            return call(client, operation, parameters)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(BaseClient, "_make_api_call", noted)
            result = CliRunner(env=self._environment()).invoke(main, ["doctor", *arguments])
        assert made <= READ_ONLY
        assert made
        return result

    def __call__(self, *arguments: str) -> Told:
        result = self.called("--json", *arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        answer = json.loads(result.stdout)
        return Told(result.exit_code, answer["verdict"], {each.pop("check"): each for each in answer["checks"]})

    def _environment(self) -> dict[str, str | None]:
        return {
            "AWS_ENDPOINT_URL": self.region.endpoint,
            "AWS_DEFAULT_REGION": self.region.name,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SESSION_TOKEN": None,
            "NO_PROXY": "127.0.0.1",
            **self.credentials,
        }


@pytest.fixture
def doctor(region: Region) -> Doctor:
    return Doctor(region, {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"})


# ---------------------------------------------------------------- nothing is broken
@pytest.mark.usefixtures("stack")
def test_before_the_first_run_it_looks_at_what_stands(doctor: Doctor) -> None:
    told = doctor()

    assert (told.exit_code, told.verdict) == (0, "ok")
    assert told.with_verdict("does not apply") == {"run", "flow logs", "log groups", "records"}
    assert "start-execution" in told.checks["run"]["to_do"]
    assert list(told.checks) == [check.name for check in CHECKS]


@pytest.mark.usefixtures("watched")
def test_a_healthy_run_is_well(doctor: Doctor) -> None:
    told = doctor()

    assert (told.exit_code, told.verdict) == (0, "ok")
    assert told.with_verdict("ok") == set(told.checks)
    assert "watched" in told.checks["run"]["looked_at"]
    assert "cloudwatch-600 and s3-text-600" in told.checks["records"]["found"]
    hints = {name: each["to_do"] for name, each in told.checks.items() if each["to_do"]}
    assert hints.keys() == {"hypervisor"}
    assert "needs a sender on Xen" in hints["hypervisor"]


@pytest.mark.usefixtures("watched")
def test_a_pipe_gets_a_line_for_each_check(doctor: Doctor) -> None:
    header, *lines = doctor.called().stdout.splitlines()

    assert header.split("\t") == ["check", "looked_at", "verdict", "found", "to_do"]
    assert [line.split("\t")[0] for line in lines] == [check.name for check in CHECKS]
    assert {line.split("\t")[2] for line in lines} == {"ok"}


# ---------------------------------------------------------------- something is
class Bench:
    """The stack on the bench: what breaks it, each thing mended in the end."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = stack.client
        pages = stack.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName="flowlag")
        self.ids = {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
        }

    # ------------------------------------------------------------ the role
    @contextmanager
    def role_without_put_log_events(self) -> Iterator[None]:
        iam, name = self.client("iam"), {"RoleName": self.ids["FlowLogDeliveryRole"], "PolicyName": "deliver"}
        policy = iam.get_role_policy(**name)["PolicyDocument"]
        less = json.loads(json.dumps(policy))
        less["Statement"][0]["Action"].remove("logs:PutLogEvents")
        iam.put_role_policy(**name, PolicyDocument=json.dumps(less))
        yield
        iam.put_role_policy(**name, PolicyDocument=json.dumps(policy))

    def trusting_another_service(self) -> AbstractContextManager[None]:
        return self._trusting(lambda statement: statement.update(Principal={"Service": "ec2.amazonaws.com"}))

    def trusting_another_account(self) -> AbstractContextManager[None]:
        return self._trusting(
            lambda statement: statement["Condition"]["StringEquals"].update({"aws:SourceAccount": "111122223333"})
        )

    @contextmanager
    def _trusting(self, change: Callable[[dict[str, Any]], object]) -> Iterator[None]:
        iam, name = self.client("iam"), {"RoleName": self.ids["FlowLogDeliveryRole"]}
        trust = iam.get_role(**name)["Role"]["AssumeRolePolicyDocument"]
        other = json.loads(json.dumps(trust))
        change(other["Statement"][0])
        iam.update_assume_role_policy(**name, PolicyDocument=json.dumps(other))
        yield
        iam.update_assume_role_policy(**name, PolicyDocument=json.dumps(trust))

    # ------------------------------------------------------------ the destinations
    @contextmanager
    def log_group_deleted(self) -> Iterator[None]:
        logs = self.client("logs")
        logs.delete_log_group(logGroupName=GROUP)
        yield
        logs.create_log_group(logGroupName=GROUP)
        logs.put_retention_policy(logGroupName=GROUP, retentionInDays=14)
        self._subscribe()

    @contextmanager
    def bucket_policy_without_its_statement(self) -> Iterator[None]:
        s3, bucket = self.client("s3"), self.stack.work
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        less = {**policy, "Statement": [each for each in policy["Statement"] if each["Sid"] != "FlowLogsDeliver"]}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(less))
        yield
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))

    @contextmanager
    def no_results_bucket(self) -> Iterator[None]:
        s3, bucket = self.client("s3"), self.stack.outputs["ResultsBucketName"]
        for key in self.stack.keys(bucket):
            s3.delete_object(Bucket=bucket, Key=key)
        s3.delete_bucket(Bucket=bucket)
        yield
        s3.create_bucket(Bucket=bucket)

    # ------------------------------------------------------------ traffic
    @contextmanager
    def sender_stopped(self) -> Iterator[None]:
        self.client("ec2").stop_instances(InstanceIds=[self.ids["SenderInstance"]])
        yield
        self.client("ec2").start_instances(InstanceIds=[self.ids["SenderInstance"]])

    def no_ingress(self) -> AbstractContextManager[None]:
        return self._without_rules("TargetSecurityGroup", "ingress", "IpPermissions")

    def no_egress(self) -> AbstractContextManager[None]:
        return self._without_rules("SenderSecurityGroup", "egress", "IpPermissionsEgress")

    @contextmanager
    def _without_rules(self, group: str, direction: str, name: str) -> Iterator[None]:
        ec2, group_id = self.client("ec2"), self.ids[group]
        (described,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
        rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group_id]}])
        probes = [
            each["SecurityGroupRuleId"]
            for each in rules["SecurityGroupRules"]
            if each["IsEgress"] == (direction == "egress") and each["FromPort"] == 7777
        ]
        getattr(ec2, f"revoke_security_group_{direction}")(GroupId=group_id, SecurityGroupRuleIds=probes)
        yield
        permissions = [each for each in described[name] if each["FromPort"] == 7777]
        getattr(ec2, f"authorize_security_group_{direction}")(GroupId=group_id, IpPermissions=permissions)

    # ------------------------------------------------------------ flow logs
    def flow_log_of_rejected_traffic(self) -> AbstractContextManager[None]:
        return self._another_flow_log(TrafficType="REJECT")

    def flow_log_without_source_ports(self) -> AbstractContextManager[None]:
        return self._another_flow_log(LogFormat="${version} ${interface-id} ${dstport} ${start} ${end}")

    @contextmanager
    def flow_log_deleted(self) -> Iterator[None]:
        described = self._flow_log()
        self.client("ec2").delete_flow_logs(FlowLogIds=[described["FlowLogId"]])
        yield
        self._create_flow_log(described)

    @contextmanager
    def _another_flow_log(self, **changes: str) -> Iterator[None]:
        with self.flow_log_deleted():
            other = self._create_flow_log(self._described | changes)
            yield
            self.client("ec2").delete_flow_logs(FlowLogIds=[other])

    def _flow_log(self) -> dict[str, Any]:
        (self._described,) = self.client("ec2").describe_flow_logs(
            Filters=[{"Name": "log-group-name", "Values": [GROUP]}]
        )["FlowLogs"]
        return self._described

    def _create_flow_log(self, like: dict[str, Any]) -> str:
        same = ("TrafficType", "LogFormat", "LogGroupName", "DeliverLogsPermissionArn", "MaxAggregationInterval")
        answer = self.client("ec2").create_flow_logs(
            ResourceType="NetworkInterface",
            ResourceIds=[like["ResourceId"]],
            TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": like["Tags"]}],
            **{name: like[name] for name in same},
        )
        return answer["FlowLogIds"][0]

    # ------------------------------------------------------------ the subscription
    @contextmanager
    def no_subscription(self) -> Iterator[None]:
        self.client("logs").delete_subscription_filter(logGroupName=GROUP, filterName="flowlag")
        yield
        self._subscribe()

    def _subscribe(self) -> None:
        name = {"FunctionName": self.ids["DecodeRecordsFunction"]}
        self.client("logs").put_subscription_filter(
            logGroupName=GROUP,
            filterName="flowlag",
            filterPattern="",
            destinationArn=self.client("lambda").get_function_configuration(**name)["FunctionArn"],
        )

    @contextmanager
    def decoder_disabled(self) -> Iterator[None]:
        functions, name = self.client("lambda"), {"FunctionName": self.ids["DecodeRecordsFunction"]}
        functions.put_function_concurrency(**name, ReservedConcurrentExecutions=0)
        yield
        functions.delete_function_concurrency(**name)

    @contextmanager
    def decoder_without_permission(self) -> Iterator[None]:
        functions, name = self.client("lambda"), {"FunctionName": self.ids["DecodeRecordsFunction"]}
        (statement,) = json.loads(functions.get_policy(**name)["Policy"])["Statement"]
        functions.remove_permission(**name, StatementId=statement["Sid"])
        yield
        functions.add_permission(
            **name,
            StatementId=statement["Sid"],
            Action="lambda:InvokeFunction",
            Principal="logs.amazonaws.com",
            SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
            SourceAccount=statement["Condition"]["StringEquals"]["AWS:SourceAccount"],
        )


@pytest.fixture(scope="module")
def bench(stack: Stack, watched: Run) -> Bench:
    assert watched  # it is under way
    return Bench(stack)


BROKEN = [
    (
        Bench.role_without_put_log_events,
        {"delivery role": "may not do logs:PutLogEvents on the log group of cloud"},
    ),
    (Bench.trusting_another_service, {"trust policy": "no statement of it is for vpc-flow-logs.amazonaws.com"}),
    (Bench.trusting_another_account, {"trust policy": "only where aws:SourceAccount StringEquals 111122223333"}),
    (
        Bench.log_group_deleted,
        {
            "log groups": "of cloudwatch-600 was deleted",
            "flow logs": "cloudwatch-600 fails to deliver (Access error)",
        },
    ),
    (
        Bench.bucket_policy_without_its_statement,
        {"bucket policy": "to do s3:PutObject", "flow logs": "s3-text-600 fails to deliver (Access error)"},
    ),
    (Bench.no_results_bucket, {"results bucket": "There is no bucket"}),
    (Bench.sender_stopped, {"traffic": "is stopped"}),
    (Bench.no_ingress, {"security groups": "The target does not let the sender's probes in on port 7777"}),
    (Bench.no_egress, {"security groups": "The sender may not send to 10.99.0.20 port 7777"}),
    (Bench.flow_log_of_rejected_traffic, {"flow logs": "cloudwatch-600 sees rejected traffic only"}),
    (Bench.flow_log_without_source_ports, {"flow logs": "without account-id, srcaddr, dstaddr, srcport,"}),
    (Bench.flow_log_deleted, {"flow logs": "cloudwatch-600 was deleted while the run is under way"}),
    (Bench.no_subscription, {"subscription": "cloudwatch-600 has no subscription filter"}),
    (Bench.decoder_disabled, {"subscription": "reserved concurrency is 0"}),
    (Bench.decoder_without_permission, {"subscription": "no statement of it is for logs.amazonaws.com"}),
]


@pytest.mark.parametrize(("brokenly", "found"), BROKEN, ids=[each.__name__ for each, _ in BROKEN])
def test_what_is_broken_is_named_and_nothing_else(
    doctor: Doctor, bench: Bench, brokenly: Callable[[Bench], AbstractContextManager[None]], found: dict[str, str]
) -> None:
    with brokenly(bench):
        told = doctor()

    assert told.with_verdict("broken") == found.keys()
    for check, words in found.items():
        assert words in told.checks[check]["found"]
        assert told.checks[check]["to_do"]
    assert (told.exit_code, told.verdict) == (1, "broken")
    assert told.with_verdict("cannot tell") == set()


def test_after_all_that_it_is_well_again(doctor: Doctor, bench: Bench) -> None:
    """So each was mended, and what was named came from it alone."""
    assert bench
    assert doctor().with_verdict("broken") == set()


@pytest.mark.usefixtures("watched")
def test_a_run_that_failed_is_told_by_its_cause(doctor: Doctor) -> None:
    told = doctor("--run", "failed")

    assert told.with_verdict("broken") == {"run"}
    assert "none-of-this-name" in told.checks["run"]["found"]


@pytest.mark.usefixtures("watched")
def test_what_has_not_come_for_hours_never_will(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "time_ns", lambda: time.time_ns() + 7_200 * 10**9)

    told = doctor()

    assert told.with_verdict("broken") == {"traffic", "records"}
    assert "has uploaded nothing since" in told.checks["traffic"]["found"]
    assert "Nothing has arrived in cloudwatch-600 and s3-text-600 in the last" in told.checks["records"]["found"]


# ---------------------------------------------------------------- it cannot look
@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--stack", "none"), "there is no stack 'none' in us-east-1: name another --stack or --region"),
        (("--region", "eu-west-1"), "there is one in us-east-1, so give --region us-east-1"),
        (("--run", "none"), "the stack 'flowlag' has no run 'none': its newest executions are"),
    ],
)
def test_what_is_not_there_is_one_sentence(doctor: Doctor, arguments: tuple[str, ...], sentence: str) -> None:
    result = doctor.called(*arguments)

    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""


@pytest.mark.usefixtures("watched")
def test_who_may_not_look_is_told_so_and_not_that_all_is_well(region: Region) -> None:
    iam = region.client("iam")
    root = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "cloudformation:*", "Resource": "*"}
    role = iam.create_role(RoleName="little", AssumeRolePolicyDocument=json.dumps({"Statement": [root]}))["Role"]
    iam.put_role_policy(RoleName="little", PolicyName="may", PolicyDocument=json.dumps({"Statement": [may]}))
    keys = region.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="little")["Credentials"]

    told = Doctor(
        region,
        {
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
        },
    )()

    assert (told.exit_code, told.verdict) == (2, "cannot tell")
    assert {"run", "traffic", "delivery role", "bucket policy", "results bucket"} <= told.with_verdict(
        "cannot tell"
    )
    assert "AWS refused ListExecutions (AccessDenied" in told.checks["run"]["found"]
    assert "ReadOnlyAccess" in told.checks["run"]["to_do"]


# ---------------------------------------------------------------- the last thing: it cannot be mended
def test_a_sender_that_ended_early_is_missed(doctor: Doctor, bench: Bench) -> None:
    ssm, sender = bench.client("ssm"), bench.ids["SenderInstance"]
    (started,) = [
        each
        for each in ssm.list_commands(InstanceId=sender)["Commands"]
        if each["Parameters"]["Action"] == ["start-sending"] and each["Parameters"]["RunId"] == ["watched"]
    ]
    ssm.send_command(
        DocumentName=started["DocumentName"],
        InstanceIds=[sender],
        Parameters={**started["Parameters"], "Action": ["stop-sending"]},
    )
    ledger = "control/watched/ledger.csv"
    wait_until(lambda: ledger in bench.stack.keys(bench.stack.work, ledger))
    wait_until(lambda: bench.stack.get(bench.stack.work, ledger).endswith(b"end\n"))

    told = doctor()

    assert told.with_verdict("broken") == {"traffic"}
    assert "ended, although the run has not asked it to" in told.checks["traffic"]["found"]


# ---------------------------------------------------------------- it only reads
def test_a_call_that_writes_is_refused_before_it_is_made(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in doctor._environment().items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)

    with pytest.raises(WriteRefused, match="StopInstances"):
        Account(None).ec2.stop_instances(InstanceIds=["i-0"])
