"""The rules of the template that a linter does not know."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import grimp
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from samtranslator.yaml_helper import yaml_parse

from flowlag.plan import RunRequest, Site, plan_run
from flowlag.tables import TABLES
from flowlag_aws import traffic
from flowlag_aws.settings import Traffic

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "template.yaml").read_text()
TEMPLATE: dict[str, Any] = yaml_parse(TEXT)
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]

type Statement = dict[str, Any]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of the resources of a type, by logical id."""
    return {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")
GLOBALS = TEMPLATE["Globals"]["Function"]
TABLES_OF_GLUE = {each["TableInput"]["Name"]: each for each in of_type("AWS::Glue::Table").values()}
(DOCUMENT,) = of_type("AWS::SSM::Document").values()
PARAMETERS: dict[str, dict[str, Any]] = DOCUMENT["Content"]["parameters"]
SCRIPT: list[str] = [line for step in DOCUMENT["Content"]["mainSteps"] for line in step["inputs"]["runCommand"]]


def walk(value: Any) -> Iterator[Any]:
    """A value and all that is in it."""
    yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(each)


def statements() -> list[Statement]:
    """Every statement of every policy, wherever it stands."""
    return [each for each in walk(RESOURCES) if isinstance(each, dict) and "Effect" in each]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# ---------------------------------------------------------------- the text
def test_it_has_no_alias_which_cloudformation_does_not_know() -> None:
    assert [event for event in yaml.parse(TEXT) if isinstance(event, yaml.AliasEvent)] == []


def test_whoever_is_given_everything_is_given_it_with_the_reason_beside() -> None:
    wide = [
        line
        for line in TEXT.splitlines()
        if re.search(r"""(Resource|Principal|-)(: | )\s*["']?\*["']?(\s|$|,|\])""", line)
    ]
    assert len(wide) >= 5
    assert [line for line in wide if not re.search(r"#\s*\w{3,}.*\w{3,}", line)] == []


# ---------------------------------------------------------------- tables
@pytest.mark.parametrize("table", TABLES)
def test_athena_sees_the_columns_that_are_written(table: str) -> None:
    columns = TABLES_OF_GLUE[table]["TableInput"]["StorageDescriptor"]["Columns"]
    assert [(each["Name"], each["Type"]) for each in columns] == list(TABLES[table].items())


def test_there_is_a_table_for_each_kind_of_row_and_no_other() -> None:
    assert TABLES_OF_GLUE.keys() == TABLES.keys()


@pytest.mark.parametrize("table", TABLES_OF_GLUE)
def test_partitions_are_projected_where_the_objects_lie(table: str) -> None:
    given = TABLES_OF_GLUE[table]["TableInput"]
    parameters, location = given["Parameters"], f"s3://${{ResultsBucket}}/{table}/"
    assert given["StorageDescriptor"]["Location"] == {"Fn::Sub": location}
    assert parameters["storage.location.template"] == {"Fn::Sub": f"{location}region=${{!region}}/dt=${{!dt}}/"}
    assert [(each["Name"], each["Type"]) for each in given["PartitionKeys"]] == [
        ("region", "string"),
        ("dt", "string"),
    ]
    assert parameters["projection.enabled"] == "true"
    assert (parameters["projection.region.type"], parameters["projection.dt.type"]) == ("enum", "date")
    assert parameters["projection.dt.format"] == "yyyy-MM-dd"
    assert given["StorageDescriptor"]["Columns"][0]["Name"] not in ("region", "dt")


# ---------------------------------------------------------------- functions
def test_functions_run_on_arm64_unless_asked_otherwise_and_on_python_3_13() -> None:
    assert GLOBALS["Runtime"] == "python3.13"
    assert GLOBALS["Architectures"] == [{"Ref": "Architecture"}]
    architecture = TEMPLATE["Parameters"]["Architecture"]
    assert (architecture["Default"], architecture["AllowedValues"]) == ("arm64", ["arm64", "x86_64"])
    for function in FUNCTIONS.values():
        assert not function.keys() & {"Runtime", "Architectures", "CodeUri"}


def test_the_log_of_every_function_ends_one_day() -> None:
    group = GLOBALS["LoggingConfig"]["LogGroup"]["Ref"]
    assert of_type("AWS::Logs::LogGroup")[group]["RetentionInDays"] > 0
    assert all("LoggingConfig" not in function for function in FUNCTIONS.values())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_handler_is_there_and_named_like_it(function: str) -> None:
    module, _, name = FUNCTIONS[function]["Handler"].rpartition(".")
    assert function == "".join(word.capitalize() for word in module.split("_")) + "Function"
    assert GLOBALS["CodeUri"] == "functions/"
    assert callable(getattr(import_module(f"functions.{module}"), name))


def test_every_module_of_the_functions_is_deployed() -> None:
    modules = {path.stem for path in (ROOT / "functions").glob("*.py")} - {"__init__"}
    assert {function["Handler"].partition(".")[0] for function in FUNCTIONS.values()} == modules


@cache
def imported_by(module: str) -> frozenset[str]:
    """What a module imports when it runs, and what that imports."""
    graph = grimp.build_graph(
        "functions", "flowlag_aws", "flowlag", include_external_packages=True, exclude_type_checking_imports=True
    )
    return frozenset(graph.find_upstream_modules(module))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_the_layers_that_it_needs_and_no_more(function: str) -> None:
    imports = imported_by(f"functions.{FUNCTIONS[function]['Handler'].partition('.')[0]}")
    needed = {
        "CoreLayer": "flowlag" in {name.partition(".")[0] for name in imports},
        "AwsLayer": "flowlag_aws" in {name.partition(".")[0] for name in imports},
        "ArrowLayer": "pyarrow" in imports,
        "SenderLayer": "flowlag_aws.bundle" in imports,
    }
    layers = [*GLOBALS["Layers"], *FUNCTIONS[function].get("Layers", [])]
    assert {each["Ref"] for each in layers} == {name for name, is_needed in needed.items() if is_needed}
    assert len(layers) <= 5


def test_a_delivery_that_cannot_be_decoded_is_kept() -> None:
    config = FUNCTIONS["DecodeRecordsFunction"]["EventInvokeConfig"]
    destination = config["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == {"Fn::GetAtt": ["UndecodedDeliveries", "Arn"]}
    assert of_type("AWS::SQS::Queue")["UndecodedDeliveries"]["MessageRetentionPeriod"] >= 86_400


def test_the_logs_service_may_invoke_the_decoder_for_every_log_group_that_the_stack_makes() -> None:
    (permission,) = of_type("AWS::Lambda::Permission").values()
    prefix = FUNCTIONS["CreateFlowLogFunction"]["Environment"]["Variables"]["LOG_GROUP_PREFIX"]["Fn::Sub"]
    assert permission["FunctionName"] == {"Ref": "DecodeRecordsFunction"}
    assert (permission["Principal"], permission["Action"]) == ("logs.amazonaws.com", "lambda:InvokeFunction")
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert permission["SourceArn"]["Fn::Sub"].endswith(f":log-group:{prefix}/*:*")


def test_the_state_machine_may_invoke_what_it_calls_and_no_more() -> None:
    (machine,) = of_type("AWS::Serverless::StateMachine").values()
    called = set(re.findall(r"\$\{(\w+)Arn\}", (ROOT / machine["DefinitionUri"]).read_text()))
    substituted = {
        name.removesuffix("Arn"): value["Fn::GetAtt"] for name, value in machine["DefinitionSubstitutions"].items()
    }
    invoked = {each["LambdaInvokePolicy"]["FunctionName"]["Ref"] for each in machine["Policies"]}
    assert substituted == {name: [name, "Arn"] for name in called}
    assert invoked == called == FUNCTIONS.keys() - {"DecodeRecordsFunction"}


# ---------------------------------------------------------------- rights
def test_no_policy_allows_every_action_of_anything() -> None:
    actions = [action for each in statements() if each["Effect"] == "Allow" for action in listed(each["Action"])]
    assert len(actions) > 30
    assert [action for action in actions if "*" in action] == []


def test_nobody_may_change_who_may_what() -> None:
    actions = {action for each in statements() if each["Effect"] == "Allow" for action in listed(each["Action"])}
    assert not actions & {"s3:PutBucketPolicy", "s3:PutBucketAcl", "lambda:AddPermission", "iam:PutRolePolicy"}
    assert {action for action in actions if action.startswith("iam:")} == {"iam:PassRole"}


def test_a_late_delivery_cannot_bring_its_deleted_log_group_back() -> None:
    role = of_type("AWS::IAM::Role")["FlowLogDeliveryRole"]
    actions = {
        action
        for policy in role["Policies"]
        for each in policy["PolicyDocument"]["Statement"]
        for action in listed(each["Action"])
    }
    assert "logs:PutLogEvents" in actions
    assert "logs:CreateLogGroup" not in actions


def test_only_our_own_flow_logs_may_take_the_role_that_delivers() -> None:
    (trust,) = of_type("AWS::IAM::Role")["FlowLogDeliveryRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert trust["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"].endswith(":${AWS::AccountId}:vpc-flow-log/*")


def test_roles_and_policies_have_no_names_of_their_own() -> None:
    # IAM is global: a name would keep the stack out of a second region.
    for kind in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy", "AWS::IAM::InstanceProfile"):
        for properties in of_type(kind).values():
            assert not properties.keys() & {"RoleName", "ManagedPolicyName", "InstanceProfileName"}


# ---------------------------------------------------------------- buckets
@pytest.mark.parametrize("bucket", of_type("AWS::S3::Bucket"))
def test_a_bucket_is_private_encrypted_and_outlives_the_stack(bucket: str) -> None:
    resource = RESOURCES[bucket]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
    access = resource["Properties"]["PublicAccessBlockConfiguration"]
    assert access == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    assert resource["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert resource["Properties"]["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


@pytest.mark.parametrize("bucket", of_type("AWS::S3::Bucket"))
def test_a_bucket_is_reached_by_tls_only(bucket: str) -> None:
    policies = [each for each in of_type("AWS::S3::BucketPolicy").values() if each["Bucket"] == {"Ref": bucket}]
    denials = [
        each
        for policy in policies
        for each in policy["PolicyDocument"]["Statement"]
        if each.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
    ]
    (denial,) = denials
    assert (denial["Effect"], denial["Principal"], denial["Action"]) == ("Deny", "*", "s3:*")
    whole = [{"Fn::GetAtt": [bucket, "Arn"]}, {"Fn::Sub": f"${{{bucket}.Arn}}/*"}]
    assert denial["Resource"] == whole


# ---------------------------------------------------------------- instances
@pytest.mark.parametrize("instance", of_type("AWS::EC2::Instance"))
def test_an_instance_has_no_key_and_only_the_second_metadata_service(instance: str) -> None:
    properties = of_type("AWS::EC2::Instance")[instance]
    assert properties["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    assert "KeyName" not in properties
    assert {"Key": "flowlag:role", "Value": instance.removesuffix("Instance").lower()} in properties["Tags"]


def test_nothing_comes_in_but_probes_from_our_own_sender() -> None:
    rules = [
        rule
        for group in of_type("AWS::EC2::SecurityGroup").values()
        for rule in group.get("SecurityGroupIngress", [])
    ]
    rules += of_type("AWS::EC2::SecurityGroupIngress").values()
    sender = of_type("AWS::EC2::Instance")["SenderInstance"]["PrivateIpAddress"]
    assert [(rule["FromPort"], rule["ToPort"], rule["CidrIp"]) for rule in rules] == [
        ({"Ref": "ProbePort"}, {"Ref": "ProbePort"}, f"{sender}/32")
    ]
    assert TEMPLATE["Parameters"]["ProbePort"]["MinValue"] > 22


def test_every_security_group_says_what_may_go_out() -> None:
    # Where nothing is said, everything may.
    for group in of_type("AWS::EC2::SecurityGroup").values():
        assert group["SecurityGroupEgress"]
        assert all(rule["IpProtocol"] == "tcp" for rule in group["SecurityGroupEgress"])


# ---------------------------------------------------------------- the document
def orders(run_id: str = "run-1", **changed: Any) -> Iterator[Mapping[str, str]]:
    """The parameters of every order to the instances of a run."""
    site = Site(
        source="aws",
        region="eu-west-1",
        az_id="euw1-az1",
        instance_type="t3.micro",
        hypervisor="nitro",
        sender_instance_id="i-0aaaaaaaaaaaaaaaa",
        interface_id="eni-0123456789abcdef0",
        sender_address="10.99.0.10",
        target_instance_id="i-0bbbbbbbbbbbbbbbb",
        target_address="10.99.0.20",
        target_port=7777,
    )
    site = replace(site, **{name: value for name, value in changed.items() if hasattr(site, name)})
    request = RunRequest(**{name: value for name, value in changed.items() if not hasattr(site, name)})
    plan = plan_run(run_id, request, site, now=0, code_version="0.1.0")
    ordered: list[Mapping[str, str]] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(traffic, "run_command", lambda _document, _instance, parameters: ordered.append(parameters))
        for action in get_args(traffic.Action.__value__):
            traffic.order(action, plan, Traffic("flowlag-resultsbucket-1a2b3c", "traffic"), "0" * 64)
    yield from ordered


def allows(parameter: str, value: str) -> bool:
    """Whether the document takes the value, by a search as Systems Manager's."""
    declared = PARAMETERS[parameter]
    if "allowedValues" in declared:
        return value in declared["allowedValues"]
    return re.search(declared["allowedPattern"].replace("$", r"\Z"), value) is not None


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_parameter_is_checked_and_reaches_the_shell_as_environment(parameter: str) -> None:
    declared = PARAMETERS[parameter]
    assert (declared["type"], declared["interpolationType"]) == ("String", "ENV_VAR")
    assert "default" not in declared
    assert declared.keys() & {"allowedPattern", "allowedValues"}
    pattern = declared.get("allowedPattern", "^$")
    assert (pattern[0], pattern[-1]) == ("^", "$")
    assert "|" not in re.sub(r"\([^()]*(\([^()]*\)[^()]*)*\)", "", pattern)  # which an anchor would not hold


def test_no_parameter_is_written_into_the_script() -> None:
    assert [line for line in SCRIPT if "{{" in line or "}}" in line] == []
    variables = [(line, name) for line in SCRIPT for name in re.findall(r"\$\{?(SSM_\w+)", line)]
    assert {f"SSM_{name}" for name in PARAMETERS} == {name for _, name in variables}
    for line in SCRIPT:
        outside = re.sub(r'"(\\.|[^"\\])*"', "", line)
        assert "$" not in outside, f"unquoted: {line}"


def test_the_script_is_one_that_every_posix_shell_reads() -> None:
    done = subprocess.run(["sh", "-n"], input="\n".join(SCRIPT), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@given(
    run_id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True),
    rate=st.integers(1, 10),
    traffic_s=st.integers(1, 86_400),
    first_delivery_timeout_s=st.integers(1, 7_200),
    target_port=st.integers(1_024, 65_535),
    sender_address=st.ip_addresses(v=4).map(str),
    target_address=st.ip_addresses(v=4).map(str),
)
@settings(derandomize=True, deadline=None, max_examples=200)
def test_whatever_a_run_may_order_the_document_takes(**changed: Any) -> None:
    for parameters in orders(**changed):
        assert parameters.keys() == PARAMETERS.keys()
        assert [name for name, value in parameters.items() if not allows(name, value)] == []


METACHARACTERS = " ;|&$`(){}<>\n\t'\"\\*?#~!"


@pytest.mark.parametrize("parameter", PARAMETERS)
@given(data=st.data())
@settings(derandomize=True, deadline=None)
def test_nothing_that_means_something_to_a_shell_is_taken(parameter: str, data: st.DataObject) -> None:
    (ordered, *_) = orders()
    allowed = ordered[parameter]
    text = data.draw(st.sampled_from(METACHARACTERS))
    cut = data.draw(st.integers(0, len(allowed)))
    assert not allows(parameter, allowed[:cut] + text + allowed[cut:])
    around = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    assert not allows(parameter, data.draw(around) + text + data.draw(around))


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_nothing_is_not_taken(parameter: str) -> None:
    assert not allows(parameter, "")


# ---------------------------------------------------------------- the linters
@pytest.mark.slow
def test_cfn_lint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [ROOT / ".venv/bin/cfn-lint", "--format", "json", ROOT / "template.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [(each["Rule"]["Id"], each["Message"]) for each in json.loads(done.stdout or "[]")]
    assert (said, done.returncode) == ([], 0)


@pytest.mark.slow
def test_sam_takes_the_template(tmp_path: Path) -> None:
    sam = ROOT / ".venv-sam/bin/sam"
    if not sam.exists():
        pytest.skip("aws-sam-cli is not here: make .venv-sam/.ready")
    done = subprocess.run(
        [sam, "validate", "--lint", "--region", "us-east-1", "--template", ROOT / "template.yaml"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "SAM_CLI_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout
