"""Deploying the stack to a region: the template as it stands, its code packaged as `sam package` does."""

from __future__ import annotations

import io
import json
import platform
import time
import zipfile
from typing import TYPE_CHECKING, Any, Final

from flowlag.errors import FlowlagError
from local.checkout import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from local.cloud.region import Region

STACK: Final = "flowlag"
LAYERS: Final = CHECKOUT / ".build" / "layers"
"""Where `make setup` leaves a zip of each layer, named like the layer's folder."""

_BUCKET: Final = "flowlag-artifacts"
_FIRST_REGION: Final = "us-east-1"
"""The one region that S3 does not want to be told about."""
_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.1
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)


class NotDeployed(FlowlagError):
    """The stack was not created; the message has CloudFormation's reason."""


def deploy(region: Region, template: Path = CHECKOUT / "template.yaml", layers: Path = LAYERS) -> dict[str, str]:
    """Create the stack and wait for it.

    Args:
        region: where to; it must be up.
        template: a SAM template; its code lies beside it.
        layers: folder of the built layers.

    Returns:
        The stack's outputs.

    Raises:
        NotDeployed: a layer is not built, or CloudFormation could not create a resource.
    """
    artifacts = _Artifacts(region)
    packaged = _package(template, layers, artifacts)
    cloudformation = region.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{region.endpoint}/{_BUCKET}/{artifacts.put('template.json', json.dumps(packaged).encode())}",
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in _parameters().items()
            if name in packaged["Parameters"]
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    return _outputs(cloudformation)


def _parameters() -> dict[str, str]:
    """What differs from a stack on AWS."""
    machine = platform.machine()
    return {"Architecture": {"aarch64": "arm64"}.get(machine, machine), "Source": "local"}


class _Artifacts:
    """The bucket of what is deployed."""

    def __init__(self, region: Region) -> None:
        self._s3 = region.client("s3")
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": region.name}}
        self._s3.create_bucket(Bucket=_BUCKET, **({} if region.name == _FIRST_REGION else elsewhere))

    def put(self, key: str, data: bytes) -> str:
        """Upload an artifact and return its key."""
        self._s3.put_object(Bucket=_BUCKET, Key=key, Body=data)
        return key


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
                path = properties[name]
                properties[name] = f"s3://{_BUCKET}/{_upload(name, template.parent / path, layers, artifacts)}"
    return packaged


def _upload(kind: str, path: Path, layers: Path, artifacts: _Artifacts) -> str:
    match kind:
        case "CodeUri":
            return artifacts.put(f"{path.name}.zip", _zipped(path))
        case "ContentUri":
            return artifacts.put(f"layers/{path.name}.zip", _layer(layers / f"{path.name}.zip"))
        case _:
            return artifacts.put(path.name, path.read_bytes())


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
def _outputs(cloudformation: Any) -> dict[str, str]:  # noqa: ANN401 - a boto3 client
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if stack["StackStatus"] != "CREATE_IN_PROGRESS":
            raise NotDeployed(f"the stack was not created: {_reason(cloudformation, stack)}")
        time.sleep(_POLL_S)
    raise NotDeployed(f"the stack was not created within {_TIMEOUT_S:.0f} s")


def _reason(cloudformation: Any, stack: dict[str, Any]) -> str:  # noqa: ANN401 - a boto3 client
    """Which resource failed first, and why."""
    for event in reversed(cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]):
        if event["ResourceStatus"].endswith("_FAILED"):
            return f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason was given')}"
    return str(stack.get("StackStatusReason", stack["StackStatus"]))
