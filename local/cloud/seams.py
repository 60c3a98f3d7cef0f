"""The seams: every change that flowlag makes to MiniStack, which plays AWS, in one place.

MiniStack is pinned to one version, and each seam is a function that replaces names of its modules and says what
MiniStack does otherwise and why that matters. Each has a canary in tests/local/test_seams.py, so that an upgrade
which moves a seam fails there. Import this module only after MiniStack's settings are in the environment: it reads
them when it is imported.
"""

# ruff: noqa: SLF001 - a seam is a private name

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import threading
from base64 import b64encode
from contextvars import ContextVar
from dataclasses import replace
from importlib import metadata
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import duckdb
from ministack import app
from ministack.core import iam_evaluator, lambda_runtime
from ministack.core.responses import AccountRegionScopedDict, error_response_json, get_account_id, get_region
from ministack.services import athena, cloudwatch_logs, ec2, iam, lambda_svc, ssm, stepfunctions
from ministack.services.cloudformation import provisioners

from local.cloud import flow_log_api, trino
from local.cloud.boxes import ROLE_TAG, Outcome, instance_environment
from local.cloud.documents import Document, InvalidDocument, InvalidParameters, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from local.cloud.boxes import Box

    type Properties = Mapping[str, Any]
    type Response = tuple[int, dict[str, str], bytes]

PYTHON: Final = "python"
_RUNTIME: Final = (
    "awslambdaric", "boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "simplejson", "six",
    "snapshot-restore-py", "urllib3",
)  # fmt: skip
"""What AWS Lambda puts beside a Python function: its runtime client, the SDK, and what these need."""


def install(boxes: Mapping[str, Box], endpoint: str, state: Path) -> None:
    """Apply every seam. To be called once in a process, before MiniStack serves its first request.

    Args:
        boxes: what stands for the instances with each value of the tag `flowlag:role`.
        endpoint: URL that MiniStack will be found at.
        state: an existing directory for what the seams must keep in files.
    """
    run_python_functions_on_their_runtime(endpoint, state / "runtime")
    invoke_functions_with_the_role_of_the_state_machine()
    deliver_logs_as_cloudwatch_does()
    validate_flow_logs()
    describe_ec2_as_aws_does()
    run_commands_in_boxes(boxes, endpoint)
    provision_missing_types()
    answer_athena_in_trino()
    authorize_every_resource()
    let_services_assume_roles()
    take_the_loopback_for_tls()


# ---------------------------------------------------------------- Lambda
def run_python_functions_on_their_runtime(endpoint: str, runtime: Path) -> None:
    """Run Python functions as AWS does: by its own runtime client, on nothing but their code and their layers.

    MiniStack has a worker of its own for Python. It reports every exception as `Runtime.HandlerError`, so that no
    Retry or Catch of a state machine ever matches one; and it puts the packages of this workspace behind the
    layers, so that one missing from a layer is missed on AWS only. MiniStack also serves Lambda's Runtime API, for
    custom runtimes: so a Python function becomes one, whose bootstrap is awslambdaric.
    """
    _link_distributions(_RUNTIME, runtime)
    environment = lambda_svc._provided_worker_env
    code_directory = lambda_svc._provided_runtime_code_dir
    worker_class = lambda_runtime._worker_class_for
    await_init = lambda_runtime.ProvidedWorker._await_init

    def python_environment(config: Properties, code: str, port: int) -> dict[str, str]:
        if not config["Runtime"].startswith(PYTHON):
            return dict(environment(config, code, port))
        ours = os.environ.items()
        set_by_lambda = dict(each for each in environment(config, code, port).items() if each not in ours)
        layers = [str(Path(each) / PYTHON) for each in _layer_directories(config)]
        return {
            "PATH": os.defpath,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
            "AWS_ENDPOINT_URL": endpoint,
            "PYTHONPATH": os.pathsep.join([code, *layers, str(runtime)]),
            **set_by_lambda,
        }

    def code_with_bootstrap(code_zip: bytes) -> str:
        directory = str(code_directory(code_zip))
        bootstrap = Path(directory) / "bootstrap"
        if not bootstrap.exists():
            aside = bootstrap.with_suffix(f".{threading.get_ident()}")  # functions with the same code start at once
            # -S: no site-packages. The runtime client is found on the PYTHONPATH.
            aside.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -m awslambdaric "$_HANDLER"\n')
            aside.chmod(0o755)
            aside.replace(bootstrap)
        return directory

    def provided_worker(config: Properties) -> Any:  # noqa: ANN401 - a class of MiniStack's
        return lambda_runtime.ProvidedWorker if config["Runtime"].startswith(PYTHON) else worker_class(config)

    def await_init_or_its_error(worker: Any, timeout: float | None = None) -> None:  # noqa: ANN401 - a MiniStack worker
        try:
            await_init(worker, timeout)
        except RuntimeError:
            if not isinstance(worker._init_error, dict):
                raise
            error = worker._init_error  # which MiniStack makes a text of
            raise lambda_runtime.ProvidedRuntimeError(error["errorMessage"], error["errorType"]) from None

    lambda_runtime.ProvidedWorker._await_init = await_init_or_its_error
    lambda_svc._provided_worker_env = python_environment
    lambda_svc._provided_runtime_code_dir = code_with_bootstrap
    lambda_svc._execute_function_warm = lambda_svc._execute_function_provided_warm
    lambda_runtime._worker_class_for = provided_worker


