"""CloudFormation: the resource types that MiniStack refuses, or knows in part."""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ministack.core.responses import get_region
from ministack.services import cloudformation, iam, s3, ssm
from ministack.services.cloudformation import engine, provisioners, stacks

from local.cloud.seams import athena, commands, instances

if TYPE_CHECKING:
    from local.cloud.seams.replies import Properties, Provisioned


def provision_missing_types() -> None:
    """Provision the resource types that the template needs and MiniStack refuses.

    And two things that it knows in part: an instance profile, whose Ref is its name and not its ARN; and the image
    of Amazon Linux 2023, which there is for arm64, too.
    """
    create_profile = provisioners._iam_ip_create

    def create_instance_profile(logical_id: str, properties: Properties, stack: str) -> Provisioned:
        arn, attributes = create_profile(logical_id, properties, stack)
        return arn.rpartition("/")[2], attributes

    def delete_instance_profile(name: str, _properties: Properties) -> None:
        iam._instance_profiles.pop(name, None)

    provisioners._RESOURCE_HANDLERS.update(
        {
            "AWS::IAM::InstanceProfile": {"create": create_instance_profile, "delete": delete_instance_profile},
            "AWS::Athena::NamedQuery": {"create": athena.create_named_query, "delete": athena.delete_named_query},
            "AWS::EC2::Instance": {"create": instances.create_instance, "delete": instances.delete_instance},
            "AWS::SSM::Document": {"create": commands.create_document, "delete": commands.delete_document},
        }
    )
    provisioners._STACK_TAG_PROPERTY["AWS::EC2::Instance"] = ("Tags", "list")
    images = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
    ssm._PUBLIC_AMI_PARAMETERS.setdefault(f"{images}arm64", "ami-0c2023a1b2c3d4e60")


def name_resources_by_region() -> None:
    """Give what a stack names itself another name in every region.

    MiniStack's names follow from the stack's name and the logical id alone, where AWS draws them. So two stacks of
    one name in two regions share their roles, which are of no region: the second one's replace the first one's.
    """
    physical_name = provisioners._physical_name

    def name_of_region(stack: str, logical_id: str, **options: Any) -> str:  # noqa: ANN401 - MiniStack's own
        name = str(physical_name(stack, logical_id, **options))
        suffix = sha256(f"{get_region()}:{name}".encode()).hexdigest()[:_SUFFIX_LENGTH]
        return name[:-_SUFFIX_LENGTH] + (suffix if name.islower() else suffix.upper())

    provisioners._physical_name = name_of_region


_SUFFIX_LENGTH: Final = 13


def provision_alarms_on_expressions() -> None:
    """Provision an alarm whose metric is an expression, which MiniStack refuses.

    It is described as it was declared and never leaves INSUFFICIENT_DATA: MiniStack evaluates no expression.
    """
    record = provisioners._cw_metric_alarm_record

    def alarm_record(name: str, properties: Properties) -> dict[str, Any]:
        if not properties.get("Metrics"):
            return dict(record(name, properties))
        plain = {**properties, "Metrics": None, "Namespace": "none", "MetricName": "none"}
        of_metric = {"Namespace", "MetricName", "Dimensions", "Statistic", "Period"}
        declared = {key: value for key, value in record(name, plain).items() if key not in of_metric}
        return {**declared, "Metrics": properties["Metrics"]}

    provisioners._cw_metric_alarm_record = alarm_record


def keep_buckets_that_are_not_empty() -> None:
    """Fail the deletion of a stack whose bucket holds objects; MiniStack throws them away.

    Otherwise it is missed on AWS only that nobody empties a bucket before it goes with its stack.
    """
    handlers = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    delete = handlers["delete"]

    def delete_bucket(name: str, properties: Properties) -> None:
        if s3._buckets.get(name, {}).get("objects") or s3._bucket_has_versions(name):
            raise ValueError("The bucket you tried to delete is not empty")  # shown as the resource's reason
        delete(name, properties)

    handlers["delete"] = delete_bucket


def keep_what_others_need() -> None:
    """Leave a resource while one that depends on it is still there, as the deletion of a stack does.

    MiniStack goes on after a failure, and deletes the function behind a custom resource that could not be deleted:
    the next try finds nobody to ask.
    """
    delete = stacks._delete_resource

    def delete_resource(
        kind: str, physical_id: str, properties: Properties, stack: str = "", logical_id: str = ""
    ) -> None:
        if _is_needed(stack, logical_id):
            raise ValueError("Resource deletion cancelled")  # shown as the resource's reason
        delete(kind, physical_id, properties, stack, logical_id)

    stacks._delete_resource = delete_resource


def _is_needed(stack_name: str, logical_id: str) -> bool:
    """Whether, in a stack's deletion, a resource is left that depends on this one; such ones go first."""
    stack = cloudformation._stacks.get(stack_name) or {}
    left, definitions = stack.get("_resources", {}), (stack.get("_template") or {}).get("Resources", {})
    return stack.get("StackStatus") == "DELETE_IN_PROGRESS" and any(
        logical_id in engine._extract_deps(definitions.get(each, {}), left.keys()) for each in left
    )
