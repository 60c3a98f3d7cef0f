"""What the doctor makes of facts: above all `not yet` against `never`, and what other accounts may say."""

import os
import socket
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner
from rich.console import Console

from flowlag.plan import NITRO, S3, XEN, Arm, RunPlan, RunRequest, Site, plan_run
from local.cli import main
from local.doctor import Check
from local.doctor.checks.arrival import records, subscription
from local.doctor.checks.delivery import bucket_policy, delivery_role, flow_logs, log_groups, trust
from local.doctor.checks.sending import hypervisor, permits, security_groups, traffic
from local.doctor.checks.standing import region, results_bucket, run, stack
from local.doctor.facts.arrival import Arrived, Decoder, Filter, Subscription
from local.doctor.facts.delivery import Bucket, FlowLog, LogGroup, Role, Trust
from local.doctor.facts.sending import Doors, Machine, Order, Rule, Traffic, Upload
from local.doctor.findings import Diagnosis, Finding, Judged, Verdict, broken, ok, unknown
from local.doctor.scope import Run, Scope, Stack
from local.render_doctor import diagnosed, summary

SECOND = 1_000_000
AT = round(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * SECOND
ACCOUNT = "111122223333"
ROLE = "flowlag-FlowLogDeliveryRole-1"
EXECUTION = f"arn:aws:states:eu-west-1:{ACCOUNT}:execution:flowlag-benchmark:run-1"
CLOUDWATCH, FILES = Arm(), Arm(destination=S3)
CREATED = {f"{arm.name}.creation.json": AT for arm in (CLOUDWATCH, FILES)}
FILES_OF_A_RUN = {"plan.json": AT, "bundle.json": AT, **CREATED}

STACK = Stack(
    name="flowlag",
    region="eu-west-1",
    partition="aws",
    account_id=ACCOUNT,
    status="CREATE_COMPLETE",
    outputs={"StateMachineArn": "", "WorkBucketName": "work", "ResultsBucketName": "results"},
    parameters={"ProbePort": "7777"},
    resources={"FlowLogDeliveryRole": ROLE},
)


def planned(*arms: Arm, on: str = XEN) -> RunPlan:
    site = Site(
        source="aws",
        region="eu-west-1",
        az_id="euw1-az1",
        instance_type="t2.micro",
        hypervisor=on,
        sender_instance_id="i-a",
        interface_id="eni-a",
        subnet_id="subnet-a",
        vpc_id="vpc-a",
        sender_address="10.99.0.10",
        target_instance_id="i-b",
        target_address="10.99.0.20",
        target_port=7777,
    )
    request = RunRequest(arms=arms or (CLOUDWATCH, FILES))
    return plan_run("run-1", request, site, execution=EXECUTION, now=AT, code_version="1")


PLAN = planned()


def scope_of(*, plan: RunPlan | None = PLAN, stack: Stack = STACK, refusal: str = "", **of_run: Any) -> Scope:
    """A run in its traffic window, but for what is given."""
    usual: dict[str, Any] = {
        "run_id": "run-1",
        "execution": EXECUTION,
        "status": "RUNNING",
        "began_at": AT,
        "failure": "",
        "files": FILES_OF_A_RUN,
    }
    return Scope(stack=stack, run=Run(plan=plan, **{**usual, **of_run}), refusal=refusal, at=AT)


WATCHED = scope_of()
OVER = scope_of(status="SUCCEEDED", files=FILES_OF_A_RUN | {"stop.json": AT})
NO_RUN = replace(WATCHED, run=None)


def flow_log(*, age_s: float = 0, **changed: Any) -> FlowLog:
    usual: dict[str, Any] = {
        "flow_log_id": "fl-1",
        "destination": "/flowlag/flowlag/run-1/cloudwatch-600",
        "status": "ACTIVE",
        "delivery": "SUCCESS",
        "error": "",
        "traffic_type": "ALL",
        "log_format": PLAN.log_format,
        "role_arn": f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
    }
    return FlowLog(created_at=AT - round(age_s * SECOND), **{**usual, **changed})


# ---------------------------------------------------------------- not yet, or never
class TestRecords:
    """Episode 18's Xen publishes every 600 s: a record may take 671 s, and twice that is never."""

    def judged(self, *, age_s: float, probes: int = 0, others: int = 0, plan: RunPlan = PLAN) -> Judged:
        return records(
            scope_of(plan=plan),
            {CLOUDWATCH.name: Arrived(flow_log=flow_log(age_s=age_s), probes=probes, others=others)},
        )

    @pytest.mark.parametrize("age_s", [0, 43, 700, 1_340])
    def test_a_young_flow_log_is_waited_for(self, age_s: float) -> None:
        judged = self.judged(age_s=age_s)

        assert judged.verdict is Verdict.OK
        assert "cloudwatch-600" in judged.found
        assert judged.to_do.endswith("the first records usually take up to 11m 12s.")

    def test_it_says_until_when(self) -> None:
        assert "Wait until 2026-11-23T12:10:28Z" in self.judged(age_s=43).to_do
        assert "43s after" in self.judged(age_s=43).found

    def test_an_old_one_that_has_delivered_nothing_is_broken(self) -> None:
        judged = self.judged(age_s=1_343)

        assert judged == broken(
            "Nothing has arrived in cloudwatch-600 in the last 22m 23s.",
            "If every check above is ok, the service itself is late: look at the AWS Health Dashboard.",
        )

    def test_records_without_a_probe_are_told_from_none(self) -> None:
        judged = self.judged(age_s=1_343, others=22)

        assert "but 22 other records have" in judged.found
        assert "probes are missing" in judged.to_do

    def test_nitro_is_waited_for_less_long(self) -> None:
        nitro = planned(on=NITRO)

        assert self.judged(age_s=270, plan=nitro).verdict is Verdict.OK
        assert self.judged(age_s=290, plan=nitro).verdict is Verdict.BROKEN

    def test_files_are_waited_for_longer(self) -> None:
        facts = {FILES.name: Arrived(flow_log=flow_log(age_s=1_343), probes=None, others=0)}

        assert records(WATCHED, facts).verdict is Verdict.OK
        assert "up to 13m 1s" in records(WATCHED, facts).to_do

    def test_one_arm_that_never_delivers_is_not_hidden_by_another(self) -> None:
        late = Arrived(flow_log=flow_log(age_s=3_000), probes=0, others=0)
        good = Arrived(flow_log=flow_log(age_s=3_000), probes=None, others=3)

        judged = records(WATCHED, {CLOUDWATCH.name: late, FILES.name: good})

        assert judged.verdict is Verdict.BROKEN
        assert "in cloudwatch-600 in" in judged.found

    def test_a_run_that_is_over_must_have_delivered_something(self) -> None:
        nothing = Arrived(flow_log=None, probes=0, others=0)

        assert "Nothing has arrived in cloudwatch-600 at all." in records(OVER, {CLOUDWATCH.name: nothing}).found
        assert records(WATCHED, {CLOUDWATCH.name: nothing}).verdict is Verdict.NOT_APPLICABLE

    def test_a_log_group_that_is_gone_says_nothing_of_records(self) -> None:
        swept = Arrived(flow_log=None, probes=0, others=0, is_there=False)

        assert records(OVER, {CLOUDWATCH.name: swept}).verdict is Verdict.NOT_APPLICABLE


# ---------------------------------------------------------------- the stack, the region, the run
@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("UPDATE_COMPLETE", Verdict.OK),
        ("UPDATE_ROLLBACK_COMPLETE", Verdict.OK),
        ("UPDATE_IN_PROGRESS", Verdict.OK),
        ("ROLLBACK_COMPLETE", Verdict.BROKEN),
        ("UPDATE_ROLLBACK_FAILED", Verdict.BROKEN),
    ],
)
def test_a_stack_is_judged_by_its_status(status: str, verdict: Verdict) -> None:
    assert stack(scope_of(stack=replace(STACK, status=status)), None).verdict is verdict


