"""EC2's flow-log API, as AWS documents it."""

import datetime as dt
import json

import botocore.exceptions
import pytest

from flowlag.record import DEFAULT_FORMAT
from local.cloud.region import Region

pytestmark = pytest.mark.slow

ROLE = "arn:aws:iam::000000000000:role/delivery"
BUCKET = "records"
SOURCE = {
    "StringEquals": {"aws:SourceAccount": "000000000000"},
    "ArnLike": {"aws:SourceArn": "arn:aws:logs:us-east-1:000000000000:*"},
}
"""What AWS documents for a bucket policy (flow-logs-s3-permissions.html)."""


@pytest.fixture(scope="module")
def region():
    with Region() as region:
        yield region


@pytest.fixture(scope="module")
def ec2(region):
    return region.client("ec2")


@pytest.fixture
def vpc(ec2):
    """A VPC of the test's own; its flow logs go when the test ends."""
    vpc_id = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    yield vpc_id
    ids = [each["FlowLogId"] for each in ec2.describe_flow_logs()["FlowLogs"]]
    if ids:
        ec2.delete_flow_logs(FlowLogIds=ids)


def wanted(resource, **parameters):
    request = {
        "ResourceIds": [resource],
        "ResourceType": "VPC",
        "TrafficType": "ALL",
        "LogGroupName": "/group",
        "DeliverLogsPermissionArn": ROLE,
        **parameters,
    }
    return {name: value for name, value in request.items() if value is not None}


def wanted_in_s3(resource, prefix="/deliveries/run-1/arm", **parameters):
    in_s3 = {"LogDestinationType": "s3", "LogDestination": f"arn:aws:s3:::{BUCKET}{prefix}"}
    return wanted(resource, **{"LogGroupName": None, "DeliverLogsPermissionArn": None, **in_s3, **parameters})


def statement(action, resource, **changes):
    return {
        "Effect": "Allow",
        "Principal": {"Service": "delivery.logs.amazonaws.com"},
        "Action": action,
        "Resource": f"arn:aws:s3:::{resource}",
        "Condition": SOURCE,
        **changes,
    }


def created(ec2, resource, **parameters):
    answer = ec2.create_flow_logs(**wanted(resource, **parameters))
    assert answer["Unsuccessful"] == []
    (flow_log_id,) = answer["FlowLogIds"]
    return flow_log_id


def described(ec2, flow_log_id):
    (flow_log,) = ec2.describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"]
    return flow_log


def found(ec2, name, *values):
    filters = [{"Name": name, "Values": list(values)}]
    return {flow_log["FlowLogId"] for flow_log in ec2.describe_flow_logs(Filters=filters)["FlowLogs"]}