def _layer_directories(config: Properties) -> Iterator[str]:
    """Each layer of a function, unpacked once for all functions."""
    for layer in config.get("Layers", []):
        content = lambda_svc._resolve_layer_zip(layer)
        if content is not None:
            yield lambda_svc._docker_extracted_dir(content, "layer")


def _link_distributions(names: Iterable[str], directory: Path) -> None:
    """Make a directory of links to what some distributions have installed here."""
    directory.mkdir()
    for name in names:
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            (directory / top).symlink_to(Path(str(distribution.locate_file(top))))


def invoke_functions_with_the_role_of_the_state_machine() -> None:
    """Let a state machine invoke what its role allows; under AUTH MiniStack lets it invoke every function.

    Otherwise a function that the template forgets in the policies of its state machine is missed on AWS only.
    """
    run, call = stepfunctions._run_execution, stepfunctions._call_lambda
    role: ContextVar[str] = ContextVar("role")  # MiniStack copies the context into every thread of an execution

    def run_execution(execution_arn: str) -> None:
        execution = stepfunctions._executions.get(execution_arn) or {}
        machine = stepfunctions._state_machines.get(execution.get("stateMachineArn")) or {}
        role.set(machine.get("roleArn", ""))
        run(execution_arn)

    def call_lambda(reference: str, event: object) -> object:
        _, config, _ = lambda_svc._get_func_record_for_ref(reference)
        if app.AUTH and config and not _role_allows(role.get(), "lambda:InvokeFunction", config["FunctionArn"]):
            raise stepfunctions._ExecutionError(
                "Lambda.AWSLambdaException",
                f"{role.get()} is not authorized to perform: lambda:InvokeFunction on resource: "
                f"{config['FunctionArn']} because no identity-based policy allows it",
            )
        return call(reference, event)

    stepfunctions._run_execution = run_execution
    stepfunctions._call_lambda = call_lambda


def _role_allows(role_arn: str, action: str, resource_arn: str) -> bool:
    name = role_arn.rpartition("/")[2]
    policies = iam_evaluator._gather_role_policies(name, get_account_id())
    context = iam_evaluator.EvalContext(
        principal_arn=role_arn,
        principal_type="AssumedRole",
        principal_account=get_account_id(),
        action=action,
        resource_arn=resource_arn,
        region=get_region(),
    )
    return bool(iam_evaluator.evaluate(context, policies).decision == "Allow")


