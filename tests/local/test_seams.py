"""The seams of MiniStack: that each name they replace is still where it was, and that they do what they are for."""

import ast
import importlib.util
import io
import json
import time
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path

import boto3
import botocore.exceptions
import pytest

from local.cloud.region import Region

ACCOUNT = "000000000000"
REGION = "us-east-1"


# ---------------------------------------------------------------- canaries
def test_ministack_is_the_version_that_the_seams_were_made_for():
    assert metadata.version("ministack") == "1.5.33"


@pytest.mark.parametrize(
    ("replaced", "used_by"),
    [
        ("services.lambda_svc:_provided_worker_env", "core.lambda_runtime:ProvidedWorker._spawn"),
        ("services.lambda_svc:_provided_runtime_code_dir", "core.lambda_runtime:ProvidedWorker._spawn"),
        ("services.lambda_svc:_execute_function_warm", "services.lambda_svc:_execute_function_dispatch"),
        ("core.lambda_runtime:ProvidedWorker._await_init", "core.lambda_runtime:ProvidedWorker._spawn"),
        ("core.lambda_runtime:_worker_class_for", "core.lambda_runtime:acquire_worker"),
        ("services.stepfunctions:_run_execution", "services.stepfunctions:_start_execution"),
        ("services.stepfunctions:_call_lambda", "services.stepfunctions:_invoke_resource"),
        ("services.cloudwatch_logs:_put_subscription_filter", "services.cloudwatch_logs:handle_request"),
        ("services.cloudwatch_logs:_fanout_to_subscription_filters", "services.cloudwatch_logs:_put_log_events"),
        ("services.cloudwatch_logs:_fanout_to_live_tail_sessions", "services.cloudwatch_logs:_put_log_events"),
        ("services.ec2:_ACTION_MAP", "services.ec2:handle_request"),
        ("services.ec2:_instance_xml", "services.ec2:_describe_instances"),
        ("services.ec2:instance_is_managed", "services.ssm:_managed_instance_ids"),
        ("services.ec2:exec_in_instance_blocking", "services.ssm:_finish_invocation"),
        ("services.ssm:_send_command", "services.ssm:handle_request"),
        ("services.ssm:_shell_argv", "services.ssm:_send_command"),
        ("services.ssm:_SHELL_DOCUMENTS", "services.ssm:_send_command"),
        ("services.ssm:_PUBLIC_AMI_PARAMETERS", "services.ssm:_public_parameter"),
        (
            "services.cloudformation.provisioners:_RESOURCE_HANDLERS",
            "services.cloudformation.provisioners:_provision_resource",
        ),
        (
            "services.cloudformation.provisioners:_STACK_TAG_PROPERTY",
            "services.cloudformation.provisioners:_with_stack_tags",
        ),
        ("services.athena:_start_query_execution", "services.athena:handle_request"),
        ("services.athena:_rewrite_data_paths", "services.athena:_run_duckdb"),
        ("services.athena:_table_relation", "services.athena:_rewrite_data_paths"),
        ("services.athena:_empty_relation", "services.athena:_rewrite_data_paths"),
        ("services.athena:_run_duckdb", "services.athena:_execute_query"),
        ("services.athena:_DUCKDB_TYPE_MAP", "services.athena:_run_duckdb"),
        ("core.iam_evaluator:enforce", "app:_dispatch_service_request"),
        ("core.iam_evaluator:evaluate_trust_policy", "services.sts:handle_request"),
        ("app:pin_request_origin", "app:app"),
    ],
)
def test_what_a_seam_replaces_is_still_used_where_it_was(replaced, used_by):
    assert definition(replaced)
    assert replaced.rpartition(":")[2].rpartition(".")[2] in definition(used_by)


def test_athena_comes_to_duckdb_as_the_seam_expects():
    assert 'duckdb.connect(":memory:")' in definition("services.athena:_run_duckdb")


def definition(path):
    """The source of what a module of MiniStack defines, without importing it."""
    module, _, name = path.partition(":")
    source, definitions = parsed(module)
    first, *rest = name.split(".")
    node = definitions[first]
    for each in rest:
        (node,) = (child for child in node.body if getattr(child, "name", None) == each)
    return ast.get_source_segment(source, node)


