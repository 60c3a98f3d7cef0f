"""The other tests call functions under their own policies; these show that the policies are felt."""

import pytest

from flowlag_aws import clients
from tests.functions.stack import BUCKET, Cloud, Guard, NotAllowed, Template, allows


@pytest.mark.parametrize(
    ("function", "key", "is_allowed"),
    [
        ("PlanRunFunction", "control/run/plan.json", True),
        ("PlanRunFunction", "control/run/stop.json", False),
        ("DecodeRecordsFunction", "landing/run/arm/digest.parquet", True),
        ("DecodeRecordsFunction", "control/run/plan.json", False),
        ("ReconcileRunFunction", "observations/region=r/dt=d/x.parquet", True),
        ("ReconcileRunFunction", "runs/region=r/dt=d/x.parquet", False),
        ("SummarizeRunFunction", "observations/region=r/dt=d/x.parquet", False),
        ("DeleteFlowLogsFunction", "control/run/plan.json", False),
    ],
)
def test_a_function_writes_what_is_its_own_and_no_more(
    cloud: Cloud, guard: Guard, function: str, key: str, *, is_allowed: bool
) -> None:
    with guard.watching(function):
        if is_allowed:
            cloud.store.put(key, b"")
        else:
            with pytest.raises(NotAllowed, match=f"{function} may not s3:PutObject on .*{key}"):
                cloud.store.put(key, b"")


def test_a_call_that_nobody_thought_of_is_not_allowed(cloud: Cloud, guard: Guard) -> None:
    with guard.watching("DecodeRecordsFunction"), pytest.raises(NotAllowed, match="IAM asks of DeleteBucket"):
        clients.s3().delete_bucket(Bucket=cloud.store.bucket)


def test_the_delivery_role_may_only_be_passed_to_the_flow_log_service() -> None:
    template = Template()
    statements = template.statements("CreateFlowLogFunction")
    role = template.values["FlowLogDeliveryRole.Arn"]
    for service, is_allowed in (("vpc-flow-logs.amazonaws.com", True), ("ec2.amazonaws.com", False)):
        need = ("iam:PassRole", role, {"iam:PassedToService": service})
        assert any(allows(statement, need) for statement in statements) is is_allowed


def test_a_flow_log_without_our_tag_is_never_deleted() -> None:
    statements = Template().statements("DeleteFlowLogsFunction")
    flow_log = "arn:aws:ec2:eu-west-1:123456789012:vpc-flow-log/fl-1"
    for context, is_allowed in (({"aws:ResourceTag/flowlag:run-id": "any"}, True), ({}, False)):
        need = ("ec2:DeleteFlowLogs", flow_log, context)
        assert any(allows(statement, need) for statement in statements) is is_allowed


@pytest.mark.parametrize("function", ["StartTrafficFunction", "StopTrafficFunction"])
def test_no_other_document_and_no_other_instance_is_ordered_about(function: str) -> None:
    statements = Template().statements(function)
    arns = ("ssm:eu-west-1:123456789012:document/AWS-RunShellScript", "ec2:eu-west-1:123456789012:instance/i-0")
    for arn in arns:
        assert not any(allows(statement, ("ssm:SendCommand", f"arn:aws:{arn}", {})) for statement in statements)


def test_nobody_may_write_to_another_bucket() -> None:
    template = Template()
    need = ("s3:PutObject", f"arn:aws:s3:::{BUCKET}-2/control/run/plan.json", {})
    assert not any(allows(statement, need) for statement in template.statements("PlanRunFunction"))
