"""The other tests call functions under their own policies; these show that the policies are felt."""

import pytest

from flowlag_aws import clients
from flowlag_aws.store import Store
from tests.functions.iam import FLOW_LOG, PASSED_TO_FLOW_LOGS, NotAllowed, allows, needs
from tests.functions.run import MACHINE, STACK, Json, execution
from tests.functions.stack import Cloud, Guard
from tests.functions.template import RESULTS_BUCKET, SECOND_SENDER, WORK_BUCKET, Template

SATELLITE = {"HomeRegion": "eu-central-1", "HomeBucket": "results-at-home"}


def may(function: str, operation: str, params: Json, **parameters: str) -> bool:
    """Whether a function of a stack with these parameters may do this."""
    statements = Template(**parameters).statements(function)
    return all(any(allows(statement, need) for statement in statements) for need in needs(operation, params))


# ---------------------------------------------------------------- objects
@pytest.mark.parametrize(
    ("function", "key", "is_allowed"),
    [
        ("PlanRunFunction", "control/run/plan.json", True),
        ("PlanRunFunction", "control/claims/i-0.json", True),
        ("PlanRunFunction", "control/run/stop.json", False),
        ("CreateFlowLogFunction", "deliveries/run/arm/AWSLogs/x.log.gz", False),
        ("DecodeRecordsFunction", "landing/run/arm/digest.parquet", True),
        ("DecodeRecordsFunction", "control/run/plan.json", False),
        ("ReconcileRunFunction", "control/run/closed.json", True),
        ("ReconcileRunFunction", "control/run/plan.json", False),
        ("ReconcileRunFunction", "deliveries/run/arm/AWSLogs/x.log.gz", False),
        ("DeleteFlowLogsFunction", "control/run/plan.json", False),
        ("EmptyStackFunction", "control/run/plan.json", False),
    ],
)
def test_a_function_writes_what_is_its_own_into_the_work_bucket_and_no_more(
    cloud: Cloud, guard: Guard, function: str, key: str, *, is_allowed: bool
) -> None:
    put(cloud.store, guard, function, key, is_allowed=is_allowed)


@pytest.mark.parametrize("parameters", [{}, SATELLITE], ids=["home", "satellite"])
@pytest.mark.parametrize(
    ("function", "key", "is_allowed"),
    [
        ("DecodeRecordsFunction", "quarantine/region=r/dt=d/x.parquet", True),
        ("DecodeRecordsFunction", "observations/region=r/dt=d/x.parquet", False),
        ("ReconcileRunFunction", "observations/region=r/dt=d/x.parquet", True),
        ("ReconcileRunFunction", "runs/region=r/dt=d/x.parquet", False),
        ("SummarizeRunFunction", "runs/region=r/dt=d/x.parquet", True),
        ("SummarizeRunFunction", "profiles/region=r/dt=d/x.json", True),
        ("SummarizeRunFunction", "observations/region=r/dt=d/x.parquet", False),
        ("SummarizeRunFunction", "report/default/index.html", False),
        ("PublishReportFunction", "report/default/index.html", True),
        ("PublishReportFunction", "profiles/region=r/dt=d/x.json", False),
        ("PublishReportFunction", "runs/region=r/dt=d/x.parquet", False),
        ("SweepFunction", "runs/region=r/dt=d/x.parquet", True),
        ("SweepFunction", "observations/region=r/dt=d/x.parquet", False),
        ("PlanRunFunction", "runs/region=r/dt=d/x.parquet", False),
        ("EmptyStackFunction", "runs/region=r/dt=d/x.parquet", False),
    ],
)
def test_a_function_writes_what_is_its_own_into_the_results_at_home_and_no_more(
    cloud: Cloud, guard: Guard, function: str, key: str, *, is_allowed: bool
) -> None:
    put(cloud.results, guard, function, key, is_allowed=is_allowed)


def put(store: Store, guard: Guard, function: str, key: str, *, is_allowed: bool) -> None:
    with guard.watching(function):
        if is_allowed:
            store.put(key, b"")
        else:
            with pytest.raises(NotAllowed, match=f"{function} may not s3:PutObject on .*{key}"):
                store.put(key, b"")


@pytest.mark.parametrize("function", Template().functions)
def test_only_what_removes_remains_deletes_and_never_a_result(function: str) -> None:
    def deletes(bucket: str, key: str) -> bool:
        return may(function, "DeleteObjects", {"Bucket": bucket, "Delete": {"Objects": [{"Key": key}]}})

    assert deletes(WORK_BUCKET, "deliveries/run/arm/x.log.gz") is (
        function in ("SweepFunction", "EmptyStackFunction")
    )
    assert deletes(WORK_BUCKET, "control/run/plan.json") is (function == "EmptyStackFunction")
    assert not deletes(RESULTS_BUCKET, "observations/region=r/dt=d/x.parquet")