def test_a_region_that_does_not_answer_is_named() -> None:
    judged = region(WATCHED, {"Systems Manager": "AWS did not answer: no route"})

    assert judged.verdict is Verdict.BROKEN
    assert judged.found == "Not everything can be reached from here: Systems Manager: AWS did not answer: no route."
    assert "eu-west-1" in judged.to_do


def test_runs_that_aws_does_not_tell_of_are_not_taken_for_none() -> None:
    refused = replace(NO_RUN, refusal="AWS refused ListExecutions (AccessDenied)")

    assert run(refused, None).verdict is Verdict.UNKNOWN
    assert run(NO_RUN, None).verdict is Verdict.NOT_APPLICABLE
    assert run(OVER, None).verdict is Verdict.OK


def test_a_check_that_aws_does_not_answer_cannot_tell() -> None:
    def look(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://ssm.eu-west-1.amazonaws.com")

    finding = Check("traffic", lambda _: "the instances", look, lambda *_: ok("")).finding(None, WATCHED)

    assert finding.judged.verdict is Verdict.UNKNOWN
    assert "ssm.eu-west-1" in finding.judged.found


def test_there_must_be_a_bucket_for_results() -> None:
    assert results_bucket(WATCHED, Bucket(exists=False)).verdict is Verdict.BROKEN


# ---------------------------------------------------------------- traffic
MACHINES = [
    Machine(role=role, instance_id=each, state="running", is_online=True, kind="t2.micro", address=address)
    for role, each, address in (("sender", "i-a", "10.99.0.10"), ("target", "i-b", "10.99.0.20"))
]
SENT = Order("start-sending", AT - 60 * SECOND, "Success")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (Traffic(machines=[]), "no instances"),
        (Traffic(machines=[Machine(role="sender", instance_id="i-a")]), "does not exist any more"),
        (Traffic(machines=[replace(MACHINES[1], state="stopping")]), "target i-b is stopping"),
        (Traffic(machines=[replace(MACHINES[0], is_online=False)]), "not online"),
        (Traffic(machines=MACHINES, order=replace(SENT, status="TimedOut")), "start-sending ended as TimedOut"),
        (
            Traffic(machines=MACHINES, order=replace(SENT, at=AT - 181 * SECOND)),
            "nothing since 2026-11-23T11:56:59Z",
        ),
        (Traffic(machines=MACHINES, order=SENT, upload=Upload(AT, is_closed=True)), "has ended"),
        (Traffic(machines=MACHINES, order=replace(SENT, action="stop-sending")), "has ended"),
    ],
)
def test_traffic_that_fails_is_named(facts: Traffic, words: str) -> None:
    judged = traffic(WATCHED, facts)

    assert judged.verdict is Verdict.BROKEN
    assert words in judged.found


