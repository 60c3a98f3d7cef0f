"""Functions on the embedded AWS."""

import json

import pytest

from tests.local.stacks import REGION, create, function, role, zipped

pytestmark = pytest.mark.slow

PROBES = """
import collections, importlib, os, sys
import boto3

calls = collections.Counter()

class Unheard(Exception):
    pass

def handler(event, context):
    calls["handler"] += 1
    match event["do"]:
        case "fail":
            raise Unheard("of")
        case "count":
            return calls["handler"]
        case "import":
            return importlib.import_module(event["module"]).__file__
        case "who":
            return boto3.client("sts").get_caller_identity()["Arn"]
        case "list":
            return boto3.client("s3").list_buckets()["Buckets"]
        case "context":
            return [context.function_name, context.memory_limit_in_mb, context.get_remaining_time_in_millis() > 0]
        case "environment":
            return {name: value for name, value in os.environ.items()}
"""


class TestFunctions:
    @pytest.fixture(scope="class")
    @classmethod
    def names(cls, region):
        layer = region.client("lambda").publish_layer_version(
            LayerName="words", Content={"ZipFile": zipped(python__greeting="WORD = 'hello'")}
        )
        return create(
            region,
            "functions",
            {
                "Role": role("lambda.amazonaws.com"),
                "Function": function(PROBES, Layers=[layer["LayerVersionArn"]], MemorySize=192),
                "Broken": function("import nowhere_to_be_found"),
                "Slow": function("import time\ndef handler(event, context): time.sleep(60)", Timeout=1),
            },
            {name: {"Ref": name} for name in ("Function", "Broken", "Slow", "Role")},
        )

    @pytest.fixture
    def invoke(self, region, names):
        def invoke(name, **event):
            answer = region.client("lambda").invoke(FunctionName=names[name], Payload=json.dumps(event))
            return json.loads(answer["Payload"].read())

        return invoke

    def test_an_error_is_called_by_the_class_of_its_exception(self, invoke):
        error = invoke("Function", do="fail")
        assert (error["errorType"], error["errorMessage"]) == ("Unheard", "of")
        assert any("index.py" in line for line in error["stackTrace"])

    def test_a_failed_function_keeps_its_state(self, invoke):
        before = invoke("Function", do="count")
        invoke("Function", do="fail")
        assert invoke("Function", do="count") == before + 2

    def test_its_layers_and_the_sdk_are_there(self, invoke):
        assert "greeting" in invoke("Function", do="import", module="greeting")
        assert "boto3" in invoke("Function", do="import", module="boto3")

    @pytest.mark.parametrize("module", ["click", "pytest", "flowlag", "local"])
    def test_the_packages_of_this_workspace_are_not(self, invoke, module):
        assert invoke("Function", do="import", module=module)["errorType"] == "ModuleNotFoundError"

    def test_a_module_that_is_missing_is_reported_as_on_aws(self, invoke):
        error = invoke("Broken")
        assert error["errorType"] == "Runtime.ImportModuleError"
        assert "nowhere_to_be_found" in error["errorMessage"]

    def test_a_timeout_is_reported_as_on_aws(self, invoke):
        assert invoke("Slow")["errorType"] == "Sandbox.Timedout"

    def test_its_context_is_lambdas(self, invoke, names):
        assert invoke("Function", do="context") == [names["Function"], "192", True]

    def test_it_has_the_rights_of_its_role_and_no_others(self, invoke, names):
        assert f":assumed-role/{names['Role']}/" in invoke("Function", do="who")
        assert invoke("Function", do="list")["errorType"] == "AccessDenied"

    def test_its_environment_is_lambdas_own(self, invoke, region):
        environment = invoke("Function", do="environment")
        assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
        assert environment["AWS_REGION"] == REGION
        assert environment["AWS_ENDPOINT_URL"] == region.endpoint
        assert "GATEWAY_PORT" not in environment
        assert "HOME" not in environment
