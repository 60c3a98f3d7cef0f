"""Functions on the embedded AWS."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from local.cloud.settings import ENDPOINT_TAG
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


TIMEOUT_S = 1


class ElsewhereHandler(BaseHTTPRequestHandler):
    """A Lambda endpoint that answers as `sam local start-lambda` does: 200, whatever happens."""

    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        *_, name, _ = self.path.split("/")
        answers = {
            "echo": json.dumps([name, event]),
            "raise": json.dumps({"errorType": "Unheard", "errorMessage": "of"}),
            "sleep": "",
            "nothing": "",
        }
        body = answers[event["do"]].encode()
        if event["do"] == "sleep":
            time.sleep(TIMEOUT_S)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class TestFunctionsElsewhere:
    @pytest.fixture(scope="class")
    @classmethod
    def name(cls, region):
        resources = {"Role": role("lambda.amazonaws.com"), "Function": function(PROBES, Timeout=TIMEOUT_S)}
        return create(region, "elsewhere", resources, {"Function": {"Ref": "Function"}})["Function"]

    @pytest.fixture(scope="class")
    @classmethod
    def endpoint(cls):
        with ThreadingHTTPServer(("127.0.0.1", 0), ElsewhereHandler) as server:
            threading.Thread(target=server.serve_forever).start()
            yield "http://{}:{}".format(*server.server_address)
            server.shutdown()

    @pytest.fixture
    def invoke(self, region, name):
        def invoke(endpoint, **event):
            client = region.client("lambda")
            arn = client.get_function_configuration(FunctionName=name)["FunctionArn"]
            client.tag_resource(Resource=arn, Tags={ENDPOINT_TAG: endpoint})
            answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
            return json.loads(answer["Payload"].read()), answer.get("FunctionError")

        return invoke

    def test_a_tagged_function_is_invoked_at_its_endpoint(self, invoke, endpoint, name):
        assert invoke(endpoint, do="echo") == ([name, {"do": "echo"}], None)

    def test_an_error_is_told_by_what_it_answers(self, invoke, endpoint):
        assert invoke(endpoint, do="raise") == ({"errorType": "Unheard", "errorMessage": "of"}, "Unhandled")

    def test_no_answer_is_the_end_of_its_time(self, invoke, endpoint):
        error, kind = invoke(endpoint, do="sleep")
        assert (error["errorType"], kind) == ("Sandbox.Timedout", "Unhandled")

    def test_no_answer_before_its_time_is_an_error_of_lambda_s(self, invoke, endpoint):
        error, kind = invoke(endpoint, do="nothing")
        assert (error["errorType"], kind) == ("Lambda.ServiceException", "Unhandled")

    def test_an_endpoint_that_is_gone_is_an_error_of_lambda_s(self, invoke):
        error, kind = invoke("http://127.0.0.1:9", do="echo")
        assert (error["errorType"], kind) == ("Lambda.ServiceException", "Unhandled")