@pytest.mark.parametrize(
    ("scope", "facts"),
    [
        (WATCHED, Traffic(machines=MACHINES)),
        (WATCHED, Traffic(machines=MACHINES, order=replace(SENT, status="InProgress", at=AT - 900 * SECOND))),
        (WATCHED, Traffic(machines=MACHINES, order=SENT)),
        (WATCHED, Traffic(machines=MACHINES, order=replace(SENT, at=0), upload=Upload(AT, is_closed=False))),
        (OVER, Traffic(machines=MACHINES, order=SENT, upload=Upload(AT, is_closed=True))),
        (NO_RUN, Traffic(machines=MACHINES)),
    ],
)
def test_traffic_that_need_not_be_there_is_not_missed(scope: Scope, facts: Traffic) -> None:
    assert traffic(scope, facts).verdict is Verdict.OK


# ---------------------------------------------------------------- security groups
SENDERS, TARGETS = frozenset({"sg-a"}), frozenset({"sg-b"})


def tcp(*peers: str, low: int = 7777, high: int = 7777, protocol: str = "tcp") -> Rule:
    return Rule(protocol, low, high, frozenset(peers))


@pytest.mark.parametrize(
    ("rule", "may"),
    [
        (tcp("10.99.0.0/24"), True),
        (tcp("sg-b"), True),
        (tcp("0.0.0.0/0", low=0, high=65_535, protocol="-1"), True),
        (tcp("0.0.0.0/0", low=1_024, high=65_535, protocol="6"), True),
        (tcp("10.99.1.0/24"), False),
        (tcp("sg-c"), False),
        (tcp("0.0.0.0/0", low=443, high=443), False),
        (tcp("0.0.0.0/0", protocol="udp"), False),
        (tcp("pl-1"), None),
    ],
)
def test_a_rule_lets_a_probe_through_or_not(rule: Rule, may: bool | None) -> None:  # noqa: FBT001 - a table's column
    assert permits([rule], 7777, "10.99.0.20", TARGETS) is may


