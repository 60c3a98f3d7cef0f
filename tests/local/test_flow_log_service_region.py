"""The flow-log service beside MiniStack: what moto does not know of S3 (prefixes, formats, layouts)."""

import gzip
import io
import json
import re
import time

import pyarrow.parquet as pq
import pytest

from flowlag.record import PROBE_FORMAT
from local.cloud.region import Region
from local.flow_logs.faults import Faults
from local.network.virtual import SENDER_ADDRESS

pytestmark = pytest.mark.slow

PATIENCE_S = 60
ACCOUNT = "000000000000"
REGION = "eu-west-1"
SOURCE = {
    "StringEquals": {"aws:SourceAccount": ACCOUNT},
    "ArnLike": {"aws:SourceArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:*"},
}
DAY = r"\d{4}/\d{2}/\d{2}/"
HOUR = r"year=\d{4}/month=\d{2}/day=\d{2}/hour=\d{2}/"
ARMS = {
    "s3-text-600": ({}, f"{ACCOUNT}/vpcflowlogs/{REGION}/{DAY}", "gz"),
    "s3-parquet-60-hive-hourly": (
        {"FileFormat": "parquet", "HiveCompatiblePartitions": True, "PerHourPartition": True},
        f"aws-account-id={ACCOUNT}/aws-service=vpcflowlogs/aws-region={REGION}/{HOUR}",
        "parquet",
    ),
}


def statement(action, resource):
    return {
        "Effect": "Allow",
        "Principal": {"Service": "delivery.logs.amazonaws.com"},
        "Action": action,
        "Resource": {"Fn::Sub": f"${{Bucket.Arn}}{resource}"},
        "Condition": SOURCE,
    }


NETWORK = "10.99.0.0/24"
IMAGE = "{{resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64}}"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [statement("s3:PutObject", "/deliveries/*"), statement("s3:GetBucketAcl", "")],
}
TEMPLATE = {
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": NETWORK}},
        "Subnet": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": NETWORK}},
        "Sender": {
            "Type": "AWS::EC2::Instance",
            "Properties": {
                "ImageId": IMAGE,
                "InstanceType": "t4g.nano",
                "SubnetId": {"Ref": "Subnet"},
                "PrivateIpAddress": SENDER_ADDRESS,
            },
        },
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Policy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": POLICY},
        },
    },
    "Outputs": {"Bucket": {"Value": {"Ref": "Bucket"}}, "Sender": {"Value": {"Ref": "Sender"}}},
}


@pytest.fixture
def region():
    with Region(region=REGION, time_scale=300, faults=Faults(twice=True)) as region:
        yield region


@pytest.fixture
def stack(region):
    cloudformation = region.client("cloudformation")
    cloudformation.create_stack(StackName="stack", TemplateBody=json.dumps(TEMPLATE))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="stack", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )
    (stack,) = cloudformation.describe_stacks(StackName="stack")["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def create_flow_log(region, stack, arm, options):
    ec2 = region.client("ec2")
    (reservation,) = ec2.describe_instances(InstanceIds=[stack["Sender"]])["Reservations"]
    answer = ec2.create_flow_logs(
        ResourceIds=[reservation["Instances"][0]["NetworkInterfaces"][0]["NetworkInterfaceId"]],
        ResourceType="NetworkInterface",
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{stack['Bucket']}/deliveries/run-1/{arm}",
        DestinationOptions=options,
        LogFormat=PROBE_FORMAT.log_format,
    )
    assert answer["Unsuccessful"] == []
    return answer["FlowLogIds"][0]


def deliveries(region, flow_log_id):
    lines = [line for line in region.service_log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    events = [each for each in map(json.loads, lines) if each.get("flow_log_id") == flow_log_id]
    assert {each["event"] for each in events} <= {"delivery"}, events
    return events


def rows(body, kind):
    """The records of a file, each as in a line of text."""
    if kind == "parquet":
        table = pq.read_table(io.BytesIO(body))
        return [" ".join("-" if each is None else str(each) for each in row.values()) for row in table.to_pylist()]
    return gzip.decompress(body).decode().splitlines()[1:]


def test_each_arm_s_files_are_in_its_folder_as_it_was_asked_for(region, stack):
    s3 = region.client("s3")
    arms = {arm: create_flow_log(region, stack, arm, options) for arm, (options, _, _) in ARMS.items()}
    deadline = time.monotonic() + PATIENCE_S
    while any(len(deliveries(region, flow_log_id)) < 4 for flow_log_id in arms.values()):
        assert time.monotonic() < deadline, region.service_log.read_text()
        time.sleep(0.1)
    for arm, flow_log_id in arms.items():
        _, folder, kind = ARMS[arm]
        name = rf"{ACCOUNT}_vpcflowlogs_{REGION}_{flow_log_id}_\d{{8}}T\d{{4}}Z_[0-9a-f]{{8}}\.log\.{kind}"
        told = deliveries(region, flow_log_id)
        for delivery in told:
            assert re.fullmatch(rf"deliveries/run-1/{arm}/AWSLogs/{folder}{name}", delivery["key"])
            stored = s3.get_object(Bucket=stack["Bucket"], Key=delivery["key"])
            assert stored["LastModified"].isoformat() == delivery["last_modified"]
            records = [PROBE_FORMAT.parse(line) for line in rows(stored["Body"].read(), kind)]
            assert [record.number("start") for record in records] == delivery["windows"]
            assert {record.status for record in records} == {"NODATA"}
        windows = [tuple(delivery["windows"]) for delivery in told[:4]]
        assert len(set(windows)) < len(windows)  # twice: a fault reaches the service through the region
