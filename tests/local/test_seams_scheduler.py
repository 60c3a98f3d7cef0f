"""EventBridge Scheduler on the embedded AWS: a schedule fires by itself, in the region of its stack."""

import datetime as dt
import json

import pytest
from samtranslator.yaml_helper import yaml_parse

from local.cloud.region import Region
from tests.local.stacks import REGION, create, create_of, error_of, eventually, role

pytestmark = pytest.mark.slow

ELSEWHERE = "eu-west-1"
REGIONS = (REGION, ELSEWHERE)
TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Expression: {Type: String}
  State: {Type: String, Default: ENABLED}
  EndDate: {Type: String, Default: ""}
Conditions:
  Ends: !Not [!Equals [!Ref EndDate, ""]]
Resources:
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      Definition: {StartAt: Done, States: {Done: {Type: Pass, End: true}}}
      Events:
        Regularly:
          Type: ScheduleV2
          Properties:
            OmitName: true
            ScheduleExpression: !Ref Expression
            State: !Ref State
            EndDate: !If [Ends, !Ref EndDate, !Ref AWS::NoValue]
            FlexibleTimeWindow: {Mode: FLEXIBLE, MaximumWindowInMinutes: 15}
            RetryPolicy: {MaximumRetryAttempts: 2, MaximumEventAgeInSeconds: 120}
            DeadLetterConfig: {Arn: !GetAtt Missed.Arn}
            Input: >-
              {"at": "<aws.scheduler.scheduled-time>", "schedule": "<aws.scheduler.schedule-arn>",
              "id": "<aws.scheduler.execution-id>", "attempt": <aws.scheduler.attempt-number>}
  Missed:
    Type: AWS::SQS::Queue
Outputs:
  Machine: {Value: !Ref Machine}
  Missed: {Value: !Ref Missed}
  Schedule: {Value: !Ref MachineRegularly}
  Role: {Value: !Ref MachineRegularlyRole}
"""


@pytest.fixture(scope="module")
def region():
    with Region(region=REGION, also=[ELSEWHERE]) as region:
        yield region


def scheduled(region, name, where=REGION, **parameters):
    return create_of(region, name, yaml_parse(TEMPLATE), where, **parameters)


def fired(region, outputs, where=REGION, times=1):
    """The inputs of the executions that the schedule has begun, at least so many times; the newest first."""
    states = region.client("stepfunctions", where)

    def executions():
        found = states.list_executions(stateMachineArn=outputs["Machine"])["executions"]
        return [states.describe_execution(executionArn=each["executionArn"]) for each in found]

    found = eventually(executions, lambda found: len(found) >= times)
    return [json.loads(each["input"]) for each in found]


def test_a_schedule_fires_by_itself_in_two_regions_at_once(region):
    stacks = {where: scheduled(region, "regular", where, Expression="rate(1 minute)") for where in REGIONS}
    for where, outputs in stacks.items():
        event = fired(region, outputs, where)[-1]
        created = region.client("scheduler", where).get_schedule(Name=outputs["Schedule"])["CreationDate"]
        assert event["schedule"] == f"arn:aws:scheduler:{where}:000000000000:schedule/default/{outputs['Schedule']}"
        assert event["at"] == created.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert event["attempt"] == 1
    assert len({fired(region, outputs, where)[-1]["id"] for where, outputs in stacks.items()}) == len(REGIONS)


def test_once_means_once_and_a_disabled_schedule_never(region):
    disabled, once = (
        scheduled(region, name, Expression="rate(1 day)", State="DISABLED") for name in ("off", "once")
    )
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3)
    at = soon.strftime("at(%Y-%m-%dT%H:%M:%S)")
    for outputs, state in ((disabled, "DISABLED"), (once, "ENABLED")):
        reschedule(region, outputs, at, state)
    (event,) = fired(region, once)
    assert event["at"] == soon.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert fired(region, disabled, times=0) == []


def reschedule(region, outputs, expression, state):
    scheduler = region.client("scheduler")
    schedule = scheduler.get_schedule(Name=outputs["Schedule"])
    kept = {name: schedule[name] for name in ("Name", "Target", "FlexibleTimeWindow")}
    scheduler.update_schedule(ScheduleExpression=expression, State=state, **kept)


def test_what_the_template_says_of_a_schedule_is_kept(region):
    outputs = scheduled(
        region, "whole", Expression="cron(0 6 * * ? *)", EndDate="2027-01-01T00:00:00Z", State="DISABLED"
    )
    schedule = region.client("scheduler").get_schedule(Name=outputs["Schedule"])
    assert schedule["EndDate"] == dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    assert schedule["State"] == "DISABLED"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert schedule["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 120}


def test_a_schedule_whose_role_may_not_invoke_tells_the_dead_letter_queue(region):
    outputs = scheduled(region, "unable", Expression="rate(1 hour)", State="DISABLED")
    iam, sqs = region.client("iam"), region.client("sqs")
    for policy in iam.list_role_policies(RoleName=outputs["Role"])["PolicyNames"]:
        document = iam.get_role_policy(RoleName=outputs["Role"], PolicyName=policy)["PolicyDocument"]
        if "states:StartExecution" in json.dumps(document):
            iam.delete_role_policy(RoleName=outputs["Role"], PolicyName=policy)
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3)
    reschedule(region, outputs, soon.strftime("at(%Y-%m-%dT%H:%M:%S)"), "ENABLED")

    answer = eventually(
        lambda: sqs.receive_message(QueueUrl=outputs["Missed"], MessageAttributeNames=["All"]),
        lambda answer: "Messages" in answer,
    )
    (message,) = answer["Messages"]
    told = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert told["ERROR_CODE"] == "AccessDeniedException"
    assert "is not authorized to perform: states:StartExecution" in told["ERROR_MESSAGE"]
    assert told["SCHEDULE_ARN"].endswith(f"schedule/default/{outputs['Schedule']}")
    assert json.loads(message["Body"])["at"] == told["SCHEDULED_TIME"]
    assert fired(region, outputs, times=0) == []


def test_a_schedule_that_could_never_fire_fails_its_stack(region):
    with pytest.raises(AssertionError, match=r"Invalid Schedule Expression every day"):
        scheduled(region, "never", Expression="every day")


def trusting(service, account):
    """A role that trusts a service on behalf of the default schedule group of an account."""
    trusted = role(service)
    (statement,) = trusted["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    group = f"arn:aws:scheduler:{REGION}:{account}:schedule-group/default"
    statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account, "aws:SourceArn": group}}
    return trusted


def test_a_role_that_scheduler_may_not_assume_is_refused(region):
    roles = {
        "Ours": trusting("scheduler.amazonaws.com", "000000000000"),
        "Theirs": trusting("scheduler.amazonaws.com", "111111111111"),
        "Functions": trusting("lambda.amazonaws.com", "000000000000"),
    }
    arns = create(region, "roles", roles, {name: {"Fn::GetAtt": [name, "Arn"]} for name in roles})

    def schedule(name):
        target = {"Arn": f"arn:aws:lambda:{REGION}:000000000000:function:f", "RoleArn": arns[name]}
        region.client("scheduler").create_schedule(
            Name=name, ScheduleExpression="rate(1 day)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
        )

    schedule("Ours")
    for name in ("Theirs", "Functions"):
        assert error_of(schedule, name=name) == "ValidationException"