@cache
def parsed(module):
    source = Path(importlib.util.find_spec(f"ministack.{module}").origin).read_text()
    definitions = {}
    for node in ast.parse(source).body:
        names = [*getattr(node, "names", []), *getattr(node, "targets", []), getattr(node, "target", node)]
        for target in [node, *names]:
            definitions[getattr(target, "name", getattr(target, "id", None))] = node
    return source, definitions


# ---------------------------------------------------------------- a region with a stack
VPC = {
    "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.99.0.0/24"}},
    "Subnet": {
        "Type": "AWS::EC2::Subnet",
        "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.99.0.0/24", "MapPublicIpOnLaunch": True},
    },
}


def role(service, *statements):
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    policies = [{"PolicyName": "may", "PolicyDocument": policy}] if statements else []
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": policies,
        },
    }


def may(actions, resources="*", **condition):
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


def function(source, role="Role", **properties):
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": [role, "Arn"]},
            "Code": {"ZipFile": source},
            **properties,
        },
    }


def instance(role_tag, **properties):
    return {
        "Type": "AWS::EC2::Instance",
        "Properties": {
            "ImageId": "{{resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64}}",
            "InstanceType": "t4g.nano",
            "SubnetId": {"Ref": "Subnet"},
            "Tags": [{"Key": "flowlag:role", "Value": role_tag}],
            **properties,
        },
    }


def create(region, name, resources, outputs):
    """Create a stack and return what each of `outputs`, a Ref or GetAtt, resolves to."""
    cloudformation = region.client("cloudformation")
    template = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
    (stack,) = eventually(
        lambda: cloudformation.describe_stacks(StackName=name)["Stacks"],
        lambda stacks: stacks[0]["StackStatus"] != "CREATE_IN_PROGRESS",
    )
    assert stack["StackStatus"] == "CREATE_COMPLETE", reasons(cloudformation, name)
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def reasons(cloudformation, name):
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return [event["ResourceStatusReason"] for event in events if "ResourceStatusReason" in event]


def eventually(look, is_right, within_s=60):
    """What `look` finds as soon as it is right; the last that it found when it never is."""
    deadline = time.monotonic() + within_s
    while not is_right(found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def zipped(**files):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name.replace('__', '/')}.py", text)
    return sink.getvalue()


@pytest.fixture(scope="module")
def region():
    with Region(time_scale=60) as region:
        yield region


def assumed(region, role_arn, service, name="test"):
    """A client with the rights of a role."""
    credentials = region.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=name)["Credentials"]
    return boto3.client(
        service,
        endpoint_url=region.endpoint,
        region_name=REGION,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def error_of(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as failure:
        call(**parameters)
    return failure.value.response["Error"]["Code"]


# ---------------------------------------------------------------- Lambda and Step Functions
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

MACHINE = {
    "StartAt": "Try",
    "States": {
        "Try": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "${Function}", "Payload": {"do": "fail"}},
            "Catch": [{"ErrorEquals": ["Unheard"], "Next": "Caught"}],
            "End": True,
        },
        "Caught": {"Type": "Pass", "Result": "caught", "End": True},
    },
}


@pytest.mark.slow
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


@pytest.mark.slow
class TestStateMachines:
    @pytest.fixture(scope="class")
    @classmethod
    def machines(cls, region):
        definition = {
            "DefinitionString": json.dumps(MACHINE),
            "DefinitionSubstitutions": {"Function": {"Fn::GetAtt": ["Function", "Arn"]}},
        }
        machine = {"Type": "AWS::StepFunctions::StateMachine"}
        function_arn = {"Fn::GetAtt": ["Function", "Arn"]}
        return create(
            region,
            "machines",
            {
                "Role": role("lambda.amazonaws.com"),
                "Function": function(PROBES),
                "Allowed": role("states.amazonaws.com", may("lambda:InvokeFunction", function_arn)),
                "Forbidden": role("states.amazonaws.com"),
                "Can": {**machine, "Properties": {**definition, "RoleArn": {"Fn::GetAtt": ["Allowed", "Arn"]}}},
                "Cannot": {
                    **machine,
                    "Properties": {**definition, "RoleArn": {"Fn::GetAtt": ["Forbidden", "Arn"]}},
                },
            },
            {"Can": {"Ref": "Can"}, "Cannot": {"Ref": "Cannot"}},
        )

    @staticmethod
    def execution(region, machine):
        states = region.client("stepfunctions")
        arn = states.start_execution(stateMachineArn=machine)["executionArn"]
        return eventually(lambda: states.describe_execution(executionArn=arn), lambda e: e["status"] != "RUNNING")

    def test_catch_matches_the_class_of_an_exception(self, region, machines):
        execution = self.execution(region, machines["Can"])
        assert (execution["status"], json.loads(execution["output"])) == ("SUCCEEDED", "caught")

    def test_a_machine_invokes_only_what_its_role_allows(self, region, machines):
        execution = self.execution(region, machines["Cannot"])
        assert (execution["status"], execution["error"]) == ("FAILED", "Lambda.AWSLambdaException")
        assert "is not authorized to perform: lambda:InvokeFunction" in execution["cause"]


