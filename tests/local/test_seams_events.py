"""Rules of EventBridge on the embedded AWS: the ends of executions reach functions."""

import json

import pytest
from samtranslator.yaml_helper import yaml_parse

from tests.local.stacks import create_of, eventually

pytestmark = pytest.mark.slow

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.13, Handler: index.handler}
Resources:
  Short:
    Type: AWS::Serverless::StateMachine
    Properties:
      Definition: {StartAt: Fail, States: {Fail: {Type: Fail, Error: Planted}}}
  Long:
    Type: AWS::Serverless::StateMachine
    Properties:
      Definition: {StartAt: Pause, States: {Pause: {Type: Wait, Seconds: 600, End: true}}, TimeoutSeconds: 2}
  Endless:
    Type: AWS::Serverless::StateMachine
    Properties:
      Definition: {StartAt: Pause, States: {Pause: {Type: Wait, Seconds: 600, End: true}}}
  Other:
    Type: AWS::Serverless::StateMachine
    Properties:
      Definition: {StartAt: Fail, States: {Fail: {Type: Fail}}}
  Heard:
    Type: AWS::S3::Bucket
  Listener:
    Type: AWS::Serverless::Function
    Properties:
      InlineCode: |
        import boto3, os
        def handler(event, context):
            key = "-".join([event["region"], event["detail"]["status"], event["detail"]["name"]])
            put = boto3.resource("s3").Bucket(os.environ["HEARD"]).put_object
            try:
                put(Key=f"tried/{key}", IfNoneMatch="*")
            except Exception as reason:
                put(Key=f"heard/{key}", Body=str(reason))
            else:
                raise RuntimeError("try again")
      Environment: {Variables: {HEARD: !Ref Heard}}
      Policies: [{Statement: [{Effect: Allow, Action: s3:PutObject, Resource: !Sub "${Heard.Arn}/*"}]}]
      Events:
        Ended:
          Type: EventBridgeRule
          Properties:
            Pattern:
              source: [aws.states]
              detail-type: [Step Functions Execution Status Change]
              detail:
                status: [ABORTED, FAILED, TIMED_OUT]
                stateMachineArn: [!Ref Short, !Ref Long, !Ref Endless]
  Unpermitted:
    Type: AWS::Serverless::Function
    Properties:
      InlineCode: |
        heard = []
        def handler(event, context):
            if "tell" in event:
                return heard
            heard.append(event)
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [aws.states]}
      Targets: [{Id: unpermitted, Arn: !GetAtt Unpermitted.Arn}]
Outputs:
  Short: {Value: !Ref Short}
  Long: {Value: !Ref Long}
  Endless: {Value: !Ref Endless}
  Other: {Value: !Ref Other}
  Heard: {Value: !Ref Heard}
  Unpermitted: {Value: !Ref Unpermitted}
"""


@pytest.fixture(scope="module")
def stack(region):
    return create_of(region, "rules", yaml_parse(TEMPLATE))


@pytest.fixture(scope="module")
def heard(region, stack):
    """Region, status and name of the executions whose ends the function has heard of, in order."""
    states, s3 = region.client("stepfunctions"), region.client("s3")
    for machine, name in (("Other", "other"), ("Short", "failed"), ("Endless", "stopped"), ("Long", "over-time")):
        states.start_execution(stateMachineArn=stack[machine], name=name)
    arn = stack["Endless"].replace("stateMachine", "execution")
    states.stop_execution(executionArn=f"{arn}:stopped")
    listed = eventually(
        lambda: s3.list_objects_v2(Bucket=stack["Heard"], Prefix="heard/").get("Contents", []),
        lambda listed: len(listed) == 3,
    )
    return [each["Key"].removeprefix("heard/") for each in listed]


def test_every_end_but_success_reaches_the_function_and_again_if_it_fails(heard):
    assert heard == ["us-east-1-ABORTED-stopped", "us-east-1-FAILED-failed", "us-east-1-TIMED_OUT-over-time"]


def test_a_function_that_does_not_permit_it_is_not_invoked(region, stack, heard):
    assert heard
    answer = region.client("lambda").invoke(FunctionName=stack["Unpermitted"], Payload=json.dumps({"tell": True}))
    assert json.loads(answer["Payload"].read()) == []
