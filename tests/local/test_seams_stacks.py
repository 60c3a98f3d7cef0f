"""What a template may hold, on the embedded AWS."""

import json

import botocore.exceptions
import pytest
from samtranslator.yaml_helper import yaml_parse

from local.cloud.region import Region
from tests.local.stacks import REGION, create_of, delete

pytestmark = pytest.mark.slow

ELSEWHERE = "eu-west-1"

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  HomeRegion: {Type: String, Default: ""}
  HomeBucket: {Type: String, Default: ""}
Rules:
  HomeIsWhole:
    Assertions:
      - Assert: !Or
          - !And [!Equals [!Ref HomeRegion, ""], !Equals [!Ref HomeBucket, ""]]
          - !Not [!Or [!Equals [!Ref HomeRegion, ""], !Equals [!Ref HomeBucket, ""]]]
        AssertDescription: HomeRegion and HomeBucket go together
Conditions:
  IsHome: !Equals [!Ref HomeRegion, ""]
  IsSatellite: !Not [!Condition IsHome]
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}]
      Policies:
        - !If
          - IsHome
          - PolicyName: home
            PolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:*", Resource: "*"}]}
          - !Ref AWS::NoValue
  Query:
    Type: AWS::Athena::NamedQuery
    Condition: IsHome
    Properties: {Name: one, Database: flowlag, QueryString: SELECT 1}
  Failures:
    Type: AWS::CloudWatch::Alarm
    Properties:
      ComparisonOperator: GreaterThanThreshold
      EvaluationPeriods: 1
      Threshold: 0
      TreatMissingData: notBreaching
      Metrics:
        - {Id: failures, Expression: 'SELECT SUM(Failed) FROM SCHEMA("flowlag", arm)', Period: 300}
  Missed:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/SQS
      MetricName: ApproximateNumberOfMessagesVisible
      Dimensions: [{Name: QueueName, Value: !GetAtt Queue.QueueName}]
      Statistic: Maximum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 0
      ComparisonOperator: GreaterThanThreshold
  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Properties: {DashboardBody: '{"widgets": []}'}
  Queue: {Type: AWS::SQS::Queue}
  QueuePolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Queue]
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: {Service: events.amazonaws.com}
            Action: sqs:SendMessage
            Resource: !GetAtt Queue.Arn
  Group: {Type: AWS::Scheduler::ScheduleGroup}
  Bucket: {Type: AWS::S3::Bucket}
  Custom:
    Type: Custom::Thing
    Properties:
      ServiceToken: !GetAtt Handler.Arn
      ServiceTimeout: 60
      Bucket: !Ref Bucket
  Handler:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.13
      Handler: index.handler
      Role: !GetAtt Role.Arn
      Code:
        ZipFile: |
          import json, urllib.request
          requests = []
          def handler(event, context):
              if "RequestType" not in event:
                  return requests
              requests.append(event["RequestType"])
              is_first_delete = requests.count("Delete") == 1 and requests[-1] == "Delete"
              answer = {
                  **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
                  "Status": "FAILED" if is_first_delete else "SUCCESS",
                  "Reason": "planted",
                  "PhysicalResourceId": "thing",
                  "Data": {"Bucket": event["ResourceProperties"]["Bucket"]},
              }
              data = json.dumps(answer).encode()
              urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], data, method="PUT"))
Outputs:
  Role: {Value: !Ref Role}
  Query: {Condition: IsHome, Value: !Ref Query}
  Failures: {Value: !Ref Failures}
  Missed: {Value: !Ref Missed}
  Dashboard: {Value: !Ref Dashboard}
  Bucket: {Value: !Ref Bucket}
  Handler: {Value: !Ref Handler}
  OfCustom: {Value: !GetAtt Custom.Bucket}
"""
SATELLITE = {"HomeRegion": REGION, "HomeBucket": "results"}


@pytest.fixture(scope="module")
def region():
    with Region(region=REGION, also=[ELSEWHERE]) as region:
        yield region


@pytest.fixture(scope="module")
def home(region):
    return create_of(region, "things", yaml_parse(TEMPLATE))


@pytest.fixture(scope="module")
def satellite(region, home):
    assert home
    return create_of(region, "things", yaml_parse(TEMPLATE), ELSEWHERE, **SATELLITE)


def test_what_is_for_the_home_only_is_there_only(region, home, satellite):
    query = region.client("athena").get_named_query(NamedQueryId=home["Query"])["NamedQuery"]
    assert (query["Name"], query["QueryString"]) == ("one", "SELECT 1")
    assert "Query" not in satellite


def test_stacks_of_one_name_in_two_regions_have_roles_of_their_own(region, home, satellite):
    policies = region.client("iam").list_role_policies
    assert policies(RoleName=home["Role"])["PolicyNames"] == ["home"]
    assert policies(RoleName=satellite["Role"])["PolicyNames"] == []


def test_an_alarm_on_a_metric_is_as_declared(region, home):
    (alarm,) = region.client("cloudwatch").describe_alarms(AlarmNames=[home["Missed"]])["MetricAlarms"]
    assert (alarm["MetricName"], alarm["Period"]) == ("ApproximateNumberOfMessagesVisible", 60)


def test_an_alarm_on_an_expression_is_as_declared_and_has_no_data(region, home):
    (alarm,) = region.client("cloudwatch").describe_alarms(AlarmNames=[home["Failures"]])["MetricAlarms"]
    (metric,) = alarm["Metrics"]
    assert metric["Expression"] == 'SELECT SUM(Failed) FROM SCHEMA("flowlag", arm)'
    assert (alarm["StateValue"], alarm["Threshold"]) == ("INSUFFICIENT_DATA", 0)


def test_a_dashboard_is_there(region, home):
    dashboard = region.client("cloudwatch").get_dashboard(DashboardName=home["Dashboard"])
    assert json.loads(dashboard["DashboardBody"]) == {"widgets": []}


def test_a_custom_resource_has_what_its_function_answered(home, satellite):
    assert home["OfCustom"] == home["Bucket"]
    assert satellite["OfCustom"] == satellite["Bucket"]


def test_parameters_that_break_a_rule_are_refused(region):
    with pytest.raises(botocore.exceptions.ClientError, match="HomeRegion and HomeBucket go together"):
        create_of(region, "half", yaml_parse(TEMPLATE), HomeRegion=REGION)


def test_a_deletion_fails_visibly_and_can_be_tried_again(region):
    """First the handler of the custom resource fails, then there is an object in the bucket."""
    outputs = create_of(region, "going", yaml_parse(TEMPLATE))
    s3 = region.client("s3")
    s3.put_object(Bucket=outputs["Bucket"], Key="forgotten", Body=b"")

    status, why = delete(region, "going")
    assert (status, "planted" in why) == ("DELETE_FAILED", True)
    status, why = delete(region, "going")
    assert (status, "The bucket you tried to delete is not empty" in why) == ("DELETE_FAILED", True)
    assert s3.list_objects_v2(Bucket=outputs["Bucket"])["KeyCount"] == 1

    s3.delete_object(Bucket=outputs["Bucket"], Key="forgotten")
    status, _ = delete(region, "going")
    assert status == "DELETE_COMPLETE"


def test_a_condition_of_a_write_holds(region, home):
    put = region.client("s3").put_object
    first = put(Bucket=home["Bucket"], Key="claim", Body=b"1", IfNoneMatch="*")["ETag"]
    second = put(Bucket=home["Bucket"], Key="claim", Body=b"2", IfMatch=first)["ETag"]
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": first}):
        with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
            put(Bucket=home["Bucket"], Key="claim", Body=b"3", **condition)
    assert second != first