# ---------------------------------------------------------------- CloudWatch Logs
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


@pytest.mark.slow
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


# ---------------------------------------------------------------- EC2 and its instances
DOCUMENT = {
    "schemaVersion": "2.2",
    "parameters": {
        "What": {"type": "String", "interpolationType": "ENV_VAR", "allowedPattern": "^[a-z]+$"},
    },
    "mainSteps": [
        {
            "action": "aws:runShellScript",
            "name": "do",
            "inputs": {
                "timeoutSeconds": "3",
                "runCommand": [
                    "set -eu",
                    "export AWS_DEFAULT_REGION=$AWS_SSM_REGION_NAME",
                    "BIND=\"import socket; socket.socket().bind(('10.99.0.10', 0)); print('mine')\"",
                    'case "$SSM_What" in',
                    'say) echo "said $SSM_What in $AWS_SSM_REGION_NAME"; echo complained >&2;;',
                    "fail) exit 3;;",
                    "sleep) sleep 60;;",
                    'address) python3 -c "$BIND";;',
                    "who) aws sts get-caller-identity --query Arn --output text;;",
                    'home) touch "$FLOWLAG_HOME/here"; ls "$FLOWLAG_HOME"; echo "$PATH" | cut -d: -f2-;;',
                    "esac",
                ],
            },
        }
    ],
}


@pytest.fixture(scope="module")
def instances(region):
    profile = {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "InstanceRole"}]}}
    managed = {"IamInstanceProfile": {"Ref": "Profile"}}
    return create(
        region,
        "instances",
        {
            **VPC,
            "InstanceRole": role("ec2.amazonaws.com"),
            "Profile": profile,
            "Sender": instance("sender", PrivateIpAddress="10.99.0.10", InstanceType="t3.micro", **managed),
            "Other": instance("other", **managed),
            "Unprofiled": instance("target", PrivateIpAddress="10.99.0.20"),
            "Document": {
                "Type": "AWS::SSM::Document",
                "Properties": {"DocumentType": "Command", "Content": DOCUMENT},
            },
        },
        {
            **{name: {"Ref": name} for name in ("Subnet", "Vpc", "Sender", "Other", "Unprofiled", "Document")},
            "InstanceRole": {"Ref": "InstanceRole"},
            "Address": {"Fn::GetAtt": ["Sender", "PrivateIp"]},
            "Public": {"Fn::GetAtt": ["Sender", "PublicIp"]},
        },
    )