class TestCreate:
    def test_a_flow_log_is_as_it_was_asked_for(self, ec2, vpc):
        log_format = "${version} ${interface-id} ${srcport} ${start}"
        flow_log = described(ec2, created(ec2, vpc, MaxAggregationInterval=60, LogFormat=log_format))
        assert flow_log["ResourceId"] == vpc
        assert (flow_log["TrafficType"], flow_log["MaxAggregationInterval"]) == ("ALL", 60)
        assert (flow_log["LogDestinationType"], flow_log["LogGroupName"]) == ("cloud-watch-logs", "/group")
        assert flow_log["DeliverLogsPermissionArn"] == ROLE
        assert flow_log["LogFormat"] == log_format
        assert flow_log["FlowLogStatus"] == "ACTIVE"

    def test_the_defaults_are_600_seconds_and_the_default_format(self, ec2, vpc):
        flow_log = described(ec2, created(ec2, vpc))
        assert (flow_log["MaxAggregationInterval"], flow_log["LogFormat"]) == (600, DEFAULT_FORMAT.log_format)

    def test_its_creation_time_has_milliseconds_and_lies_within_the_call(self, ec2, vpc):
        before = dt.datetime.now(dt.UTC) - dt.timedelta(milliseconds=1)  # what they cut off
        at = described(ec2, created(ec2, vpc))["CreationTime"]
        assert before <= at <= dt.datetime.now(dt.UTC)

    def test_a_destination_may_be_the_arn_of_a_log_group(self, ec2, vpc):
        arn = "arn:aws:logs:us-east-1:000000000000:log-group:/by/arn"
        assert described(ec2, created(ec2, vpc, LogGroupName=None, LogDestination=arn))["LogGroupName"] == "/by/arn"

    def test_the_same_token_gets_the_same_flow_log(self, ec2, vpc):
        first, second = (created(ec2, vpc, ClientToken="token") for _ in range(2))
        assert first == second
        assert len(ec2.describe_flow_logs()["FlowLogs"]) == 1

    def test_the_same_token_for_something_else_is_refused(self, ec2, vpc):
        created(ec2, vpc, ClientToken="other token")
        error = error_of(ec2.create_flow_logs, **wanted(vpc, ClientToken="other token", MaxAggregationInterval=60))
        assert error == "IdempotentParameterMismatch"

    def test_a_token_that_got_nothing_may_try_again(self, ec2):
        request = wanted("vpc-0", ClientToken="unlucky token")
        assert [len(ec2.create_flow_logs(**request)["Unsuccessful"]) for _ in range(2)] == [1, 1]

    def test_the_same_resource_and_destination_is_refused(self, ec2, vpc):
        created(ec2, vpc)
        assert error_of(ec2.create_flow_logs, **wanted(vpc)) == "FlowLogAlreadyExists"

    @pytest.mark.parametrize(
        ("parameters", "code"),
        [
            ({"MaxAggregationInterval": 300}, "InvalidParameter"),
            ({"TrafficType": "SOME"}, "InvalidParameter"),
            ({"TrafficType": None}, "MissingParameter"),
            ({"ResourceType": "Router"}, "InvalidParameter"),
            ({"DeliverLogsPermissionArn": None}, "InvalidParameter"),
            ({"LogGroupName": None}, "InvalidParameter"),
            ({"LogDestinationType": "s3"}, "InvalidParameter"),
            (
                {"LogDestinationType": "s3", "LogGroupName": None, "LogDestination": "arn:aws:s3:::b"},
                "InvalidParameter",
            ),
            ({"LogDestinationType": "kinesis-data-firehose"}, "InvalidParameter"),
            ({"LogFormat": "${version} ${colour}"}, "InvalidParameter"),
            ({"LogFormat": "version"}, "InvalidParameter"),
            ({"LogFormat": "${version} "}, "InvalidParameter"),
            ({"DestinationOptions": {"PerHourPartition": True}}, "InvalidParameter"),
        ],
    )
    def test_what_aws_does_not_allow_is_refused(self, ec2, vpc, parameters, code):
        assert error_of(ec2.create_flow_logs, **wanted(vpc, **parameters)) == code
        assert ec2.describe_flow_logs()["FlowLogs"] == []


@pytest.fixture
def bucket(region):
    """Writes a policy with these statements for a bucket that is there."""
    s3 = region.client("s3")
    s3.create_bucket(Bucket=BUCKET)

    def put(*statements):
        policy = {"Version": "2012-10-17", "Statement": statements}
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))

    yield put
    s3.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def open_bucket(bucket):
    bucket(statement("s3:PutObject", f"{BUCKET}/deliveries/*"), statement("s3:GetBucketAcl", BUCKET))
    return bucket


