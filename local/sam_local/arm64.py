"""The arm64 functions and layers, imported by an arm64 Python: emulated, on a machine of another processor.

    python -m local.sam_local.arm64 BUILD

BUILD is where `sam build` has put them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from samtranslator.yaml_helper import yaml_parse

from flowlag.errors import FlowlagError
from local.sam_local import debian, image
from local.sam_local.functions import FUNCTION, module_of
from local.sam_local.places import CACHE, PYTHON, WORK, architecture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ARM64: Final = "arm64"
_LAYER: Final = "AWS::Serverless::LayerVersion"

_IMPORT: Final = """
import importlib, json, platform, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(platform.machine(), platform.python_version())
"""


def main(arguments: Sequence[str]) -> int:
    """Import everything; the exit status."""
    try:
        click.echo(imported(Path(arguments[0])))
    except FlowlagError as reason:
        click.echo(f"flowlag: {reason}", err=True)
        return 2
    return 0


def imported(build: Path) -> str:
    """Import every function, and every package of every layer, in one Python; what was done, in one line.

    Raises:
        NoPackages: there is no root or no Debian to make an arm64 system of.
        NotImported: something cannot be imported; the message has Python's words.
    """
    began = time.monotonic()
    resources: dict[str, Any] = yaml_parse((build / "template.yaml").read_text())["Resources"]
    properties = [each["Properties"] for each in resources.values() if each["Type"] == FUNCTION]
    layers = [
        build / each["Properties"]["ContentUri"] / "python" for each in resources.values() if each["Type"] == _LAYER
    ]
    functions = sorted(module_of(each["Handler"]) for each in properties)
    packages = sorted(package for layer in layers for package in _packages(layer))
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        root = image.system(ARM64, Path(folder) / "root")
        places = [str(build / properties[0]["CodeUri"]), *map(str, layers), str(root / "var/runtime")]
        done = subprocess.run(  # noqa: S603 - what we have just built
            [*_python(root), "-c", _IMPORT, json.dumps([*packages, *functions])],
            env={"PYTHONPATH": ":".join(places), "PYTHONHOME": str(root / "usr"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise NotImported(f"on {ARM64}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    what = f"{len(functions)} functions and {len(packages)} packages of {len(layers)} layers"
    return f"{what} were imported on {done.stdout.strip()} in {time.monotonic() - began:.0f} s"


class NotImported(FlowlagError):
    """Something that was built for arm64 cannot be imported there."""


def _packages(layer: Path) -> Iterator[str]:
    """The modules at a layer's top."""
    for path in layer.iterdir():
        if path.suffix in ("", ".py") and path.name != "__pycache__":
            yield path.stem


def _python(root: Path) -> list[str]:
    """How to run an arm64 system's Python here."""
    python = str(root / f"usr/bin/python{PYTHON}")
    if architecture() == ARM64:
        loader = next(root.glob("usr/lib/ld-linux-aarch64.so.1"))
        return [str(loader), "--library-path", str(root / "usr/lib/aarch64-linux-gnu"), python]
    programs = debian.unpacked(("qemu-user-static", "qemu-user"), CACHE / "qemu") / "usr/bin"
    (emulator, *_) = [
        each for name in ("qemu-aarch64-static", "qemu-aarch64") if (each := programs / name).exists()
    ]
    return [str(emulator), "-L", str(root), python]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