@pytest.mark.slow
class TestInstances:
    @staticmethod
    def described(region, instance_id):
        (reservation,) = region.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
        (described,) = reservation["Instances"]
        return described

    def test_an_instance_is_as_its_template_says(self, region, instances):
        sender = self.described(region, instances["Sender"])
        assert sender["PrivateIpAddress"] == instances["Address"] == "10.99.0.10"
        assert sender["PublicIpAddress"] == instances["Public"]
        assert (sender["InstanceType"], sender["Architecture"]) == ("t3.micro", "x86_64")
        assert (sender["SubnetId"], sender["VpcId"]) == (instances["Subnet"], instances["Vpc"])
        assert sender["IamInstanceProfile"]["Arn"].startswith(f"arn:aws:iam::{ACCOUNT}:instance-profile/instances-")
        tags = {tag["Key"]: tag["Value"] for tag in sender["Tags"]}
        assert tags["flowlag:role"] == "sender"
        assert tags["aws:cloudformation:logical-id"] == "Sender"

    def test_it_has_a_network_interface_that_stays_the_same(self, region, instances):
        (interface,) = self.described(region, instances["Sender"])["NetworkInterfaces"]
        (again,) = self.described(region, instances["Sender"])["NetworkInterfaces"]
        assert interface["NetworkInterfaceId"] == again["NetworkInterfaceId"]
        assert interface["PrivateIpAddress"] == "10.99.0.10"
        (described,) = region.client("ec2").describe_network_interfaces(
            NetworkInterfaceIds=[interface["NetworkInterfaceId"]]
        )["NetworkInterfaces"]
        assert described["Attachment"]["InstanceId"] == instances["Sender"]

    def test_its_image_is_that_of_its_processor(self, region, instances):
        other = self.described(region, instances["Other"])
        assert other["ImageId"].startswith("ami-")
        assert other["Architecture"] == "arm64"

    @pytest.mark.parametrize(
        ("kind", "hypervisor", "processor"),
        [("t2.micro", "xen", "x86_64"), ("t3.micro", "nitro", "x86_64"), ("t4g.nano", "nitro", "arm64")],
    )
    def test_an_instance_type_is_as_it_is_sold(self, region, kind, hypervisor, processor):
        (described,) = region.client("ec2").describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]
        assert described["Hypervisor"] == hypervisor
        assert described["ProcessorInfo"]["SupportedArchitectures"] == [processor]

    def test_a_zone_is_found_by_its_name(self, region):
        (zone,) = region.client("ec2").describe_availability_zones(ZoneNames=["us-east-1b"])["AvailabilityZones"]
        assert (zone["ZoneName"], zone["ZoneId"]) == ("us-east-1b", "use1-az2")
        assert len(region.client("ec2").describe_availability_zones()["AvailabilityZones"]) == 3

    @pytest.mark.parametrize(
        ("properties", "reason"),
        [
            (
                {"PrivateIpAddress": "10.98.0.1"},
                "Address 10.98.0.1 does not fall within the subnet's address range",
            ),
            ({"PrivateIpAddress": "10.99.0.10"}, "Address 10.99.0.10 is in use."),
            ({"SubnetId": "subnet-0"}, "The subnet ID 'subnet-0' does not exist"),
            ({"IamInstanceProfile": "nobody"}, "Value (nobody) for parameter iamInstanceProfile.name is invalid"),
        ],
    )
    def test_an_instance_that_cannot_be_fails_its_stack(self, region, instances, properties, reason):
        resource = instance("sender", **{"SubnetId": instances["Subnet"], **properties})
        with pytest.raises(AssertionError) as failure:
            create(region, f"wrong-{len(reason)}", {"Instance": resource}, {})
        assert reason in str(failure.value)

    def test_a_document_that_cannot_be_run_fails_its_stack(self, region):
        document = {"Type": "AWS::SSM::Document", "Properties": {"Content": {**DOCUMENT, "schemaVersion": "0.3"}}}
        with pytest.raises(AssertionError, match=r"schemaVersion '2\.2'"):
            create(region, "wrong-document", {"Document": document}, {})

    def test_deleting_the_stack_deletes_them(self, region):
        network = create(region, "gone", {**VPC, "One": instance("x")}, {"One": {"Ref": "One"}})
        region.client("cloudformation").delete_stack(StackName="gone")
        state = eventually(
            lambda: self.described(region, network["One"])["State"]["Name"], lambda state: state == "terminated"
        )
        assert state == "terminated"
        assert not self.described(region, network["One"])["NetworkInterfaces"]