# ---------------------------------------------------------------- CloudWatch Logs
def deliver_logs_as_cloudwatch_does() -> None:
    """Invoke subscribed functions with the stored events, again after a failure, and only where they permit it.

    MiniStack gives a subscription other event ids than FilterLogEvents has, so that a delivery can never be found
    again; it invokes once, where CloudWatch Logs invokes asynchronously and Lambda retries; and it accepts a
    subscription of a function that is missing or permits nobody to invoke it.
    """
    put_filter, fan_out = cloudwatch_logs._put_subscription_filter, cloudwatch_logs._fanout_to_live_tail_sessions

    def put_subscription_filter(request: Properties) -> Response:
        group, function = request.get("logGroupName", ""), request.get("destinationArn", "")
        if group in cloudwatch_logs._log_groups and not _permits_logs(function, _log_group_arn(group)):
            return _json_error(
                "InvalidParameterException",
                "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to "
                "execute your function.",
            )
        answer: Response = put_filter(request)
        return answer

    def deliver(group: str, stream: str, stored: list[dict[str, Any]]) -> None:
        for subscription in cloudwatch_logs._log_groups[group]["subscriptionFilters"].values():
            pattern = subscription["filterPattern"]
            matching = [
                {"id": each["eventId"], "timestamp": each["timestamp"], "message": each["message"]}
                for each in stored
                if cloudwatch_logs._subscription_pattern_matches(pattern, each["message"])
            ]
            function, _, _ = lambda_svc._get_func_record_for_ref(subscription["destinationArn"])
            if matching and function:
                lambda_svc.invoke_async_with_retry(
                    function, _subscription_event(group, stream, subscription, matching)
                )
        fan_out(group, stream, stored)

    cloudwatch_logs._put_subscription_filter = put_subscription_filter
    # PutLogEvents tells subscriptions the events without their ids, and then Live Tail the same with them.
    cloudwatch_logs._fanout_to_subscription_filters = lambda _group, _stream, _events: None
    cloudwatch_logs._fanout_to_live_tail_sessions = deliver


def _log_group_arn(name: str) -> str:
    return f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{name}:*"


def _permits_logs(function_arn: str, log_group_arn: str) -> bool:
    function, _, _ = lambda_svc._get_func_record_for_ref(function_arn)
    if not function:
        return False
    context = iam_evaluator.EvalContext(
        principal_arn="logs.amazonaws.com",
        principal_type="Service",
        principal_account=get_account_id(),
        action="lambda:InvokeFunction",
        resource_arn=function["config"]["FunctionArn"],
        region=get_region(),
        service_context={"aws:sourcearn": log_group_arn, "aws:sourceaccount": get_account_id()},
    )
    decision = iam_evaluator.evaluate_resource_policy(function["policy"], context, service="logs.amazonaws.com")
    return bool(decision.decision == "Allow")


def _subscription_event(
    group: str, stream: str, subscription: Properties, events: list[dict[str, Any]]
) -> dict[str, Any]:
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": get_account_id(),
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": [subscription["filterName"]],
        "logEvents": events,
    }
    return {"awslogs": {"data": b64encode(gzip.compress(json.dumps(payload).encode())).decode()}}


# ---------------------------------------------------------------- EC2
def validate_flow_logs() -> None:
    """Create, describe and delete flow logs as AWS documents it: MiniStack takes anything, and keeps little."""
    ec2._ACTION_MAP.update(
        CreateFlowLogs=flow_log_api.create_flow_logs,
        DescribeFlowLogs=flow_log_api.describe_flow_logs,
        DeleteFlowLogs=flow_log_api.delete_flow_logs,
    )