@pytest.mark.parametrize("function", Template().functions)
def test_nobody_may_write_to_another_bucket(function: str) -> None:
    for key in ("control/run/plan.json", "runs/x.parquet"):
        for bucket in (WORK_BUCKET, RESULTS_BUCKET):
            assert not may(function, "PutObject", {"Bucket": f"{bucket}-2", "Key": key})
        assert not may(function, "PutObject", {"Bucket": RESULTS_BUCKET, "Key": key}, **SATELLITE)


# ---------------------------------------------------------------- flow logs, log groups, executions
def test_a_call_that_nobody_thought_of_is_not_allowed(cloud: Cloud, guard: Guard) -> None:
    with guard.watching("DecodeRecordsFunction"), pytest.raises(NotAllowed, match="IAM asks of DeleteBucket"):
        clients.s3().delete_bucket(Bucket=cloud.store.bucket)


def test_the_delivery_role_may_only_be_passed_to_the_flow_log_service() -> None:
    template = Template()
    statements = template.statements("CreateFlowLogFunction")
    role = template.values["FlowLogDeliveryRole.Arn"]
    for passed, is_allowed in ((PASSED_TO_FLOW_LOGS, True), ({"iam:PassedToService": "ec2.amazonaws.com"}, False)):
        assert any(allows(statement, ("iam:PassRole", role, passed)) for statement in statements) is is_allowed


@pytest.mark.parametrize(
    "function", ["CreateFlowLogFunction", "DeleteFlowLogsFunction", "SweepFunction", "EmptyStackFunction"]
)
def test_a_flow_log_without_our_tag_is_never_deleted(function: str) -> None:
    statements = Template().statements(function)
    for context, is_allowed in (({"aws:ResourceTag/flowlag:run-id": "any"}, True), ({}, False)):
        need = ("ec2:DeleteFlowLogs", FLOW_LOG, context)
        assert any(allows(statement, need) for statement in statements) is is_allowed


@pytest.mark.parametrize("function", ["SweepFunction", "EmptyStackFunction"])
def test_no_log_group_of_another_stack_is_deleted(function: str) -> None:
    for group, is_ours in ((f"/flowlag/{STACK}/run/arm", True), (f"/flowlag/{STACK}-2/run/arm", False)):
        assert may(function, "DeleteLogGroup", {"logGroupName": group}) is is_ours


def test_no_execution_of_another_state_machine_is_asked_for_or_ended() -> None:
    theirs = execution("run").replace("-benchmark", "-payroll")
    for function, operation in (
        ("PlanRunFunction", "DescribeExecution"),
        ("SweepFunction", "DescribeExecution"),
        ("EmptyStackFunction", "StopExecution"),
    ):
        assert may(function, operation, {"executionArn": execution("run")})
        assert not may(function, operation, {"executionArn": theirs})
    assert may("EmptyStackFunction", "ListExecutions", {"stateMachineArn": MACHINE})
    assert not may("EmptyStackFunction", "ListExecutions", {"stateMachineArn": f"{MACHINE}-2"})
    assert not may("SweepFunction", "StopExecution", {"executionArn": execution("run")})


# ---------------------------------------------------------------- instances
@pytest.mark.parametrize("function", ["StartTrafficFunction", "StopTrafficFunction", "SweepFunction"])
def test_no_other_document_and_no_other_instance_is_ordered_about(function: str) -> None:
    template = Template()
    ours = {"DocumentName": template.values["TrafficDocument"], "InstanceIds": [template.values["SenderInstance"]]}
    assert may(function, "SendCommand", ours)
    assert not may(function, "SendCommand", ours | {"DocumentName": "AWS-RunShellScript"})
    assert not may(function, "SendCommand", ours | {"InstanceIds": ["i-0"]})


@pytest.mark.parametrize("kind", ["", "t2.micro"], ids=["one sender", "two senders"])
@pytest.mark.parametrize("address", ["", "10.1.2.3"], ids=["target", "own target"])
def test_instances_are_ordered_about_where_the_stack_has_them(kind: str, address: str) -> None:
    parameters = {"SecondSenderInstanceType": kind, "TargetAddress": address}
    values = Template(**parameters).values
    for instance, is_there in ((SECOND_SENDER, bool(kind)), (values["TargetInstance"], not address)):
        order = {"DocumentName": values["TrafficDocument"], "InstanceIds": [instance]}
        assert may("StartTrafficFunction", "SendCommand", order, **parameters) is is_there
