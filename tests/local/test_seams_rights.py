"""What least-privilege policies allow and deny on the embedded AWS."""

import json

import pytest

from tests.local.stacks import (
    ACCOUNT,
    REGION,
    assumed,
    create,
    create_instances,
    described_instance,
    error_of,
    may,
    role,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def instances(region):
    return create_instances(region)


class TestRights:
    """What least-privilege policies allow and deny."""

    ARN = f"arn:aws:ec2:{REGION}:{ACCOUNT}"

    @pytest.fixture
    def flow_log(self, region, instances):
        described = described_instance(region, instances["Sender"])
        return {
            "ResourceType": "NetworkInterface",
            "ResourceIds": [described["NetworkInterfaces"][0]["NetworkInterfaceId"]],
            "TrafficType": "ALL",
            "LogGroupName": "/rights",
            "DeliverLogsPermissionArn": f"arn:aws:iam::{ACCOUNT}:role/delivery",
            "TagSpecifications": [
                {"ResourceType": "vpc-flow-log", "Tags": [{"Key": "flowlag:run-id", "Value": "r"}]}
            ],
        }

    @pytest.fixture
    def ec2_with(self, region, request):
        def ec2_with(*statements):
            name = f"rights-{request.node.name.partition('[')[0][-40:].replace('_', '-')}-{len(statements)}"
            arn = {"Arn": {"Fn::GetAtt": ["Role", "Arn"]}}
            created = create(region, name, {"Role": role("lambda.amazonaws.com", *statements)}, arn)
            return assumed(region, created["Arn"], "ec2")

        return ec2_with

    def needed(self):
        return {
            "create": may("ec2:CreateFlowLogs", [f"{self.ARN}:vpc-flow-log/*", f"{self.ARN}:network-interface/*"]),
            "tag": may(
                "ec2:CreateTags",
                f"{self.ARN}:vpc-flow-log/*",
                StringEquals={"ec2:CreateAction": "CreateFlowLogs"},
            ),
            "pass": may(
                "iam:PassRole",
                f"arn:aws:iam::{ACCOUNT}:role/delivery",
                StringEquals={"iam:PassedToService": "vpc-flow-logs.amazonaws.com"},
            ),
        }

    def test_a_flow_log_can_be_created_and_deleted_with_no_more_than_is_needed(self, ec2_with, flow_log):
        ours = may(
            "ec2:DeleteFlowLogs", f"{self.ARN}:vpc-flow-log/*", Null={"aws:ResourceTag/flowlag:run-id": "false"}
        )
        ec2 = ec2_with(*self.needed().values(), ours)
        (flow_log_id,) = ec2.create_flow_logs(**flow_log)["FlowLogIds"]
        assert ec2.delete_flow_logs(FlowLogIds=[flow_log_id])["Unsuccessful"] == []

    @pytest.mark.parametrize("missing", ["create", "tag", "pass"])
    def test_nothing_of_what_is_needed_may_be_missing(self, region, flow_log, missing):
        needed = self.needed()
        needed.pop(missing)
        name = f"missing-{missing}"
        created = create(
            region,
            name,
            {"Role": role("lambda.amazonaws.com", *needed.values())},
            {"Arn": {"Fn::GetAtt": ["Role", "Arn"]}},
        )
        ec2 = assumed(region, created["Arn"], "ec2")
        assert error_of(ec2.create_flow_logs, **flow_log) == "UnauthorizedOperation"

    def test_somebody_elses_flow_log_is_not_deleted(self, region, ec2_with, flow_log):
        untagged = {name: value for name, value in flow_log.items() if name != "TagSpecifications"}
        (flow_log_id,) = region.client("ec2").create_flow_logs(**untagged)["FlowLogIds"]
        ours = may(
            "ec2:DeleteFlowLogs", f"{self.ARN}:vpc-flow-log/*", Null={"aws:ResourceTag/flowlag:run-id": "false"}
        )
        assert error_of(ec2_with(ours).delete_flow_logs, FlowLogIds=[flow_log_id]) == "UnauthorizedOperation"
        region.client("ec2").delete_flow_logs(FlowLogIds=[flow_log_id])

    def test_a_command_needs_its_document_and_its_instance(self, region, instances):
        document = f"arn:aws:ssm:{REGION}:{ACCOUNT}:document/{instances['Document']}"
        sender = f"{self.ARN}:instance/{instances['Sender']}"
        arns = create(
            region,
            "senders",
            {
                "Whole": role("lambda.amazonaws.com", may("ssm:SendCommand", [document, sender])),
                "Half": role("lambda.amazonaws.com", may("ssm:SendCommand", [document])),
            },
            {name: {"Fn::GetAtt": [name, "Arn"]} for name in ("Whole", "Half")},
        )
        command = {
            "DocumentName": instances["Document"],
            "InstanceIds": [instances["Sender"]],
            "Parameters": {"What": ["say"]},
        }
        assert assumed(region, arns["Whole"], "ssm").send_command(**command)["Command"]["CommandId"]
        assert error_of(assumed(region, arns["Half"], "ssm").send_command, **command) == "AccessDeniedException"

    def test_a_delivery_role_may_ask_for_whom_it_is_assumed(self, region):
        def trusting(account):
            trusted = role("vpc-flow-logs.amazonaws.com")
            (statement,) = trusted["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            statement["Condition"] = {
                "StringEquals": {"aws:SourceAccount": account},
                "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:{REGION}:{account}:vpc-flow-log/*"},
            }
            return trusted

        arns = create(
            region,
            "delivery",
            {"Ours": trusting(ACCOUNT), "Theirs": trusting("111111111111")},
            {name: {"Fn::GetAtt": [name, "Arn"]} for name in ("Ours", "Theirs")},
        )
        assume = region.client("sts").assume_role
        assert assume(RoleArn=arns["Ours"], RoleSessionName="vpc-flow-logs")["Credentials"]
        assert error_of(assume, RoleArn=arns["Theirs"], RoleSessionName="vpc-flow-logs") == "AccessDenied"

    def test_a_bucket_that_demands_tls_can_be_used(self, region):
        s3 = region.client("s3")
        s3.create_bucket(Bucket="tls-only")
        deny = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["arn:aws:s3:::tls-only", "arn:aws:s3:::tls-only/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        policy = {"Version": "2012-10-17", "Statement": [deny]}
        s3.put_bucket_policy(Bucket="tls-only", Policy=json.dumps(policy))
        arns = create(
            region,
            "tls",
            {"Role": role("lambda.amazonaws.com", may("s3:PutObject", "arn:aws:s3:::tls-only/*"))},
            {"Arn": {"Fn::GetAtt": ["Role", "Arn"]}},
        )
        put = assumed(region, arns["Arn"], "s3").put_object
        assert put(Bucket="tls-only", Key="k", Body=b"v")["ResponseMetadata"]["HTTPStatusCode"] == 200
