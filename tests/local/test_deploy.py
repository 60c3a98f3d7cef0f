"""The stack, deployed to the embedded AWS from the template as it stands."""

import json
import platform
import shutil

import pytest

from local.checkout import CHECKOUT
from local.cloud.deploy import LAYERS, STACK, NotDeployed, deploy
from local.cloud.region import Region

pytestmark = pytest.mark.slow

SMALL = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Source: {{Type: String, Default: aws}}
Globals:
  Function: {{Runtime: python3.13, CodeUri: code/, Layers: [!Ref Words]}}
Resources:
  Words:
    Type: AWS::Serverless::LayerVersion
    Properties: {{ContentUri: somewhere/words}}
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Handler: hello.handler
      Environment: {{Variables: {{SOURCE: !Ref Source}}}}
  Extra: {extra}
Outputs:
  Hello: {{Value: !Ref Hello}}
"""
QUEUE = "{Type: AWS::SQS::Queue}"
ELSEWHERE = "eu-west-1"


@pytest.fixture(scope="module")
def region():
    with Region(also=[ELSEWHERE]) as region:
        yield region


@pytest.fixture
def small(tmp_path):
    """A folder with a small template, its code and its built layer; and how to write the template."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "hello.py").write_text(
        "import os, words\ndef handler(event, context): return f'{words.HELLO} from {os.environ[\"SOURCE\"]}'\n"
    )
    layers, layer = tmp_path / "layers", tmp_path / "layer" / "python"
    layer.mkdir(parents=True)
    (layer / "words.py").write_text("HELLO = 'hello'\n")
    shutil.make_archive(str(layers / "words"), "zip", layer.parent)
    template = tmp_path / "template.yaml"
    template.write_text(SMALL.format(extra=QUEUE))
    return template, layers


def delete(region):
    cloudformation = region.client("cloudformation")
    cloudformation.delete_stack(StackName=STACK)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})


class TestTheTemplate:
    @pytest.fixture(scope="class")
    @classmethod
    def outputs(cls, region):
        outputs = deploy(region)
        yield outputs
        delete(region)

    @pytest.fixture(scope="class")
    @classmethod
    def resources(cls, region, outputs):
        assert outputs
        found = region.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
        return {resource["LogicalResourceId"]: resource for resource in found}

    def test_all_of_it_is_there(self, resources):
        assert {resource["ResourceStatus"] for resource in resources.values()} == {"CREATE_COMPLETE"}

    def test_its_outputs_are_returned(self, region, outputs):
        states = region.client("stepfunctions")
        assert states.describe_state_machine(stateMachineArn=outputs["StateMachineArn"])["status"] == "ACTIVE"
        region.client("s3").head_bucket(Bucket=outputs["ResultsBucketName"])

    def test_the_state_machine_names_the_functions(self, region, outputs, resources):
        states = region.client("stepfunctions")
        definition = states.describe_state_machine(stateMachineArn=outputs["StateMachineArn"])["definition"]
        assert "${" not in definition
        assert f"function:{resources['PlanRunFunction']['PhysicalResourceId']}" in definition

    def test_a_function_is_for_this_machine_and_knows_that_it_is_local(self, region, resources):
        name = resources["PlanRunFunction"]["PhysicalResourceId"]
        configuration = region.client("lambda").get_function_configuration(FunctionName=name)
        machine = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
        assert configuration["Architectures"] == [machine]
        assert configuration["Environment"]["Variables"]["SOURCE"] == "local"

    @pytest.mark.parametrize(
        "name",
        [
            "PlanRun",
            "StartTraffic",
            "CreateFlowLog",
            "CheckFirstDelivery",
            "StopTraffic",
            "DeleteFlowLogs",
            "ReconcileRun",
            "SummarizeRun",
            "PublishReport",
            "DecodeRecords",
        ],
    )
    def test_a_function_finds_all_that_it_imports(self, region, resources, name):
        """It fails for want of an event, of a plan or of an envelope, and of nothing else."""
        function = resources[f"{name}Function"]["PhysicalResourceId"]
        answer = region.client("lambda").invoke(FunctionName=function, Payload=json.dumps({"run_id": "nobody"}))
        result = json.loads(answer["Payload"].read())
        assert result.get("errorType") in (None, "KeyError", "NotStored"), result

    def test_the_instances_have_the_addresses_of_the_network(self, region, resources):
        ids = [resources[name]["PhysicalResourceId"] for name in ("SenderInstance", "TargetInstance")]
        reservations = region.client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
        addresses = {each["PrivateIpAddress"] for reservation in reservations for each in reservation["Instances"]}
        assert addresses == {"10.99.0.10", "10.99.0.20"}


class TestSmall:
    def test_code_and_layers_arrive(self, region, small):
        outputs = deploy(region, *small)
        answer = region.client("lambda").invoke(FunctionName=outputs["Hello"], Payload=b"{}")
        assert json.loads(answer["Payload"].read()) == "hello from local"
        delete(region)

    def test_a_second_stack_of_the_template_has_parameters_of_its_own_in_a_region_of_its_own(self, region, small):
        for stack, source in (("one", "here"), ("two", "there")):
            outputs = deploy(
                region, *small, region_name=ELSEWHERE, parameters={"Source": source}, stack=f"flowlag-{stack}"
            )
            assert outputs["Hello"].startswith(f"flowlag-{stack}-")
            function = region.client("lambda", ELSEWHERE).get_function_configuration(FunctionName=outputs["Hello"])
            assert function["FunctionArn"].startswith(f"arn:aws:lambda:{ELSEWHERE}:")
            assert function["Environment"]["Variables"] == {"SOURCE": source}

    def test_a_parameter_that_the_template_does_not_have_is_told(self, region, small):
        with pytest.raises(NotDeployed, match="the template has no parameter Sauce"):
            deploy(region, *small, parameters={"Sauce": "brown"})

    def test_what_cloudformation_refuses_is_told(self, region, small):
        with pytest.raises(NotDeployed, match=r"the stack was not created: .*stackName"):
            deploy(region, *small, stack="not_a_name")

    def test_a_layer_that_is_not_built_is_told_with_what_to_do(self, region, small):
        template, layers = small
        (layers / "words.zip").unlink()
        with pytest.raises(NotDeployed, match=r"words\.zip is not built: run 'make setup'"):
            deploy(region, template, layers)

    def test_a_resource_that_fails_is_told_with_its_reason(self, region, small):
        template, layers = small
        instance = "{Type: AWS::EC2::Instance, Properties: {SubnetId: subnet-0}}"
        template.write_text(SMALL.format(extra=instance))
        with pytest.raises(NotDeployed, match=r"Extra: .*subnet-0' does not exist"):
            deploy(region, template, layers)
        delete(region)


def test_the_layers_are_where_make_setup_leaves_them():
    assert LAYERS == CHECKOUT / ".build" / "layers"