@pytest.mark.parametrize(
    ("egress", "ingress", "verdict"),
    [
        ("10.99.0.0/24", "sg-a", Verdict.OK),
        ("10.99.0.0/24", "sg-c", Verdict.BROKEN),
        ("10.98.0.0/24", "sg-a", Verdict.BROKEN),
        ("pl-1", "sg-a", Verdict.UNKNOWN),
        ("10.99.0.0/24", "pl-1", Verdict.UNKNOWN),
        ("pl-1", "sg-c", Verdict.BROKEN),
    ],
)
def test_both_ends_have_to_let_it_through(egress: str, ingress: str, verdict: Verdict) -> None:
    doors = Doors(
        sender=replace(MACHINES[0], groups=SENDERS),
        target=replace(MACHINES[1], groups=TARGETS),
        address="10.99.0.20",
        port=7777,
        egress=[tcp(egress)],
        ingress=[tcp(ingress)],
    )

    assert security_groups(WATCHED, doors).verdict is verdict


def test_a_target_of_ones_own_cannot_be_seen() -> None:
    sender = replace(MACHINES[0], groups=SENDERS)
    doors = Doors(sender=sender, target=None, address="10.1.0.9", port=7777, egress=[tcp("10.1.0.9/32")])

    assert "your own target" in security_groups(WATCHED, doors).found
    assert security_groups(WATCHED, replace(doors, egress=[])).verdict is Verdict.BROKEN


def test_without_a_sender_there_are_no_groups() -> None:
    gone = Machine(role="sender", instance_id="i-a")
    doors = Doors(sender=gone, target=None, address="10.1.0.9", port=7777)

    assert security_groups(WATCHED, doors).verdict is Verdict.NOT_APPLICABLE


# ---------------------------------------------------------------- the hypervisor
def test_only_on_nitro_600_s_are_not_what_they_seem() -> None:
    assert hypervisor(WATCHED, XEN).to_do == ""
    assert "cloudwatch-600 and s3-text-600" in hypervisor(WATCHED, NITRO).to_do
    assert hypervisor(scope_of(plan=planned(Arm(aggregation_interval_s=60))), NITRO).to_do == ""
    assert hypervisor(NO_RUN, None).verdict is Verdict.OK


# ---------------------------------------------------------------- flow logs
def test_flow_logs_are_missed_only_while_they_should_be_there() -> None:
    one = {CLOUDWATCH.name: flow_log()}

    assert "that of s3-text-600 was deleted" in flow_logs(WATCHED, one).found
    assert flow_logs(scope_of(files={"plan.json": AT}), {}).to_do.startswith("Look again")
    assert flow_logs(OVER, {}).verdict is Verdict.NOT_APPLICABLE
    assert flow_logs(scope_of(files=OVER.run.files), one).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"status": "INACTIVE"}, "is INACTIVE"),
        ({"delivery": "FAILED", "error": "Rate limited"}, "fails to deliver (Rate limited)"),
        ({"delivery": "FAILED"}, "AWS does not say why"),
        ({"role_arn": f"arn:aws:iam::{ACCOUNT}:role/other"}, "another role"),
        ({"log_format": " ".join(reversed(PLAN.log_format.split()))}, "another format than the decoder reads."),
    ],
)
def test_a_flow_log_that_cannot_serve_is_named(changed: dict[str, str], words: str) -> None:
    scope = scope_of(plan=planned(CLOUDWATCH))

    judged = flow_logs(scope, {CLOUDWATCH.name: flow_log(**changed)})

    assert judged.verdict is Verdict.BROKEN
    assert words in judged.found
    assert flow_logs(scope, {CLOUDWATCH.name: flow_log(traffic_type="ACCEPT")}).verdict is Verdict.OK