def describe_ec2_as_aws_does() -> None:
    """Fill in what describes a run's site.

    MiniStack calls every instance type Xen on x86_64, gives all Availability Zones to who asks for one, and shows
    an instance without its network interface.
    """
    types, zones, instance = (
        ec2._ACTION_MAP["DescribeInstanceTypes"],
        ec2._describe_availability_zones,
        ec2._instance_xml,
    )

    def describe_instance_types(parameters: Properties) -> Response:
        status, headers, body = types(parameters)
        return status, headers, _INSTANCE_TYPE.sub(_as_sold, body)

    def describe_availability_zones(parameters: Properties) -> Response:
        status, headers, body = zones(parameters)
        wanted = [name.encode() for name in ec2._parse_member_list(parameters, "ZoneName")]
        return status, headers, _ZONE.sub(lambda zone: zone[0] if not wanted or zone[1] in wanted else b"", body)

    def instance_xml(record: Properties) -> str:
        interfaces = "".join(
            ec2._eni_fields_xml(each)
            for each in ec2._network_interfaces.values()
            if (each["Attachment"] or {}).get("InstanceId") == record["InstanceId"]
        )
        text = str(instance(record)).rpartition("</item>")[0]
        return f"{text}<networkInterfaceSet>{interfaces}</networkInterfaceSet></item>"

    ec2._ACTION_MAP["DescribeInstanceTypes"] = describe_instance_types
    ec2._ACTION_MAP["DescribeAvailabilityZones"] = describe_availability_zones
    ec2._instance_xml = instance_xml


_ZONE = re.compile(rb"<item>\s*<zoneName>(.*?)</zoneName>.*?</item>", re.DOTALL)
_INSTANCE_TYPE = re.compile(
    rb"(<instanceType>(\w+)\..*?<hypervisor>)xen(</hypervisor>.*?<supportedArchitectures><item>)x86_64", re.DOTALL
)
_XEN = re.compile(r"t2|[mcr]4")
_GRAVITON = re.compile(r"[a-z]+\d+g[a-z]*")


def _as_sold(kind: re.Match[bytes]) -> bytes:
    family = kind[2].decode()
    hypervisor = "xen" if _XEN.fullmatch(family) else "nitro"
    return b"".join((kind[1], hypervisor.encode(), kind[3], _processor(family).encode()))


def _processor(family: str) -> str:
    return "arm64" if _GRAVITON.fullmatch(family) else "x86_64"


# ---------------------------------------------------------------- Systems Manager
_documents: Any = AccountRegionScopedDict()
"""The SSM documents by name."""


def run_commands_in_boxes(boxes: Mapping[str, Box], endpoint: str) -> None:
    """Run the stack's own SSM documents in the box behind an instance, and refuse what cannot be run.

    MiniStack runs AWS-RunShellScript in a container of Docker, and reports every other document as done without
    doing anything. A command never runs on the machine itself: an instance without a box is one without an agent.
    """
    agents, send = _Agents(boxes, endpoint), ssm._send_command

    def send_command(request: Properties) -> Response:
        document = _documents.get(request.get("DocumentName"))
        if document is None:
            return _json_error("InvalidDocument", f"{request.get('DocumentName')} does not exist")
        try:
            document.steps(request.get("Parameters") or {})
        except InvalidParameters as reason:
            return _json_error("InvalidParameters", str(reason))
        answer: Response = send(request)
        return answer

    def steps(request: Properties) -> list[Step]:
        found: list[Step] = _documents[request["DocumentName"]].steps(request.get("Parameters") or {})
        return found

    ec2.instance_is_managed = agents.is_managed
    ec2.exec_in_instance_blocking = agents.run
    ssm._send_command = send_command
    ssm._shell_argv = steps  # MiniStack hands them through to `exec_in_instance_blocking`


