"""Deploying the stack to a region: the template as it stands, its code packaged as `sam package` does."""

from __future__ import annotations

import contextlib
import io
import json
import platform
import time
import zipfile
from typing import TYPE_CHECKING, Any, Final

from flowlag.errors import FlowlagError
from local.checkout import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from pathlib import Path

    from local.cloud.region import Region

STACK: Final = "flowlag"
LAYERS: Final = CHECKOUT / ".build" / "layers"
"""Where `make setup` leaves a zip of each layer, named like the layer's folder."""

_FIRST_REGION: Final = "us-east-1"
"""The one region that S3 does not want to be told about."""
_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.1
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)


class NotDeployed(FlowlagError):
    """The stack was not created; the message has CloudFormation's reason."""


def deploy(
    region: Region,
    template: Path = CHECKOUT / "template.yaml",
    layers: Path = LAYERS,
    *,
    region_name: str | None = None,
    parameters: Mapping[str, str] | None = None,
    stack: str = STACK,
) -> dict[str, str]:
    """Create the stack and wait for it.

    Args:
        region: where to; it must be up.
        template: a SAM template; its code lies beside it.
        layers: folder of the built layers.
        region_name: which of the regions that it plays; its own by default.
        parameters: of the template, where they are not as it has them; what differs from AWS is known.
        stack: the stack's name.

    Returns:
        The stack's outputs.

    Raises:
        NotDeployed: a layer is not built, or CloudFormation refused the template or could not create a resource.
    """
    name = region_name or region.name
    artifacts = _Artifacts(region, name)
    packaged = _package(template, layers, artifacts)
    values = _values(packaged.get("Parameters", {}), parameters or {})
    cloudformation = region.client("cloudformation", name)
    try:
        cloudformation.create_stack(
            StackName=stack,
            TemplateURL=artifacts.url(artifacts.put(f"{stack}.json", json.dumps(packaged).encode())),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
    except cloudformation.exceptions.ClientError as reason:
        raise NotDeployed(f"the stack was not created: {reason.response['Error']['Message']}") from None
    return _outputs(cloudformation, stack)


def _values(known: Container[str], given: Mapping[str, str]) -> dict[str, str]:
    """The values of parameters: those given, and those in which this machine differs from AWS."""
    unknown = [name for name in given if name not in known]
    if unknown:
        raise NotDeployed(f"the template has no parameter {', '.join(unknown)}")
    machine = platform.machine()
    here = {"Architecture": {"aarch64": "arm64"}.get(machine, machine), "Source": "local"}
    return {name: value for name, value in here.items() if name in known} | dict(given)


class _Artifacts:
    """The bucket of what is deployed to a region."""

    def __init__(self, region: Region, name: str) -> None:
        self._endpoint, self._bucket = region.endpoint, f"flowlag-artifacts-{name}"
        self._s3 = region.client("s3", name)
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": name}}
        with contextlib.suppress(self._s3.exceptions.BucketAlreadyOwnedByYou):
            self._s3.create_bucket(Bucket=self._bucket, **({} if name == _FIRST_REGION else elsewhere))

    def put(self, key: str, data: bytes) -> str:
        """Upload an artifact and return its URI."""
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)
        return f"s3://{self._bucket}/{key}"

    def url(self, uri: str) -> str:
        """An artifact's URL, as CloudFormation takes it."""
        return f"{self._endpoint}/{uri.removeprefix('s3://')}"


# ---------------------------------------------------------------- the template
def _package(template: Path, layers: Path, artifacts: _Artifacts) -> dict[str, Any]:
    """The template with its local paths replaced by where they were uploaded to, and nothing else."""
    from samtranslator.yaml_helper import yaml_parse  # noqa: PLC0415 - takes a second

    packaged: dict[str, Any] = yaml_parse(template.read_text())
    sections = [
        *packaged.get("Globals", {}).values(),
        *(each.get("Properties", {}) for each in packaged["Resources"].values()),
    ]
    for properties in sections:
        for name in ("CodeUri", "ContentUri", "DefinitionUri"):
            if isinstance(properties.get(name), str):
                path = template.parent / properties[name]
                key = path.relative_to(template.parent).as_posix()
                properties[name] = artifacts.put(key, _artifact(name, path, layers))
    return packaged


def _artifact(kind: str, path: Path, layers: Path) -> bytes:
    match kind:
        case "CodeUri":
            return _zipped(path)
        case "ContentUri":
            return _layer(layers / f"{path.name}.zip")
        case _:
            return path.read_bytes()


def _layer(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotDeployed(f"the layer {path} is not built: run 'make setup'") from None


def _zipped(folder: Path) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.writestr(zipfile.ZipInfo(str(path.relative_to(folder)), _LONG_AGO), path.read_bytes())
    return sink.getvalue()


# ---------------------------------------------------------------- the stack
def _outputs(cloudformation: Any, name: str) -> dict[str, str]:  # noqa: ANN401 - a boto3 client
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if stack["StackStatus"] != "CREATE_IN_PROGRESS":
            raise NotDeployed(f"the stack was not created: {_reason(cloudformation, stack)}")
        time.sleep(_POLL_S)
    raise NotDeployed(
        f"the stack was not created within {_TIMEOUT_S:.0f} s: it waits for {_awaited(cloudformation, name)}"
    )


def _awaited(cloudformation: Any, name: str) -> str:  # noqa: ANN401 - a boto3 client
    """The resources that are not there yet."""
    events = reversed(cloudformation.describe_stack_events(StackName=name)["StackEvents"])
    latest = {event["LogicalResourceId"]: event["ResourceStatus"] for event in events}
    return ", ".join(each for each, status in latest.items() if status != "CREATE_COMPLETE" and each != name)


def _reason(cloudformation: Any, stack: dict[str, Any]) -> str:  # noqa: ANN401 - a boto3 client
    """Which resource failed first, and why."""
    for event in reversed(cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]):
        if event["ResourceStatus"].endswith("_FAILED"):
            return f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason was given')}"
    return str(stack.get("StackStatusReason", stack["StackStatus"]))