# ---------------------------------------------------------------- role and trust
def test_a_role_that_is_gone_is_told_from_one_that_may_not() -> None:
    assert "does not exist" in delivery_role(WATCHED, Role(None)).found
    assert "does not exist" in trust(WATCHED, Trust(None)).found
    assert delivery_role(scope_of(plan=planned(FILES)), Role([])).verdict is Verdict.NOT_APPLICABLE


def trusting(**condition: Any) -> Trust:
    principal = {"Service": "vpc-flow-logs.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition}
    return Trust({"Statement": statement})


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ({}, Verdict.OK),
        ({"StringEquals": {"aws:SourceAccount": [ACCOUNT, "123456789012"]}}, Verdict.OK),
        ({"ArnLike": {"aws:SourceArn": f"arn:aws:ec2:*:{ACCOUNT}:vpc-flow-log/*"}}, Verdict.OK),
        ({"ArnLike": {"aws:SourceArn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc-flow-log/*"}}, Verdict.BROKEN),
        ({"StringNotEquals": {"aws:SourceAccount": ACCOUNT}}, Verdict.BROKEN),
        ({"StringEqualsIfExists": {"AWS:SourceAccount": ACCOUNT}}, Verdict.OK),
        ({"Null": {"aws:SourceArn": "false"}}, Verdict.OK),
        ({"Null": {"aws:SourceArn": True}}, Verdict.BROKEN),
        ({"StringEquals": {"aws:SourceOrgID": "o-1"}}, Verdict.UNKNOWN),
        ({"DateLessThan": {"aws:SourceAccount": "2027-01-01"}}, Verdict.UNKNOWN),
        ({"StringEquals": {"aws:SourceAccount": "${aws:PrincipalAccount}"}}, Verdict.UNKNOWN),
    ],
)
def test_a_trust_policy_s_conditions_are_weighed(condition: dict[str, Any], verdict: Verdict) -> None:
    assert trust(WATCHED, trusting(**condition)).verdict is verdict


# ---------------------------------------------------------------- the destinations
def test_a_log_group_is_missed_only_while_it_should_be_there() -> None:
    assert "deleted" in log_groups(WATCHED, {}).found
    assert log_groups(OVER, {}).verdict is Verdict.NOT_APPLICABLE
    assert log_groups(scope_of(files={}), {}).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("group", "verdict", "to_do"),
    [
        (LogGroup(14, "STANDARD"), Verdict.OK, ""),
        (LogGroup(None, "STANDARD"), Verdict.OK, "for ever"),
        (LogGroup(1, "STANDARD"), Verdict.OK, "less than 14 days"),
        (LogGroup(14, "INFREQUENT_ACCESS"), Verdict.BROKEN, "start another one"),
    ],
)
def test_a_log_group_has_to_be_of_use(group: LogGroup, verdict: Verdict, to_do: str) -> None:
    judged = log_groups(WATCHED, {CLOUDWATCH.name: group})

    assert judged.verdict is verdict
    assert to_do in judged.to_do


def bucket(*more: dict[str, Any], resources: Any = "arn:aws:s3:::work*", **condition: Any) -> Bucket:
    service = {"Service": ["delivery.logs.amazonaws.com"]}
    statement = {"Effect": "Allow", "Principal": service, "Action": ["s3:Put*", "s3:GetBucketAcl"]}
    first = {**statement, "Sid": "Deliver", "Resource": resources, "Condition": condition}
    return Bucket(exists=True, policy={"Statement": [first, *more]})