@pytest.mark.slow
class TestCommands:
    @pytest.fixture
    def run(self, region, instances):
        def run(what, to="Sender"):
            ssm = region.client("ssm")
            command = ssm.send_command(
                DocumentName=instances["Document"], InstanceIds=[instances[to]], Parameters={"What": [what]}
            )["Command"]
            look = {"CommandId": command["CommandId"], "InstanceId": instances[to]}
            assert command["Status"] == "Pending"
            return eventually(
                lambda: ssm.get_command_invocation(**look),
                lambda invocation: invocation["Status"] not in ("Pending", "InProgress"),
            )

        return run

    def test_a_command_runs_and_is_told_about(self, run):
        done = run("say")
        assert (done["Status"], done["ResponseCode"]) == ("Success", 0)
        assert done["StandardOutputContent"] == f"said say in {REGION}\n"
        assert done["StandardErrorContent"] == "complained\n"

    def test_a_command_that_fails_has_failed(self, run):
        done = run("fail")
        assert (done["Status"], done["ResponseCode"]) == ("Failed", 3)

    def test_a_command_that_takes_too_long_is_killed(self, run):
        done = run("sleep")
        assert done["Status"] == "Failed"
        assert "killed after 3 s" in done["StandardErrorContent"]

    def test_it_runs_on_the_instance(self, region, run):
        if region.network != "namespaces":
            pytest.skip(f"there is no network: {region.reason}")
        assert run("address")["StandardOutputContent"] == "mine\n"

    def test_it_has_the_rights_of_the_instance(self, run, instances):
        who = run("who")["StandardOutputContent"].strip()
        assert who.endswith(f":assumed-role/{instances['InstanceRole']}/{instances['Sender']}")

    def test_it_has_a_home_of_its_own_and_nothing_of_the_machine(self, run):
        here, path = run("home")["StandardOutputContent"].split()
        assert here == "here"
        assert path == "/bin:/usr/bin"

    @pytest.mark.parametrize("value", ["UPPER", "a b", "x; reboot", "$(reboot)", ""])
    def test_a_parameter_that_the_pattern_forbids_is_refused(self, region, instances, value):
        send = region.client("ssm").send_command
        refused = error_of(
            send,
            DocumentName=instances["Document"],
            InstanceIds=[instances["Sender"]],
            Parameters={"What": [value]},
        )
        assert refused == "InvalidParameters"

    @pytest.mark.parametrize("to", ["Other", "Unprofiled"])
    def test_an_instance_without_a_box_or_a_profile_takes_no_command(self, region, instances, to):
        send = region.client("ssm").send_command
        parameters = {"DocumentName": instances["Document"], "Parameters": {"What": ["say"]}}
        assert error_of(send, InstanceIds=[instances[to]], **parameters) == "InvalidInstanceId"

    @pytest.mark.parametrize("document", ["AWS-RunShellScript", "nothing"])
    def test_another_document_than_the_stacks_own_is_refused(self, region, instances, document):
        send = region.client("ssm").send_command
        assert error_of(send, DocumentName=document, InstanceIds=[instances["Sender"]]) == "InvalidDocument"


