"""The rules of the template that a linter does not know."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from flowlag.tables import TABLES
from flowlag_aws.reports import PAGE, REPORTS
from tests.functions.template import RESULTS_BUCKET, Template
from tests.template.parsed import (
    CONDITIONS,
    FUNCTIONS,
    GLOBALS,
    PARAMETERS,
    RESOURCES,
    ROOT,
    TEMPLATE,
    TEXT,
    listed,
    of_type,
    references,
    walk,
)

type Statement = dict[str, Any]

TABLES_OF_GLUE = {each["TableInput"]["Name"]: each for each in of_type("AWS::Glue::Table").values()}
BUCKETS = of_type("AWS::S3::Bucket")
INSTANCES = of_type("AWS::EC2::Instance")


def statements() -> list[Statement]:
    """Every statement of every policy, wherever it stands."""
    return [each for each in walk(RESOURCES) if isinstance(each, dict) and "Effect" in each]


def allowed(statement: Statement) -> list[str]:
    return [action for action in listed(statement["Action"]) if statement["Effect"] == "Allow"]


# ---------------------------------------------------------------- the text
def test_it_has_no_alias_which_cloudformation_does_not_know() -> None:
    assert [event for event in yaml.parse(TEXT) if isinstance(event, yaml.AliasEvent)] == []


def test_cloudformation_takes_a_template_of_this_size() -> None:
    # 1 MB, from S3 (CloudFormation quotas, read 2026-11); the transform makes more of it.
    assert len(TEXT.encode()) < 500_000


def test_every_parameter_is_used_and_has_its_place_in_the_console() -> None:
    used = set(references([TEMPLATE[part] for part in ("Rules", "Conditions", "Globals", "Resources", "Outputs")]))
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    assert PARAMETERS.keys() - used == set()
    assert sorted(shown) == sorted(PARAMETERS)


def test_every_parameter_may_be_left_out_and_says_what_it_is_for() -> None:
    assert [name for name, each in PARAMETERS.items() if "Default" not in each or not each["Description"]] == []


def test_every_condition_and_every_mapping_is_used() -> None:
    parts = [TEMPLATE[part] for part in ("Conditions", "Globals", "Resources", "Outputs")]
    maps = [each for each in walk(parts) if isinstance(each, dict)]
    conditions = {each["Fn::If"][0] for each in maps if "Fn::If" in each}
    conditions |= {each["Condition"] for each in maps if isinstance(each.get("Condition"), str)}
    assert conditions == CONDITIONS.keys()
    assert {each["Fn::FindInMap"][0] for each in maps if "Fn::FindInMap" in each} == TEMPLATE["Mappings"].keys()


OF_THE_STACK = re.compile(r"\$\{((Work|Results)Bucket\.Arn|Bucket|AWS::StackName)\}.*\*")
"""A wildcard within what belongs to the stack: keys of its buckets, groups and executions with its name."""


def wildcards(node: yaml.Node, *, is_allowed: bool = False) -> Iterator[tuple[str, int]]:
    """The resources and actions with a wildcard, and the lines, of all statements that allow something."""
    if isinstance(node, yaml.MappingNode):
        entries = {key.value: value for key, value in node.value}
        if isinstance(effect := entries.get("Effect"), yaml.ScalarNode):
            is_allowed = effect.value == "Allow"
        for key, value in entries.items():
            if is_allowed and key in ("Action", "Resource"):
                yield from ((each.value, each.start_mark.line) for each in scalars(value) if "*" in each.value)
            else:
                yield from wildcards(value, is_allowed=is_allowed)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from wildcards(each, is_allowed=is_allowed)


def scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    for each in node.value if isinstance(node, yaml.CollectionNode) else ():
        yield from (scalar for part in (each if isinstance(each, tuple) else (each,)) for scalar in scalars(part))


def test_a_wildcard_that_reaches_beyond_the_stack_has_its_reason_beside_it() -> None:
    lines = TEXT.splitlines()
    wide = [line for what, line in wildcards(yaml.compose(TEXT)) if not OF_THE_STACK.search(what)]
    assert len(wide) >= 12
    assert [lines[line] for line in wide if not re.search(r"  # \w+.* \w+", lines[line])] == []


def test_whoever_is_everybody_is_so_with_the_reason_beside() -> None:
    wide = [line for line in TEXT.splitlines() if re.search(r"""Principal:\s*["']?\*""", line)]
    assert len(wide) == len(BUCKETS)
    assert [line for line in wide if not re.search(r"#\s*\w{3,}.*\w{3,}", line)] == []