def deny(**element: Any) -> dict[str, Any]:
    return {"Sid": "No", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", **element}


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (bucket(), Verdict.OK, "may put objects"),
        (bucket(deny(Condition={"Bool": {"aws:SecureTransport": "false"}})), Verdict.OK, ""),
        (bucket(deny(Condition={"Bool": {"aws:SecureTransport": False}})), Verdict.OK, ""),
        (bucket(deny()), Verdict.BROKEN, "its statement 'No' denies s3:"),
        (
            bucket(deny(Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1"}})),
            Verdict.UNKNOWN,
            "aws:SourceVpce",
        ),
        (bucket(deny(NotAction="s3:*", Action=None)), Verdict.OK, ""),
        (bucket(deny(Principal={"AWS": "*"}, NotResource="arn:aws:s3:::work*", Resource=None)), Verdict.OK, ""),
        (bucket(deny(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})), Verdict.OK, ""),
        (bucket(deny(NotPrincipal={"Service": "delivery.logs.amazonaws.com"}, Principal=None)), Verdict.OK, ""),
        (
            bucket(resources="arn:aws:s3:::work"),
            Verdict.BROKEN,
            "does not allow s3:PutObject on arn:aws:s3:::work/",
        ),
        (bucket(StringEquals={"aws:SourceAccount": "1"}), Verdict.BROKEN, f"and here it is {ACCOUNT}"),
        (bucket(StringEquals={"aws:SourceOrgID": "o-1"}), Verdict.UNKNOWN, "a condition on aws:SourceOrgID"),
        (Bucket(exists=True), Verdict.BROKEN, "has no policy"),
        (Bucket(exists=False), Verdict.BROKEN, "There is no bucket work"),
    ],
)
def test_a_bucket_policy_is_weighed(facts: Bucket, verdict: Verdict, words: str) -> None:
    judged = bucket_policy(WATCHED, facts)

    assert judged.verdict is verdict
    assert words in judged.found


def test_aws_s_own_condition_on_the_acl_is_only_a_hint() -> None:
    judged = bucket_policy(WATCHED, bucket(StringEquals={"s3:x-amz-acl": "bucket-owner-full-control"}))

    assert judged.verdict is Verdict.OK
    assert "s3:x-amz-acl" in judged.to_do


def test_a_hive_folder_is_another_one() -> None:
    plain = bucket(resources=["arn:aws:s3:::work", f"arn:aws:s3:::work/deliveries/*/AWSLogs/{ACCOUNT}/*"])

    assert bucket_policy(WATCHED, plain).verdict is Verdict.OK
    hive = scope_of(plan=planned(Arm(destination=S3, hive_compatible=True)))
    assert f"AWSLogs/aws-account-id={ACCOUNT}/" in bucket_policy(hive, plain).found
    assert bucket_policy(NO_RUN, plain).verdict is Verdict.BROKEN  # a run to come may ask for one
    assert bucket_policy(scope_of(plan=planned(CLOUDWATCH)), plain).verdict is Verdict.NOT_APPLICABLE