class _Agents:
    """The SSM agents of the instances: what runs a command in the box behind one."""

    def __init__(self, boxes: Mapping[str, Box], endpoint: str) -> None:
        self._boxes = boxes
        self._endpoint = endpoint

    def is_managed(self, instance_id: str) -> bool:
        """Whether the instance is running and has a box, and a role to act with."""
        instance = ec2._instances.get(instance_id)
        is_running = instance is not None and instance["State"]["Name"] == "running"
        return is_running and self._box(instance_id) is not None and _role_of_instance(instance_id) is not None

    def run(self, instance_id: str, steps: Iterable[Step]) -> Outcome:
        """Run steps until one fails; what they said, together, and how the last one ended."""
        try:
            box, role_arn = self._box(instance_id), _role_of_instance(instance_id)
            if box is None or role_arn is None:
                return Outcome(_AGENT_FAILED, "", f"{instance_id} has no agent any more")
            environment = instance_environment(self._endpoint, get_region(), instance_id, role_arn)
            return _run_steps(box, environment, steps)
        except Exception as reason:  # noqa: BLE001 - whatever it is: who waits for the command must see its end
            app.logger.exception("the agent of %s failed", instance_id)
            return Outcome(_AGENT_FAILED, "", f"the agent of {instance_id} failed: {reason}")

    def _box(self, instance_id: str) -> Box | None:
        tags = {tag["Key"]: tag["Value"] for tag in ec2._tags.get(instance_id, [])}
        return self._boxes.get(tags.get(ROLE_TAG, ""))


_AGENT_FAILED: Final = 255


def _run_steps(box: Box, environment: Mapping[str, str], steps: Iterable[Step]) -> Outcome:
    outcome = Outcome(0, "", "")
    for step in steps:
        ended = box.run(step.script, {**environment, **step.environment}, step.timeout_s)
        outcome = Outcome(ended.exit_code, outcome.stdout + ended.stdout, outcome.stderr + ended.stderr)
        if outcome.exit_code != 0:
            break
    return outcome


def _role_of_instance(instance_id: str) -> str | None:
    """The ARN of the role in an instance's profile."""
    attached = ec2._instances[instance_id].get("IamInstanceProfile") or {}
    profile = iam._lookup_instance_profile(arn=attached.get("Arn"))
    roles = profile["Roles"] if profile else []
    return iam._roles[roles[0]]["Arn"] if roles else None


# ---------------------------------------------------------------- CloudFormation
type _Provisioned = tuple[str, dict[str, str]]
"""A resource's physical id, and its attributes for GetAtt."""


def provision_missing_types() -> None:
    """Provision the resource types that the template needs and MiniStack refuses.

    And two things that it knows in part: an instance profile, whose Ref is its name and not its ARN; and the image
    of Amazon Linux 2023, which there is for arm64, too.
    """
    create_profile = provisioners._iam_ip_create

    def create_instance_profile(logical_id: str, properties: Properties, stack: str) -> _Provisioned:
        arn, attributes = create_profile(logical_id, properties, stack)
        return arn.rpartition("/")[2], attributes

    def delete_instance_profile(name: str, _properties: Properties) -> None:
        iam._instance_profiles.pop(name, None)

    provisioners._RESOURCE_HANDLERS.update(
        {
            "AWS::IAM::InstanceProfile": {"create": create_instance_profile, "delete": delete_instance_profile},
            "AWS::Athena::NamedQuery": {"create": _create_named_query, "delete": _delete_named_query},
            "AWS::EC2::Instance": {"create": _create_instance, "delete": _delete_instance},
            "AWS::SSM::Document": {"create": _create_document, "delete": _delete_document},
        }
    )
    provisioners._STACK_TAG_PROPERTY["AWS::EC2::Instance"] = ("Tags", "list")
    images = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
    ssm._PUBLIC_AMI_PARAMETERS.setdefault(f"{images}arm64", "ami-0c2023a1b2c3d4e60")


def _create_document(logical_id: str, properties: Properties, stack: str) -> _Provisioned:
    name = properties.get("Name") or provisioners._physical_name(stack, logical_id)
    try:
        _documents[name] = Document.of_content(properties["Content"])
    except InvalidDocument as reason:
        raise ValueError(str(reason)) from None  # MiniStack's kind of error, shown as the resource's reason
    ssm._SHELL_DOCUMENTS.add(name)
    return name, {}


