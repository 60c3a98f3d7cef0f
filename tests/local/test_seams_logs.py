"""Subscriptions of CloudWatch Logs on the embedded AWS."""

import json
import time

import pytest

from tests.local.stacks import ACCOUNT, REGION, create, error_of, eventually, function, may, role

pytestmark = pytest.mark.slow

SUBSCRIBER = """
import base64, gzip, json, boto3

attempts = []

def handler(event, context):
    payload = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    attempts.append(payload)
    if len(attempts) < 2:
        raise RuntimeError("try again")
    boto3.client("s3").put_object(Bucket="heard", Key="payload", Body=json.dumps(payload))
"""


class TestSubscriptions:
    @pytest.fixture(scope="class")
    @classmethod
    def functions(cls, region):
        region.client("s3").create_bucket(Bucket="heard")
        group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/heard/*:*"
        return create(
            region,
            "subscriptions",
            {
                "Role": role("lambda.amazonaws.com", may("s3:PutObject", "arn:aws:s3:::heard/*")),
                "Subscriber": function(SUBSCRIBER),
                "Permission": {
                    "Type": "AWS::Lambda::Permission",
                    "Properties": {
                        "Action": "lambda:InvokeFunction",
                        "FunctionName": {"Ref": "Subscriber"},
                        "Principal": "logs.amazonaws.com",
                        "SourceAccount": ACCOUNT,
                        "SourceArn": group,
                    },
                },
                "Private": function("def handler(event, context): pass"),
            },
            {name: {"Fn::GetAtt": [name, "Arn"]} for name in ("Subscriber", "Private")},
        )

    @staticmethod
    def subscribe(logs, group, function_arn):
        logs.create_log_group(logGroupName=group)
        logs.put_subscription_filter(
            logGroupName=group, filterName="f", filterPattern="", destinationArn=function_arn
        )

    @pytest.mark.parametrize("destination", ["Private", "missing"])
    def test_a_function_that_does_not_permit_it_cannot_be_subscribed(self, region, functions, destination):
        missing = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nobody"
        arn = functions.get(destination, missing)
        assert error_of(
            self.subscribe, logs=region.client("logs"), group=f"/heard/{destination}", function_arn=arn
        ) == ("InvalidParameterException")

    def test_a_permission_is_for_its_log_groups_only(self, region, functions):
        logs, arn = region.client("logs"), functions["Subscriber"]
        assert (
            error_of(self.subscribe, logs=logs, group="/elsewhere", function_arn=arn) == "InvalidParameterException"
        )

    def test_a_delivery_is_repeated_after_a_failure_and_has_the_ids_of_the_stored_events(self, region, functions):
        logs, s3 = region.client("logs"), region.client("s3")
        self.subscribe(logs, "/heard/all", functions["Subscriber"])
        logs.create_log_stream(logGroupName="/heard/all", logStreamName="s")
        now = int(time.time() * 1000)
        sent = [{"timestamp": now, "message": "one"}, {"timestamp": now + 1, "message": "two"}]
        logs.put_log_events(logGroupName="/heard/all", logStreamName="s", logEvents=sent)
        (listed,) = eventually(lambda: s3.list_objects_v2(Bucket="heard").get("Contents", []), len)
        payload = json.loads(s3.get_object(Bucket="heard", Key=listed["Key"])["Body"].read())
        stored = logs.filter_log_events(logGroupName="/heard/all")["events"]
        assert payload["messageType"] == "DATA_MESSAGE"
        assert (payload["logGroup"], payload["logStream"]) == ("/heard/all", "s")
        assert [(each["id"], each["message"]) for each in payload["logEvents"]] == [
            (each["eventId"], each["message"]) for each in stored
        ]