# ---------------------------------------------------------------- the subscription
ARN = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:decode"
INVOKE = {
    "Effect": "Allow",
    "Principal": {"Service": "logs.amazonaws.com"},
    "Action": "lambda:InvokeFunction",
    "Resource": ARN,
    "Condition": {
        "ArnLike": {"AWS:SourceArn": f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/flowlag/flowlag/*:*"},
        "StringEquals": {"AWS:SourceAccount": ACCOUNT},
    },
}
DECODER = Decoder(arn=ARN, state="Active", reserved=None, policy={"Statement": [INVOKE]}, errors=0)
EVERYTHING = Filter(ARN, "")


@pytest.mark.parametrize(
    ("decoder", "filters", "verdict", "words"),
    [
        (DECODER, [EVERYTHING], Verdict.OK, "may invoke"),
        (replace(DECODER, reserved=5, state="Inactive"), [Filter("other", "x"), EVERYTHING], Verdict.OK, ""),
        (DECODER, [Filter("arn:other", "")], Verdict.BROKEN, "sends its records elsewhere (arn:other)"),
        (DECODER, [Filter(ARN, "[version, dstport=7777]")], Verdict.BROKEN, "matches a pattern"),
        (replace(DECODER, state="Failed"), [EVERYTHING], Verdict.BROKEN, "decode is Failed"),
        (replace(DECODER, policy=None), [EVERYTHING], Verdict.BROKEN, "may not invoke decode"),
        (None, [EVERYTHING], Verdict.BROKEN, "does not exist"),
    ],
)
def test_a_subscription_has_to_reach_the_decoder(
    decoder: Decoder | None, filters: list[Filter], verdict: Verdict, words: str
) -> None:
    judged = subscription(WATCHED, Subscription(decoder=decoder, filters={CLOUDWATCH.name: filters}))

    assert judged.verdict is verdict
    assert words in judged.found


def test_errors_of_the_decoder_are_a_hint() -> None:
    judged = subscription(WATCHED, Subscription(decoder=replace(DECODER, errors=3), filters={}))

    assert judged.verdict is Verdict.OK
    assert "failed 3 times" in judged.to_do


def test_without_arms_in_cloudwatch_nothing_subscribes() -> None:
    facts = Subscription(decoder=None, filters={})

    assert subscription(scope_of(plan=planned(FILES)), facts).verdict is Verdict.NOT_APPLICABLE


# ---------------------------------------------------------------- the answer
def diagnosis_of(*judged: Judged) -> Diagnosis:
    findings = [Finding(f"check {number}", "it", each) for number, each in enumerate(judged)]
    return Diagnosis(stack="flowlag", region="eu-west-1", run_id=None, findings=findings)


@pytest.mark.parametrize(
    ("judged", "exit_code", "sentence"),
    [
        ([ok("a")], 0, "All is well."),
        ([ok("a", "b"), ok("a", "c")], 0, "All is well, with 2 hints."),
        ([ok("a"), unknown("a", "b")], 2, "Nothing is known to be broken, but check 1 could not be told."),
        ([unknown("a", "b"), broken("a", "b")], 1, "Broken: check 1. Begin with the first one."),
    ],
)
def test_the_worst_verdict_is_the_answer(judged: list[Judged], exit_code: int, sentence: str) -> None:
    diagnosis = diagnosis_of(*judged)

    assert diagnosis.exit_code == exit_code
    assert summary(diagnosis) == sentence


def test_people_see_what_was_looked_at_what_was_found_and_what_to_do() -> None:
    console = Console(width=60)
    with console.capture() as captured:
        console.print(diagnosed(diagnosis_of(ok("It is fine."), broken("It is not.", "Mend it."))))

    lines = [" ".join(line.split()) for line in captured.get().splitlines() if line.strip()]
    assert lines[0] == "Broken: check 1. Begin with the first one."
    assert lines[3:] == ["check 0 ok it", "It is fine.", "check 1 broken it", "It is not.", "→ Mend it."]


# ---------------------------------------------------------------- without an account
@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "there are no AWS credentials: configure them as for the AWS CLI"),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, "no region is configured: give --region"),
        (
            {"AWS_PROFILE": "none"},
            "the AWS configuration cannot be used: The config profile (none) could not be found",
        ),
    ],
)
def test_without_a_way_to_aws_it_says_what_is_missing(environment: dict[str, str], sentence: str) -> None:
    nothing = {name: None for name in os.environ if name.startswith("AWS_")}
    configured = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    alone = {"AWS_EC2_METADATA_DISABLED": "true"}

    result = CliRunner(env={**nothing, **configured, **alone, **environment}).invoke(main, ["doctor"])

    assert result.exit_code == 2
    assert result.stderr == f"flowlag: {sentence}\n"


def test_an_account_that_does_not_answer_is_one_sentence() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": closed}

    result = CliRunner(env=environment).invoke(main, ["doctor", "--region", "eu-west-1"])

    assert result.exit_code == 2
    assert result.stderr.startswith(
        "flowlag: the stack 'flowlag' in eu-west-1 cannot be looked at: AWS did not answer"
    )
