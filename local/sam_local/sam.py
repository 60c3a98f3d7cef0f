"""The SAM CLI: where it is, what it is run with, and what it builds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any, Final

from flowlag.errors import FlowlagError
from local.checkout import CHECKOUT
from local.sam_local.places import WORK, architecture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SAM: Final[Path] = CHECKOUT / ".venv-sam" / "bin" / "sam"
PYTHON_OF_SAM: Final[Path] = SAM.with_name("python")
"""What the SAM CLI runs on, with its packages."""

BUILT: Final[Path] = WORK / "build"
_CACHE: Final[Path] = WORK / "cache"
TEMPLATE: Final[Path] = WORK / "template.json"
"""The built template with what makes it local: `sam local` reads this one."""

SETTINGS: Final[Path] = WORK / "samconfig.toml"
"""The options that `sam local` needs."""

COMMANDS: Final[Path] = WORK / "bin"
"""Goes before others on the PATH of who types `sam`."""

VARIABLES: Final[Path] = WORK / "variables.json"
"""The functions' variables, for `--env-vars`."""

ENDPOINT: Final = "AWS_ENDPOINT_URL"
"""By this variable the SDK finds another AWS."""


class NotBuilt(FlowlagError):
    """`sam build` failed; the message has its last words."""


def sam_environment(**more: str) -> dict[str, str]:
    """The environment of the SAM CLI: this process's, with nothing of the user's AWS, and folders of its own."""
    foreign = ("AWS_", "MAKE", "MFLAGS", "SAM_", "ARCHITECTURE")
    home, temporary = WORK / "home", WORK / "tmp"
    for folder in (home, temporary):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "PATH": os.pathsep.join(
            [*(str(CHECKOUT / each / "bin") for each in (".venv", ".uv", ".venv-sam")), os.environ["PATH"]]
        ),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(CHECKOUT / ".cache/uv")),
        "UV_PYTHON_INSTALL_DIR": os.environ.get("UV_PYTHON_INSTALL_DIR", str(CHECKOUT / ".uv/python")),
        "NO_PROXY": "*",
        "TMPDIR": str(temporary),
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_CHECK_VERSION": "0",
        "__SAM_CLI_APP_DIR": str(home),
        "SAM_LAYER_CACHE_BASEDIR": str(home / "layers"),
        "ARCHITECTURE": architecture(),  # what SAM does not tell the layers' makefiles
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
        **more,
    }


@contextlib.contextmanager
def building(template: Path = CHECKOUT / "template.yaml") -> Iterator[subprocess.Popen[str]]:
    """Let `sam build` of every function and layer, for this machine's architecture, be under way."""
    WORK.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(  # noqa: S603 - the SAM CLI
        [
            *(str(SAM), "build", "--template-file", str(template), "--build-dir", str(BUILT)),
            *("--cached", "--cache-dir", str(_CACHE)),  # by what lies in a layer's folder
            *("--parameter-overrides", f"Architecture={architecture()}"),
        ],
        cwd=CHECKOUT,
        env=sam_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # make and uv among them


def await_build(build: subprocess.Popen[str]) -> None:
    """Wait for the end of a build.

    Raises:
        NotBuilt: it failed.
    """
    said, _ = build.communicate()
    if build.returncode != 0:
        raise NotBuilt(f"sam build failed: {' / '.join(said.strip().splitlines()[-5:])}")


def write_template(physical_names: Mapping[str, str]) -> None:
    """Write the built template with two additions, neither of which it needs on AWS.

    SAM passes a variable of `--env-vars` only to a function that declares it, so every function declares the
    endpoint; and start-lambda answers to the names that the deployed functions have.
    """
    from samtranslator.yaml_helper import yaml_parse  # noqa: PLC0415 - takes a second

    document: dict[str, Any] = yaml_parse((BUILT / "template.yaml").read_text())
    document["Globals"]["Function"].setdefault("Environment", {}).setdefault("Variables", {})[ENDPOINT] = ""
    for logical, physical in physical_names.items():
        document["Resources"][logical]["Properties"]["FunctionName"] = physical
    for resource in document["Resources"].values():
        for place in ("CodeUri", "ContentUri"):
            if place in resource.get("Properties", {}):
                resource["Properties"][place] = str(BUILT / resource["Properties"][place])
    TEMPLATE.write_text(json.dumps(document, indent=1, default=str))


def write_settings(region: str) -> None:
    """Write the settings of `sam local invoke` and `sam local start-lambda`, and a `sam` that reads them."""
    settings = {
        "template_file": str(TEMPLATE),
        "env_vars": str(VARIABLES),
        "parameter_overrides": f"Architecture={architecture()} Source=local",
        "region": region,
        "skip_pull_image": True,  # an image that is not there is pulled all the same
    }
    lines = ["version = 0.1"]
    for section in ("local_invoke", "local_start_lambda"):
        lines += ["", f"[default.{section}.parameters]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    COMMANDS.mkdir(exist_ok=True)
    command = COMMANDS / "sam"
    command.write_text(_COMMAND.format(sam=SAM, template=TEMPLATE, settings=SETTINGS))
    command.chmod(0o755)
    SETTINGS.write_text("\n".join([*lines, 'warm_containers = "LAZY"', ""]))


# SAM_TEMPLATE_FILE would not do: SAM looks for settings before it reads that (aws-sam-cli 1.170.0).
_COMMAND: Final = """#!/bin/sh
if [ "${{1-}}" != local ] || [ $# -lt 2 ]; then exec "{sam}" "$@"; fi
command=$2
shift 2
exec "{sam}" local "$command" --template-file "{template}" --config-file "{settings}" "$@"
"""
