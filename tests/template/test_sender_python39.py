"""The instances run Amazon Linux 2023, whose Python is 3.9, and they bring no other."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path, PurePath

import pytest

from flowlag.capture import parse_capture
from flowlag.ledger import SENT, parse_ledger
from flowlag_aws.bundle import PACKAGES, pack

ROOT = Path(__file__).parents[2]
RATE = 100
ADDRESS = "10.99.0.10"

IMPORT_THE_SENDER = """
import importlib, pkgutil, sender, sys
for module in pkgutil.iter_modules(sender.__path__):
    importlib.import_module(f"sender.{module.name}")
for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] in ("sender", "flowlag"):
        print(module.__file__)
"""

# A run's four commands, in a network of their own, as the SSM document gives them.
RUN = """
ip link set lo up
ip address add "$ADDRESS/32" dev lo
"$@" start-capture $ORDER
"$@" start-sending $ORDER
"$@" stop-sending $ORDER
"$@" stop-capture $ORDER
"""

AWS = """#!/bin/sh
# aws s3 cp --only-show-errors FILE s3://BUCKET/KEY
cp "$4" "$UPLOADED"
"""


def modules():
    """Every module of the sender, and every one of core that these import."""
    alone = [sys.executable, "-c", IMPORT_THE_SENDER]
    told = subprocess.run(alone, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(line).relative_to(ROOT) for line in told.splitlines()]


def test_the_sender_and_what_it_imports_are_written_in_python_3_9():
    for module in modules():
        ast.parse((ROOT / module).read_text(), filename=str(module), feature_version=(3, 9))


def test_the_linter_knows_them_all_as_python_3_9():
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    patterns = [pattern for pattern, version in ruff["per-file-target-version"].items() if version == "py39"]
    code = [module for module in modules() if module.name != "__init__.py"]
    assert code
    assert [module for module in code if not any(map(PurePath(module).full_match, patterns))] == []


@pytest.fixture
def python39():
    """A Python 3.9 of this machine."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for python in sorted(pyenv.glob("versions/3.9.*/bin/python3.9")):
        return str(python)
    find = [ROOT / ".uv/bin/uv", "python", "find", "--no-python-downloads", "3.9"]
    found = subprocess.run(find, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip("no Python 3.9 here: `pyenv install 3.9` or `.uv/bin/uv python install 3.9` brings one")
    return found.stdout.strip()


@pytest.fixture
def isolated():
    """How to run a command in a network of its own, where nothing that it starts outlives it."""
    rootless = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *rootless, "--net", "--pid", "--fork", "--kill-child"]
    if not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("no network of its own without `ip` and `unshare`: `make system-deps` brings them")
    refused = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if refused.returncode != 0:
        pytest.skip(f"this system allows no network of its own: {refused.stderr.strip()}")
    return command


@pytest.mark.slow
def test_the_bundle_sends_and_captures_under_python_3_9(python39, isolated, tmp_path):
    with zipfile.ZipFile(BytesIO(pack(PACKAGES))) as bundle:
        bundle.extractall(tmp_path / "bundle")
    aws = tmp_path / "bin/aws"
    aws.parent.mkdir()
    aws.write_text(AWS)
    aws.chmod(0o755)
    uploaded = tmp_path / "uploaded"
    uploaded.mkdir()
    order = (
        f"--run-id run-1 --bucket results --source {ADDRESS} --target {ADDRESS} --port 9999"
        f" --rate {RATE} --payload-bytes 200 --duration 60"
    )
    ran = subprocess.run(
        [*isolated, "sh", "-euc", RUN, "sh", python39, "-m", "sender"],
        cwd=tmp_path / "bundle",
        env={
            "PATH": f"{aws.parent}{os.pathsep}{os.environ['PATH']}",
            "FLOWLAG_HOME": str(tmp_path / "home"),
            "ADDRESS": ADDRESS,
            "ORDER": order,
            "PYTHONWARNINGS": "error",
            "UPLOADED": str(uploaded),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    ledger = parse_ledger((uploaded / "ledger.csv").read_text())
    seen = parse_capture((uploaded / "capture.csv").read_text(), RATE).seen
    sent = {entry.tick for entry in ledger.entries if entry.outcome == SENT}
    assert ledger.closed
    assert sent
    assert seen
    assert set(seen) <= sent
    sending, capturing = map(json.loads, ran.stdout.splitlines()[-2:])
    assert (sending["sent"], capturing["seen"]) == (len(sent), len(seen))
