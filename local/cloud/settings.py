"""The settings of MiniStack, which it reads from the environment when it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT_TAG: Final = "flowlag:lambda-endpoint"
"""A function with this tag is not run by MiniStack but invoked at the Lambda endpoint that the tag names."""


def ministack_settings(scratch: Path, port: int, region: str = "us-east-1") -> dict[str, str]:
    """What MiniStack is told: where it answers, and that it keeps to `scratch` and to one port.

    Identity and access management is off unless `AUTH` says otherwise.
    """
    return {
        "ATHENA_ENGINE": "duckdb",
        "DOCKER_HOST": f"unix://{scratch}/none",  # MiniStack removes containers of a Docker that it finds
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # these two would listen on ports of their own
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_REGION": region,
        "S3_DATA_DIR": str(scratch / "s3"),
        "STATE_DIR": str(scratch / "state"),
    }
