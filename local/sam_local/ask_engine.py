"""What the SAM CLI's own client says of a container engine, as one line of JSON; runs on the SAM CLI's Python.

python ask_engine.py find | about IMAGE
"""

import json
import sys

import docker
from samcli.local.docker.container_client_factory import ContainerClientFactory

ABOUT = "import json, platform; print(json.dumps([platform.python_version(), ' '.join(platform.libc_ver())]))"


def find(client: docker.DockerClient) -> dict[str, object]:
    """The engine, and by which address containers reach the machine that it runs on."""
    bridge = client.networks.get("bridge").attrs["IPAM"]["Config"][0]
    return {
        "kind": client.get_runtime_type().capitalize(),
        "version": client.version()["Version"],
        "is_desktop": "Desktop" in client.info().get("OperatingSystem", ""),
        "gateway": bridge.get("Gateway", ""),
    }


def about(client: docker.DockerClient, image: str) -> dict[str, object]:
    """The versions of an image's Python and C library, by a container of it."""
    python, libc = json.loads(
        client.containers.run(image, entrypoint=["python3.13", "-I", "-c", ABOUT], remove=True)
    )
    return {"python": python, "libc": libc}


if __name__ == "__main__":
    engine = ContainerClientFactory.create_client()
    answer = find(engine) if sys.argv[1] == "find" else about(engine, sys.argv[2])
    print(json.dumps(answer))  # noqa: T201 - what it is asked for