# ---------------------------------------------------------------- IAM
@pytest.mark.slow
class TestRights:
    """What least-privilege policies allow and deny."""

    ARN = f"arn:aws:ec2:{REGION}:{ACCOUNT}"

    @pytest.fixture
    def flow_log(self, region, instances):
        described = TestInstances.described(region, instances["Sender"])
        return {
            "ResourceType": "NetworkInterface",
            "ResourceIds": [described["NetworkInterfaces"][0]["NetworkInterfaceId"]],
            "TrafficType": "ALL",
            "LogGroupName": "/rights",
            "DeliverLogsPermissionArn": f"arn:aws:iam::{ACCOUNT}:role/delivery",
            "TagSpecifications": [
                {"ResourceType": "vpc-flow-log", "Tags": [{"Key": "flowlag:run-id", "Value": "r"}]}
            ],
        }

    @pytest.fixture
    def ec2_with(self, region, request):
        def ec2_with(*statements):
            name = f"rights-{request.node.name.partition('[')[0][-40:].replace('_', '-')}-{len(statements)}"
            arn = {"Arn": {"Fn::GetAtt": ["Role", "Arn"]}}
            created = create(region, name, {"Role": role("lambda.amazonaws.com", *statements)}, arn)
            return assumed(region, created["Arn"], "ec2")

        return ec2_with

    def needed(self):
        return {
            "create": may("ec2:CreateFlowLogs", [f"{self.ARN}:vpc-flow-log/*", f"{self.ARN}:network-interface/*"]),
            "tag": may(
                "ec2:CreateTags",
                f"{self.ARN}:vpc-flow-log/*",
                StringEquals={"ec2:CreateAction": "CreateFlowLogs"},
            ),
            "pass": may(
                "iam:PassRole",
                f"arn:aws:iam::{ACCOUNT}:role/delivery",
                StringEquals={"iam:PassedToService": "vpc-flow-logs.amazonaws.com"},
            ),
        }

    def test_a_flow_log_can_be_created_and_deleted_with_no_more_than_is_needed(self, ec2_with, flow_log):
        ours = may(
            "ec2:DeleteFlowLogs", f"{self.ARN}:vpc-flow-log/*", Null={"aws:ResourceTag/flowlag:run-id": "false"}
        )
        ec2 = ec2_with(*self.needed().values(), ours)
        (flow_log_id,) = ec2.create_flow_logs(**flow_log)["FlowLogIds"]
        assert ec2.delete_flow_logs(FlowLogIds=[flow_log_id])["Unsuccessful"] == []

    @pytest.mark.parametrize("missing", ["create", "tag", "pass"])
    def test_nothing_of_what_is_needed_may_be_missing(self, region, flow_log, missing):
        needed = self.needed()
        needed.pop(missing)
        name = f"missing-{missing}"
        created = create(
            region,
            name,
            {"Role": role("lambda.amazonaws.com", *needed.values())},
            {"Arn": {"Fn::GetAtt": ["Role", "Arn"]}},
        )
        ec2 = assumed(region, created["Arn"], "ec2")
        assert error_of(ec2.create_flow_logs, **flow_log) == "UnauthorizedOperation"

    def test_somebody_elses_flow_log_is_not_deleted(self, region, ec2_with, flow_log):
        untagged = {name: value for name, value in flow_log.items() if name != "TagSpecifications"}
        (flow_log_id,) = region.client("ec2").create_flow_logs(**untagged)["FlowLogIds"]
        ours = may(
            "ec2:DeleteFlowLogs", f"{self.ARN}:vpc-flow-log/*", Null={"aws:ResourceTag/flowlag:run-id": "false"}
        )
        assert error_of(ec2_with(ours).delete_flow_logs, FlowLogIds=[flow_log_id]) == "UnauthorizedOperation"
        region.client("ec2").delete_flow_logs(FlowLogIds=[flow_log_id])

    def test_a_command_needs_its_document_and_its_instance(self, region, instances):
        document = f"arn:aws:ssm:{REGION}:{ACCOUNT}:document/{instances['Document']}"
        sender = f"{self.ARN}:instance/{instances['Sender']}"
        arns = create(
            region,
            "senders",
            {
                "Whole": role("lambda.amazonaws.com", may("ssm:SendCommand", [document, sender])),
                "Half": role("lambda.amazonaws.com", may("ssm:SendCommand", [document])),
            },
            {name: {"Fn::GetAtt": [name, "Arn"]} for name in ("Whole", "Half")},
        )
        command = {
            "DocumentName": instances["Document"],
            "InstanceIds": [instances["Sender"]],
            "Parameters": {"What": ["say"]},
        }
        assert assumed(region, arns["Whole"], "ssm").send_command(**command)["Command"]["CommandId"]
        assert error_of(assumed(region, arns["Half"], "ssm").send_command, **command) == "AccessDeniedException"

    def test_a_delivery_role_may_ask_for_whom_it_is_assumed(self, region):
        def trusting(account):
            trusted = role("vpc-flow-logs.amazonaws.com")
            (statement,) = trusted["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            statement["Condition"] = {
                "StringEquals": {"aws:SourceAccount": account},
                "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:{REGION}:{account}:vpc-flow-log/*"},
            }
            return trusted

        arns = create(
            region,
            "delivery",
            {"Ours": trusting(ACCOUNT), "Theirs": trusting("111111111111")},
            {name: {"Fn::GetAtt": [name, "Arn"]} for name in ("Ours", "Theirs")},
        )
        assume = region.client("sts").assume_role
        assert assume(RoleArn=arns["Ours"], RoleSessionName="vpc-flow-logs")["Credentials"]
        assert error_of(assume, RoleArn=arns["Theirs"], RoleSessionName="vpc-flow-logs") == "AccessDenied"

    def test_a_bucket_that_demands_tls_can_be_used(self, region):
        s3 = region.client("s3")
        s3.create_bucket(Bucket="tls-only")
        deny = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["arn:aws:s3:::tls-only", "arn:aws:s3:::tls-only/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        policy = {"Version": "2012-10-17", "Statement": [deny]}
        s3.put_bucket_policy(Bucket="tls-only", Policy=json.dumps(policy))
        arns = create(
            region,
            "tls",
            {"Role": role("lambda.amazonaws.com", may("s3:PutObject", "arn:aws:s3:::tls-only/*"))},
            {"Arn": {"Fn::GetAtt": ["Role", "Arn"]}},
        )
        put = assumed(region, arns["Arn"], "s3").put_object
        assert put(Bucket="tls-only", Key="k", Body=b"v")["ResponseMetadata"]["HTTPStatusCode"] == 200