def _delete_document(name: str, _properties: Properties) -> None:
    _documents.pop(name, None)
    ssm._SHELL_DOCUMENTS.discard(name)


def _create_named_query(logical_id: str, properties: Properties, _stack: str) -> _Provisioned:
    query_id = json.loads(athena._create_named_query({"Name": logical_id, **properties})[2])["NamedQueryId"]
    return query_id, {"NamedQueryId": query_id}


def _delete_named_query(query_id: str, _properties: Properties) -> None:
    athena._delete_named_query({"NamedQueryId": query_id})


def _create_instance(_logical_id: str, properties: Properties, _stack: str) -> _Provisioned:
    subnet = ec2._subnets.get(properties["SubnetId"])
    if subnet is None:
        raise ValueError(f"The subnet ID '{properties['SubnetId']}' does not exist")
    address = properties.get("PrivateIpAddress")
    if address is not None:
        _check_address(address, subnet)
    profile_name = properties.get("IamInstanceProfile", "")
    profile, _ = ec2._resolve_iam_instance_profile(iam_name=profile_name)
    if profile_name and profile is None:
        raise ValueError(f"Value ({profile_name}) for parameter iamInstanceProfile.name is invalid")
    (instance,) = ec2._launch_instances_internal(
        properties["ImageId"],
        properties["InstanceType"],
        properties["SubnetId"],
        1,
        sg_ids=properties.get("SecurityGroupIds"),
        requested_private_ip=address,
        iam_profile=profile,
    )
    instance["Architecture"] = _processor(properties["InstanceType"].partition(".")[0])
    instance["Placement"]["AvailabilityZone"] = subnet["AvailabilityZone"]
    if not subnet["MapPublicIpOnLaunch"]:
        instance.update(PublicIpAddress="", PublicDnsName="")
    ec2._tags[instance["InstanceId"]] = list(properties.get("Tags", []))
    _attach_interface(instance)
    return instance["InstanceId"], {
        "InstanceId": instance["InstanceId"],
        "AvailabilityZone": subnet["AvailabilityZone"],
        "PrivateIp": instance["PrivateIpAddress"],
        "PrivateDnsName": instance["PrivateDnsName"],
        "PublicIp": instance["PublicIpAddress"],
        "PublicDnsName": instance["PublicDnsName"],
        "VpcId": instance["VpcId"],
    }


def _check_address(address: str, subnet: Properties) -> None:
    if ip_address(address) not in ip_network(subnet["CidrBlock"]):
        raise ValueError(f"Address {address} does not fall within the subnet's address range")
    for interface in ec2._network_interfaces.values():
        if (interface["SubnetId"], interface["PrivateIpAddress"]) == (subnet["SubnetId"], address):
            raise ValueError(f"Address {address} is in use.")


def _interface_of(instance_id: str) -> str:
    return instance_id.replace("i-", "eni-", 1)


def _attach_interface(instance: Properties) -> None:
    """Give an instance its primary network interface, whose id follows from the instance's."""
    interface_id = _interface_of(instance["InstanceId"])
    digits = interface_id[-10:]
    ec2._network_interfaces[interface_id] = {
        "NetworkInterfaceId": interface_id,
        "SubnetId": instance["SubnetId"],
        "VpcId": instance["VpcId"],
        "AvailabilityZone": instance["Placement"]["AvailabilityZone"],
        "Description": "",
        "OwnerId": get_account_id(),
        "Status": "in-use",
        "PrivateIpAddress": instance["PrivateIpAddress"],
        "InterfaceType": "interface",
        "SourceDestCheck": True,
        "MacAddress": ":".join(["02", *(digits[at : at + 2] for at in range(0, len(digits), 2))]),
        "Groups": instance["SecurityGroups"],
        "Attachment": {
            "AttachmentId": instance["InstanceId"].replace("i-", "eni-attach-", 1),
            "InstanceId": instance["InstanceId"],
            "DeviceIndex": 0,
            "Status": "attached",
            "AttachTime": instance["LaunchTime"],
        },
    }