# ---------------------------------------------------------------- tables
@pytest.mark.parametrize("table", TABLES)
def test_athena_sees_the_columns_that_are_written(table: str) -> None:
    columns = TABLES_OF_GLUE[table]["TableInput"]["StorageDescriptor"]["Columns"]
    assert [(each["Name"], each["Type"]) for each in columns] == list(TABLES[table].items())


def test_there_is_a_table_for_each_kind_of_row_and_no_other() -> None:
    assert TABLES_OF_GLUE.keys() == TABLES.keys()


@pytest.mark.parametrize("bucket", ["", "flowlag-of-last-year"])
@pytest.mark.parametrize("table", TABLES_OF_GLUE)
def test_partitions_are_projected_where_the_objects_lie(table: str, bucket: str) -> None:
    given = Template(HomeBucket=bucket, ResultRegions="eu-west-1,us-east-1").resolve(
        {key: value for key, value in TABLES_OF_GLUE[table]["TableInput"].items() if key != "Name"}
    )
    parameters, location = given["Parameters"], f"s3://{bucket or RESULTS_BUCKET}/{table}/"
    assert given["StorageDescriptor"]["Location"] == location
    assert parameters["storage.location.template"] == f"{location}region=${{region}}/dt=${{dt}}/"
    assert [(each["Name"], each["Type"]) for each in given["PartitionKeys"]] == [
        ("region", "string"),
        ("dt", "string"),
    ]
    assert parameters["projection.enabled"] == "true"
    assert (parameters["projection.region.type"], parameters["projection.dt.type"]) == ("enum", "date")
    assert parameters["projection.region.values"] == "eu-west-1,us-east-1"
    assert parameters["projection.dt.format"] == "yyyy-MM-dd"
    assert given["StorageDescriptor"]["Columns"][0]["Name"] not in ("region", "dt")


def test_away_from_home_there_are_no_results() -> None:
    of_home = ("AWS::Glue::", "AWS::Athena::", "AWS::CloudWatch::Dashboard")
    found = [each for each in RESOURCES.values() if each["Type"].startswith(of_home)]
    assert len(found) > len(TABLES)
    assert {each["Condition"] for each in found} == {"IsHome"}
    assert RESOURCES["ResultsBucket"]["Condition"] == "MakesResultsBucket"
    satellite = Template(HomeRegion="eu-west-1", HomeBucket="flowlag-resultsbucket-1a2b3c")
    assert not satellite.holds("IsHome")
    assert not satellite.holds("MakesResultsBucket")