class TestToS3:
    @pytest.mark.usefixtures("open_bucket")
    @pytest.mark.parametrize("prefix", ["/deliveries/run-1/arm", "/deliveries/"])
    def test_a_destination_is_a_folder_of_a_bucket_by_default_as_text(self, ec2, vpc, prefix):
        (flow_log_id,) = ec2.create_flow_logs(**wanted_in_s3(vpc, prefix))["FlowLogIds"]
        flow_log = described(ec2, flow_log_id)
        assert flow_log["LogDestination"] == f"arn:aws:s3:::{BUCKET}{prefix}"
        assert (flow_log["LogDestinationType"], flow_log["DeliverLogsStatus"]) == ("s3", "SUCCESS")
        assert flow_log["DestinationOptions"] == {
            "FileFormat": "plain-text",
            "HiveCompatiblePartitions": False,
            "PerHourPartition": False,
        }

    @pytest.mark.usefixtures("open_bucket")
    def test_its_options_are_kept(self, ec2, vpc):
        options = {"FileFormat": "parquet", "HiveCompatiblePartitions": True, "PerHourPartition": True}
        (flow_log_id,) = ec2.create_flow_logs(**wanted_in_s3(vpc, DestinationOptions=options))["FlowLogIds"]
        assert described(ec2, flow_log_id)["DestinationOptions"] == options

    def test_a_flow_log_to_cloudwatch_has_no_options(self, ec2, vpc):
        assert "DestinationOptions" not in described(ec2, created(ec2, vpc))

    @pytest.mark.usefixtures("open_bucket")
    @pytest.mark.parametrize(
        "parameters",
        [
            {"DestinationOptions": {"FileFormat": "csv"}},
            {"LogDestination": f"s3://{BUCKET}/deliveries"},
            {"LogDestination": f"arn:aws:s3:::{BUCKET}/deliveries/AWSLogs"},
            {"DeliverLogsPermissionArn": ROLE},
        ],
    )
    def test_what_aws_does_not_allow_is_refused(self, ec2, vpc, parameters):
        assert error_of(ec2.create_flow_logs, **wanted_in_s3(vpc, **parameters)) == "InvalidParameter"

    @pytest.mark.parametrize(
        ("options", "folder"),
        [({}, "000000000000"), ({"HiveCompatiblePartitions": True}, "aws-account-id=000000000000")],
    )
    def test_the_policy_need_not_allow_more_than_the_folder_of_the_account(self, ec2, vpc, bucket, options, folder):
        narrow = statement("s3:PutObject", f"{BUCKET}/deliveries/run-1/arm/AWSLogs/{folder}/*")
        bucket(narrow, statement("s3:GetBucketAcl", BUCKET))
        answer = ec2.create_flow_logs(**wanted_in_s3(vpc, DestinationOptions=options))
        assert (len(answer["FlowLogIds"]), answer["Unsuccessful"]) == (1, [])

    @pytest.mark.parametrize(
        "statements",
        [
            [statement("s3:PutObject", f"{BUCKET}/deliveries/*")],
            [statement("s3:GetBucketAcl", BUCKET)],
            [statement("s3:PutObject", f"{BUCKET}/elsewhere/*"), statement("s3:GetBucketAcl", BUCKET)],
            [
                statement("s3:PutObject", f"{BUCKET}/*", Principal={"Service": "vpc-flow-logs.amazonaws.com"}),
                statement("s3:GetBucketAcl", BUCKET),
            ],
        ],
    )
    def test_a_policy_that_does_not_let_flow_logs_in(self, ec2, vpc, bucket, statements):
        bucket(*statements)
        answer = ec2.create_flow_logs(**wanted_in_s3(vpc))
        (unsuccessful,) = answer["Unsuccessful"]
        assert answer["FlowLogIds"] == []
        assert f"Access Denied for LogDestination: {BUCKET}" in unsuccessful["Error"]["Message"]

    def test_a_policy_that_no_longer_does(self, ec2, vpc, open_bucket):
        (flow_log_id,) = ec2.create_flow_logs(**wanted_in_s3(vpc))["FlowLogIds"]
        open_bucket(statement("s3:GetBucketAcl", BUCKET))
        flow_log = described(ec2, flow_log_id)
        assert (flow_log["DeliverLogsStatus"], flow_log["DeliverLogsErrorMessage"]) == ("FAILED", "Access error")

    def test_a_bucket_that_is_not_there(self, ec2, vpc):
        (unsuccessful,) = ec2.create_flow_logs(**wanted_in_s3(vpc))["Unsuccessful"]
        assert f"{BUCKET} does not exist" in unsuccessful["Error"]["Message"]


