"""The template, and what it comes to for a deployment with some parameters."""

from pathlib import Path
from typing import Any

from tests.cloudformation import document, holds, resolved
from tests.functions.run import ACCOUNT, PLAN, REGION, STACK, Json

ROOT = Path(__file__).parents[2]
WORK_BUCKET, RESULTS_BUCKET = "flowlag-work", "flowlag-results"
SECOND_SENDER = "i-0cccccccccccccccc"


class Template:
    """The template, and the values that a deployment with these parameters would give to its references."""

    def __init__(self, **parameters: str) -> None:
        defaults = {name: str(each["Default"]) for name, each in document()["Parameters"].items()}
        assert parameters.keys() <= defaults.keys()
        self.values: dict[str, str] = {
            **defaults,
            "Source": "local",
            **parameters,
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::StackName": STACK,
            "SenderInstance": PLAN.sender_instance_id,
            "SecondSenderInstance": SECOND_SENDER,
            "TargetInstance": str(PLAN.target_instance_id),
            "TargetInstance.PrivateIp": PLAN.target_address,
            "Subnet": PLAN.subnet_id,
            "SecondSubnet": "subnet-0eeeeeeeeeeeeeeee",
            "Vpc": PLAN.vpc_id,
            "TrafficDocument": "flowlag-TrafficDocument-1",
            "WorkBucket": WORK_BUCKET,
            "WorkBucket.Arn": f"arn:aws:s3:::{WORK_BUCKET}",
            "ResultsBucket": RESULTS_BUCKET,
            "ResultsBucket.Arn": f"arn:aws:s3:::{RESULTS_BUCKET}",
            "FlowLogDeliveryRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/deliver",
            "DecodeRecordsFunction.Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:decode",
        }

    def resource(self, logical_id: str) -> Any:
        return document()["Resources"][logical_id]["Properties"]

    @property
    def functions(self) -> list[str]:
        """The logical ids of the functions."""
        resources = document()["Resources"].items()
        return [name for name, resource in resources if resource["Type"] == "AWS::Serverless::Function"]

    def environment(self, function: str) -> dict[str, str]:
        of_all = document()["Globals"]["Function"]["Environment"]["Variables"]
        own = self.resource(function).get("Environment", {}).get("Variables", {})
        return {name: self.resolve(value) for name, value in (of_all | own).items()}

    def statements(self, function: str) -> list[Json]:
        """What the function's policies allow. A policy is a list of statements, or names a managed policy."""
        documents = [
            self.resource(policy["Ref"])["PolicyDocument"] if "Ref" in policy else policy
            for policy in self.resource(function)["Policies"]
        ]
        return [self.resolve(statement) for document in documents for statement in document["Statement"]]

    def resolve(self, value: Any) -> Any:
        return resolved(value, self.values)

    def holds(self, condition: Any) -> bool:
        return holds(condition, self.values)