def _delete_instance(instance_id: str, _properties: Properties) -> None:
    ec2._terminate_instances({"InstanceId.1": [instance_id]})
    ec2._network_interfaces.pop(_interface_of(instance_id), None)
    ec2._tags.pop(instance_id, None)


# ---------------------------------------------------------------- Athena
def answer_athena_in_trino() -> None:
    """Run queries as Athena does: in Trino's SQL, with parameters, on tables of the types that Glue declares.

    MiniStack hands a query to DuckDB as it is, drops its parameters, takes the types from the files or, where
    there are none, text for everything nested, and writes results as Python prints them. It needs no registered
    partitions: it reads all that lies under a table's location, which suits partition projection.
    """
    start, rewrite, run = athena._start_query_execution, athena._rewrite_data_paths, athena._run_duckdb
    relation, connect = athena._table_relation, duckdb.connect

    def start_query_execution(request: Properties) -> Response:
        parameters = request.get("ExecutionParameters")
        try:
            query = trino.bind(request["QueryString"], parameters) if parameters else request["QueryString"]
        except trino.UntranslatableSql as reason:
            return _json_error("InvalidRequestException", str(reason))
        answer: Response = start({**request, "QueryString": query})
        return answer

    async def rewrite_data_paths(query: str, *scope: object) -> object:
        return await rewrite(trino.to_duckdb(query), *scope)

    def connect_prepared(*arguments: Any) -> duckdb.DuckDBPyConnection:  # noqa: ANN401 - DuckDB's own
        connection = connect(*arguments)
        connection.execute(trino.PRELUDE)
        return connection

    def table_relation(table: Properties, files: list[str]) -> str:
        if athena._data_format(table) != "parquet":
            return str(relation(table, files))
        hive = athena._hive_options(athena._path_partition_keys(table, files))
        reader = f"read_parquet({athena._sql_list(files)}, union_by_name = true, {hive})"
        return trino.relation(_columns(table), reader)

    async def run_duckdb(*query: object) -> dict[str, Any]:
        results: dict[str, Any] = await run(*query)
        results["rows"] = [list(map(trino.athena_text, row)) for row in results["rows"]]
        return results

    duckdb.connect = connect_prepared  # type: ignore[assignment]  # called by position only
    athena._start_query_execution = start_query_execution
    athena._rewrite_data_paths = rewrite_data_paths
    athena._table_relation = table_relation
    athena._empty_relation = lambda table: trino.relation(_columns(table), "(SELECT 1 WHERE false)")
    athena._run_duckdb = run_duckdb
    athena._DUCKDB_TYPE_MAP["TIMESTAMP_MS"] = "timestamp"


def _columns(table: Properties) -> list[tuple[str, str]]:
    columns = [*table["StorageDescriptor"]["Columns"], *table.get("PartitionKeys", [])]
    return [(column["Name"], column["Type"]) for column in columns]


# ---------------------------------------------------------------- IAM
type _Authorization = tuple[str, str, Mapping[str, str]]
"""An action, the ARN of a resource, and condition keys of the request."""


def authorize_every_resource() -> None:
    """Check every action and resource of a request, as AWS does, where flowlag's roles depend on it.

    MiniStack checks one action on one resource: CreateFlowLogs on `*`, which no least-privilege policy allows, and
    neither the tags nor the passed role; DeleteFlowLogs on `*`, without the flow log's tags; SendCommand on `*`.
    """
    enforce = iam_evaluator.enforce

    def enforce_all(
        access_key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: Mapping[str, object] | None = None,
    ) -> object:
        context = service_context or {}
        for needed, arn, keys in _authorizations(action) or [(action, resource_arn, {})]:
            denied: object = enforce(access_key, needed, service, region, arn, {**context, **keys})
            if denied:
                app.logger.warning("%s was denied: it needs %s on %s", action, needed, arn)
                return denied
        return None

    iam_evaluator.enforce = enforce_all