# ---------------------------------------------------------------- functions
def test_functions_run_on_arm64_unless_asked_otherwise_and_on_python_3_13() -> None:
    assert GLOBALS["Runtime"] == "python3.13"
    assert GLOBALS["Architectures"] == [{"Ref": "Architecture"}]
    architecture = PARAMETERS["Architecture"]
    assert (architecture["Default"], architecture["AllowedValues"]) == ("arm64", ["arm64", "x86_64"])
    for function in FUNCTIONS.values():
        assert not function.keys() & {"Runtime", "Architectures", "CodeUri"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_a_function_logs_goes_one_day(function: str) -> None:
    logging = FUNCTIONS[function].get("LoggingConfig", GLOBALS["LoggingConfig"])
    group = RESOURCES[logging["LogGroup"]["Ref"]]
    assert (group["Type"], group["DeletionPolicy"]) == ("AWS::Logs::LogGroup", "Delete")
    assert 0 < group["Properties"]["RetentionInDays"] <= 90


@cache
def imported_by(module: str) -> frozenset[str]:
    """What a module imports when it runs, and what that imports."""
    graph = grimp.build_graph(
        "functions",
        "flowlag_aws",
        "flowlag_report",
        "flowlag_stats",
        "flowlag",
        include_external_packages=True,
        exclude_type_checking_imports=True,
    )
    return frozenset(graph.find_upstream_modules(module))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_the_layers_that_it_needs_and_no_more(function: str) -> None:
    imports = imported_by(f"functions.{FUNCTIONS[function]['Handler'].partition('.')[0]}")
    needed = {
        "CoreLayer": "flowlag" in {name.partition(".")[0] for name in imports},
        "AwsLayer": "flowlag_aws" in {name.partition(".")[0] for name in imports},
        "ArrowLayer": "pyarrow" in imports,
        "StatsLayer": "numpy" in imports,
        "ReportLayer": "flowlag_report" in {name.partition(".")[0] for name in imports},
        "SenderLayer": "flowlag_aws.bundle" in imports,
    }
    layers = [*GLOBALS["Layers"], *FUNCTIONS[function].get("Layers", [])]
    assert {each["Ref"] for each in layers} == {name for name, is_needed in needed.items() if is_needed}
    assert len(layers) <= 5


def test_what_could_not_be_done_is_kept_for_a_while() -> None:
    decoder = FUNCTIONS["DecodeRecordsFunction"]["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
    assert decoder["Destination"] == {"Fn::GetAtt": ["UndecodedDeliveries", "Arn"]}
    queues = of_type("AWS::SQS::Queue")
    assert queues.keys() == {"UndecodedDeliveries", "UnstartedRuns"}
    assert all(each["MessageRetentionPeriod"] >= 7 * 86_400 for each in queues.values())


def test_the_logs_service_may_invoke_the_decoder_for_every_log_group_that_the_stack_makes() -> None:
    permission = RESOURCES["DecodePermission"]["Properties"]
    prefix = FUNCTIONS["CreateFlowLogFunction"]["Environment"]["Variables"]["LOG_GROUP_PREFIX"]["Fn::Sub"]
    assert permission["FunctionName"] == {"Ref": "DecodeRecordsFunction"}
    assert (permission["Principal"], permission["Action"]) == ("logs.amazonaws.com", "lambda:InvokeFunction")
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert permission["SourceArn"]["Fn::Sub"].endswith(f":log-group:{prefix}/*:*")


# ---------------------------------------------------------------- rights
def test_no_policy_allows_every_action_of_anything() -> None:
    actions = [action for each in statements() for action in allowed(each)]
    assert len(actions) > 30
    assert [action for action in actions if "*" in action] == []


def test_nobody_may_change_who_may_what() -> None:
    actions = {action for each in statements() for action in allowed(each)}
    assert not actions & {"s3:PutBucketPolicy", "s3:PutBucketAcl", "lambda:AddPermission", "iam:PutRolePolicy"}
    assert {action for action in actions if action.startswith("iam:")} == {"iam:PassRole"}


def test_only_our_own_flow_logs_can_be_deleted() -> None:
    deleting = [each for each in statements() if "ec2:DeleteFlowLogs" in allowed(each)]
    assert len(deleting) >= 3
    assert all(each["Condition"] == {"Null": {"aws:ResourceTag/flowlag:run-id": "false"}} for each in deleting)


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
@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_is_private_and_encrypted_and_has_no_name_that_could_be_taken(bucket: str) -> None:
    properties = BUCKETS[bucket]
    assert properties["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "BucketName" not in properties


@pytest.mark.parametrize("bucket", BUCKETS)
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


# ---------------------------------------------------------------- the report
PUBLISHED = {"PublishedReport": "cloudfront"}
OF_CLOUDFRONT = {name for name, each in RESOURCES.items() if each["Type"].startswith("AWS::CloudFront::")}


def published(**parameters: str) -> Template:
    """The template of a stack that publishes its report, and the names that CloudFront would give."""
    template = Template(**PUBLISHED, **parameters)
    template.values |= {"ReportDistribution": "E1FLOWLAG", "ReportDistribution.DomainName": "d1.cloudfront.net"}
    return template


def of_cloudfront(template: Template) -> list[Statement]:
    """What the policy of the results bucket allows CloudFront."""
    statements = template.resolve(RESOURCES["ResultsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"])
    return [each for each in statements if each["Principal"] == {"Service": "cloudfront.amazonaws.com"}]


@pytest.mark.parametrize(
    "parameters",
    [{}, {"HomeRegion": "eu-west-1", "HomeBucket": "flowlag-resultsbucket-1a2b3c", **PUBLISHED}],
    ids=["by default", "away from home"],
)
def test_nothing_is_published(parameters: dict[str, str]) -> None:
    assert len(OF_CLOUDFRONT) == 2
    assert {RESOURCES[name]["Condition"] for name in OF_CLOUDFRONT} == {"PublishesReport"}
    assert TEMPLATE["Outputs"]["ReportUrl"]["Condition"] == "PublishesReport"
    assert not Template(**parameters).holds("PublishesReport")
    assert of_cloudfront(Template(**parameters)) == []


def test_who_publishes_lets_one_distribution_read_the_reports_and_nothing_else() -> None:
    template = published()
    assert template.holds("PublishesReport")
    (statement,) = of_cloudfront(template)
    account = template.values["AWS::AccountId"]
    assert {key: value for key, value in statement.items() if key != "Sid"} == {
        "Effect": "Allow",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{RESULTS_BUCKET}/{REPORTS}*",
        "Condition": {"StringEquals": {"aws:SourceArn": f"arn:aws:cloudfront::{account}:distribution/E1FLOWLAG"}},
    }


def test_the_distribution_signs_speaks_tls_and_begins_with_the_scheduled_experiment() -> None:
    access = RESOURCES["ReportAccess"]["Properties"]["OriginAccessControlConfig"]
    assert (access["SigningBehavior"], access["OriginAccessControlOriginType"]) == ("always", "s3")
    distribution = RESOURCES["ReportDistribution"]["Properties"]["DistributionConfig"]
    (origin,) = distribution["Origins"]
    assert origin["OriginAccessControlId"] == {"Fn::GetAtt": ["ReportAccess", "Id"]}
    assert origin["OriginPath"] == f"/{REPORTS}".rstrip("/")
    assert distribution["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"
    root = published(Experiment="s3-layouts").resolve(distribution["DefaultRootObject"])
    assert root == f"s3-layouts/{PAGE}"
    assert published().resolve(TEMPLATE["Outputs"]["ReportUrl"]["Value"]) == "https://d1.cloudfront.net/"


# ---------------------------------------------------------------- buckets that stay
def test_of_the_buckets_only_the_results_outlive_the_stack() -> None:
    kept = {name: (RESOURCES[name]["DeletionPolicy"], RESOURCES[name]["UpdateReplacePolicy"]) for name in BUCKETS}
    assert kept == {"ResultsBucket": ("Retain", "Retain"), "WorkBucket": ("Delete", "Delete")}


def test_who_could_fill_the_work_bucket_again_is_stopped_before_it_is_emptied() -> None:
    # What depends on EmptiedStack is deleted before it: then neither flow logs nor instances can write any more.
    assert RESOURCES["WorkBucketPolicy"]["DependsOn"] == "EmptiedStack"
    assert RESOURCES["InstanceUploads"]["DependsOn"] == "EmptiedStack"
    writers = [
        name
        for name, each in RESOURCES.items()
        if each["Type"] in ("AWS::S3::BucketPolicy", "AWS::IAM::Policy", "AWS::IAM::Role")
        and any(
            "s3:PutObject" in allowed(part) for part in walk(each) if isinstance(part, dict) and "Effect" in part
        )
    ]
    assert writers == ["InstanceUploads", "WorkBucketPolicy"]


def test_only_the_log_delivery_of_this_account_may_deliver() -> None:
    policy = of_type("AWS::S3::BucketPolicy")["WorkBucketPolicy"]["PolicyDocument"]["Statement"]
    open_to_services = [each for each in policy if each["Effect"] == "Allow"]
    assert len(open_to_services) == 2
    for each in open_to_services:
        assert each["Principal"] == {"Service": "delivery.logs.amazonaws.com"}
        assert each["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        assert "${AWS::Region}:${AWS::AccountId}:" in each["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]


# ---------------------------------------------------------------- instances
@pytest.mark.parametrize("instance", INSTANCES)
def test_an_instance_has_no_key_and_only_the_second_metadata_service(instance: str) -> None:
    properties = INSTANCES[instance]
    assert properties["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    assert "KeyName" not in properties
    role = "-".join(word.lower() for word in re.findall("[A-Z][a-z]+", instance.removesuffix("Instance")))
    assert {"Key": "flowlag:role", "Value": role} in properties["Tags"]


@pytest.mark.parametrize("instance", INSTANCES)
def test_an_instance_can_be_replaced(instance: str) -> None:
    # A new image replaces it, and the new one is made first: an address of its choice would still be in use.
    assert not INSTANCES[instance].keys() & {"PrivateIpAddress", "NetworkInterfaces"}


@pytest.mark.parametrize(
    ("instance", "parameter"),
    [
        ("SenderInstance", "SenderImageId"),
        ("SecondSenderInstance", "SecondSenderImageId"),
        ("TargetInstance", "TargetImageId"),
    ],
)
def test_an_instance_has_the_image_that_is_named_or_else_the_newest(instance: str, parameter: str) -> None:
    second = {"SecondSenderInstanceType": "t4g.nano"}
    named = Template(**second, **{parameter: "ami-0123456789abcdef0"}).resolve(INSTANCES[instance]["ImageId"])
    newest = Template(**second).resolve(INSTANCES[instance]["ImageId"])
    assert named == "ami-0123456789abcdef0"
    processor = {"SenderInstance": "x86_64", "SecondSenderInstance": "arm64", "TargetInstance": "arm64"}[instance]
    assert newest.endswith(f"/al2023-ami-kernel-default-{processor}}}}}")


def test_nothing_comes_in_but_probes_from_our_own_senders() -> None:
    groups = of_type("AWS::EC2::SecurityGroup")
    rules = [rule for group in groups.values() for rule in group.get("SecurityGroupIngress", [])]
    assert of_type("AWS::EC2::SecurityGroupIngress") == {}
    ((protocol, *ports, source),) = [
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["SourceSecurityGroupId"]) for rule in rules
    ]
    assert (protocol, ports) == ("tcp", [{"Ref": "ProbePort"}, {"Ref": "ProbePort"}])
    senders = [INSTANCES[name]["SecurityGroupIds"] for name in ("SenderInstance", "SecondSenderInstance")]
    assert senders == [[source], [source]]
    assert PARAMETERS["ProbePort"]["MinValue"] > 22


def test_nothing_goes_out_but_https_and_probes_to_our_own_network() -> None:
    # Where nothing is said, everything may.
    network = RESOURCES["Subnet"]["Properties"]["CidrBlock"]  # where the target is
    own = Template(TargetAddress="10.1.2.3")
    out = {
        (str(rule["FromPort"]), str(rule["ToPort"]), rule["CidrIp"])
        for deployed in (Template(), own)
        for group in of_type("AWS::EC2::SecurityGroup").values()
        for rule in deployed.resolve(group["SecurityGroupEgress"])
        if rule["IpProtocol"] == "tcp"
    }
    port = str(PARAMETERS["ProbePort"]["Default"])
    assert out == {("443", "443", "0.0.0.0/0"), (port, port, network), (port, port, "10.1.2.3/32")}


# ---------------------------------------------------------------- what must not be in here
OF_NOBODY = {
    "012345678901",
    "111122223333",
    "123456789010",
    "123456789012",
    *(12 * digit for digit in "0123456789"),
}
"""Accounts of AWS's documentation and of the embedded AWS. One that repeats one digit is nobody's either."""
ACCOUNT = re.compile(r"(?<![0-9A-Za-z.])[0-9]{12}(?![0-9A-Za-z])")
SECRET = re.compile(
    r"(AKIA|ASIA)[0-9A-Z]{16}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|gh[pousr]_[0-9A-Za-z]{36}"
    r"|aws_secret_access_key\s*[=:]\s*[\"']?[0-9A-Za-z/+]{40}"
)


def test_there_is_no_secret_and_no_account_in_any_file() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name.decode() for name in listing.stdout.split(b"\0") if name]
    texts = {path: path.read_text(errors="replace") for path in paths if path.is_file()}
    assert ROOT / "template.yaml" in texts
    found = {
        (str(path.relative_to(ROOT)), match[0])
        for path, text in texts.items()
        for pattern in (ACCOUNT, SECRET)
        for match in pattern.finditer(text)
        if match[0] not in OF_NOBODY
    }
    assert found == set()


# ---------------------------------------------------------------- the linters
@pytest.mark.slow
def test_cfn_lint_has_nothing_to_say_in_any_of_our_regions() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    regions = [each["global"]["parameters"]["region"] for each in config.values() if isinstance(each, dict)]
    done = subprocess.run(
        [ROOT / ".venv/bin/cfn-lint", "--format", "json", "--regions", *regions, "--", ROOT / "template.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [(each["Rule"]["Id"], each["Message"]) for each in json.loads(done.stdout or "[]")]
    assert (said, done.returncode) == ([], 0), done.stderr


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