class TestUnsuccessful:
    """HTTP 200, and yet something was not done."""

    @pytest.mark.parametrize(
        ("kind", "resource", "code"),
        [
            ("VPC", "vpc-0", "InvalidVpcID.NotFound"),
            ("Subnet", "subnet-0", "InvalidSubnetID.NotFound"),
            ("NetworkInterface", "eni-0", "InvalidNetworkInterfaceID.NotFound"),
        ],
    )
    def test_a_resource_that_is_not_there(self, ec2, kind, resource, code):
        answer = ec2.create_flow_logs(**wanted(resource, ResourceType=kind))
        assert answer["FlowLogIds"] == []
        assert [(each["ResourceId"], each["Error"]["Code"]) for each in answer["Unsuccessful"]] == [
            (resource, code)
        ]

    def test_the_other_resources_get_theirs(self, ec2, vpc):
        answer = ec2.create_flow_logs(**wanted(vpc, ResourceIds=["vpc-0", vpc]))
        assert [each["ResourceId"] for each in answer["Unsuccessful"]] == ["vpc-0"]
        assert [described(ec2, each)["ResourceId"] for each in answer["FlowLogIds"]] == [vpc]

    def test_a_third_flow_log_of_a_resource(self, ec2, vpc):
        for group in ("/one", "/two"):
            created(ec2, vpc, LogGroupName=group)
        (unsuccessful,) = ec2.create_flow_logs(**wanted(vpc, LogGroupName="/three"))["Unsuccessful"]
        assert unsuccessful["Error"]["Code"] == "FlowLogsLimitExceeded"

    def test_deleting_what_is_not_there(self, ec2, vpc):
        flow_log_id = created(ec2, vpc)
        answer = ec2.delete_flow_logs(FlowLogIds=["fl-0", flow_log_id])
        assert [(each["ResourceId"], each["Error"]["Code"]) for each in answer["Unsuccessful"]] == [
            ("fl-0", "InvalidFlowLogId.NotFound")
        ]
        assert ec2.describe_flow_logs()["FlowLogs"] == []


class TestDescribe:
    @pytest.fixture
    def two(self, region, ec2, vpc):
        """A tagged flow log whose group exists, and one whose group does not."""
        logs = region.client("logs")
        if not logs.describe_log_groups(logGroupNamePrefix="/there")["logGroups"]:
            logs.create_log_group(logGroupName="/there")
        tags = [{"Key": "flowlag:run-id", "Value": "run-1"}, {"Key": "Name", "Value": "x"}]
        tagged = created(
            ec2,
            vpc,
            LogGroupName="/there",
            TrafficType="REJECT",
            TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": tags}],
        )
        return tagged, created(ec2, vpc, LogGroupName="/not-there")

    def test_tags_are_kept(self, ec2, two):
        assert described(ec2, two[0])["Tags"] == [
            {"Key": "flowlag:run-id", "Value": "run-1"},
            {"Key": "Name", "Value": "x"},
        ]

    def test_success_means_that_nothing_is_known_to_be_wrong(self, ec2, two):
        assert described(ec2, two[0])["DeliverLogsStatus"] == "SUCCESS"
        failed = described(ec2, two[1])
        assert (failed["DeliverLogsStatus"], failed["DeliverLogsErrorMessage"]) == ("FAILED", "Access error")

    @pytest.mark.parametrize(
        ("name", "value", "positions"),
        [
            ("tag:flowlag:run-id", "run-1", [0]),
            ("tag:flowlag:run-id", "run-2", []),
            ("tag:flowlag:run-id", "run-*", [0]),
            ("tag-key", "flowlag:run-id", [0]),
            ("log-group-name", "/not-there", [1]),
            ("traffic-type", "REJECT", [0]),
            ("deliver-log-status", "FAILED", [1]),
            ("log-destination-type", "cloud-watch-logs", [0, 1]),
            ("log-destination-type", "s3", []),
        ],
    )
    def test_a_filter_finds_what_it_should(self, ec2, two, name, value, positions):
        assert found(ec2, name, value) == {two[position] for position in positions}

    def test_filters_by_resource_and_id(self, ec2, vpc, two):
        assert found(ec2, "resource-id", vpc) == set(two)
        assert found(ec2, "flow-log-id", *two) == set(two)

    def test_an_unknown_filter_is_refused(self, ec2):
        assert error_of(ec2.describe_flow_logs, Filters=[{"Name": "colour", "Values": ["red"]}]) == (
            "InvalidParameterValue"
        )

    def test_tags_of_a_deleted_flow_log_are_gone(self, ec2, two):
        ec2.delete_flow_logs(FlowLogIds=[two[0]])
        assert found(ec2, "tag-key", "flowlag:run-id") == set()


def error_of(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        call(**parameters)
    return failure.value.response["Error"]["Code"]