def _authorizations(action: str) -> list[_Authorization]:
    """What a signed request must be allowed; empty where MiniStack's own idea serves."""
    request = iam_evaluator._signed_request.get()
    needs = {
        "ec2:CreateFlowLogs": _to_create_flow_logs,
        "ec2:DeleteFlowLogs": _to_delete_flow_logs,
        "ssm:SendCommand": _to_send_command,
    }
    return needs[action](request.body.decode()) if request is not None and action in needs else []


def _to_create_flow_logs(body: str) -> list[_Authorization]:
    parameters = parse_qs(body)
    kinds = {"VPC": "vpc", "Subnet": "subnet", "NetworkInterface": "network-interface"}
    kind = kinds.get(parameters.get("ResourceType", [""])[0], "*")
    watched = [f"{kind}/{each}" for each in ec2._parse_member_list(parameters, "ResourceId")]
    needed: list[_Authorization] = [
        ("ec2:CreateFlowLogs", _ec2_arn(resource), {}) for resource in ["vpc-flow-log/*", *watched]
    ]
    if "TagSpecification.1.ResourceType" in parameters:
        needed.append(("ec2:CreateTags", _ec2_arn("vpc-flow-log/*"), {"ec2:createaction": "CreateFlowLogs"}))
    passed = {"iam:passedtoservice": "vpc-flow-logs.amazonaws.com"}
    return needed + [
        ("iam:PassRole", role_arn, passed) for role_arn in parameters.get("DeliverLogsPermissionArn", [])
    ]


def _to_delete_flow_logs(body: str) -> list[_Authorization]:
    ids = ec2._parse_member_list(parse_qs(body), "FlowLogId")
    return [("ec2:DeleteFlowLogs", _ec2_arn(f"vpc-flow-log/{each}"), _tag_keys(each)) for each in ids]


def _tag_keys(resource_id: str) -> dict[str, str]:
    return {f"aws:resourcetag/{tag['Key'].lower()}": tag["Value"] for tag in ec2._tags.get(resource_id, [])}


def _to_send_command(body: str) -> list[_Authorization]:
    request = json.loads(body)
    document = f"arn:aws:ssm:{get_region()}:{get_account_id()}:document/{request.get('DocumentName')}"
    instances = [_ec2_arn(f"instance/{each}") for each in request.get("InstanceIds", [])]
    return [("ssm:SendCommand", arn, {}) for arn in [document, *instances]]


def _ec2_arn(resource: str) -> str:
    return f"arn:aws:ec2:{get_region()}:{get_account_id()}:{resource}"


def let_services_assume_roles() -> None:
    """Give a trust policy what it may ask of an AWS service: from which account it comes, and for what.

    MiniStack's root may play every service, but brings no `aws:SourceAccount` and no `aws:SourceArn`, by which the
    delivery role is kept from confused deputies. The service here that has them is the one that delivers flow logs.
    """
    evaluate = iam_evaluator.evaluate_trust_policy

    def evaluate_trust_policy(trust: object, caller: str, context: Any = None) -> bool:  # noqa: ANN401 - its context
        if context is not None and caller.endswith(":root"):
            source = {"aws:sourceaccount": get_account_id(), "aws:sourcearn": _ec2_arn("vpc-flow-log/fl-0")}
            context = replace(context, service_context={**context.service_context, **source})
        return bool(evaluate(trust, caller, context))

    iam_evaluator.evaluate_trust_policy = evaluate_trust_policy


def take_the_loopback_for_tls() -> None:
    """Take every request for one over TLS.

    It comes over the loopback, where there is nothing to encrypt; a policy that denies what is not over TLS, as a
    bucket's should, would deny everything.
    """
    pin = app.pin_request_origin
    app.pin_request_origin = lambda address, _is_tls: pin(address, True)  # noqa: FBT003 - MiniStack's signature


def _json_error(code: str, message: str) -> Response:
    answer: Response = error_response_json(code, message, 400)
    return answer
