"""`make check` finds what it is there to find: each fault is planted in a copy of the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
KNOWN_TO_MYPY = CHECKOUT / ".mypy_cache"
PARTS = ("layers", "functions", "sender", "local", "pyproject.toml")


@pytest.fixture
def copy(tmp_path):
    for part in PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / part)
    return tmp_path


def gate(copy, *command):
    path = os.pathsep.join(str(copy / each) for each in ("layers/core", "layers/aws", "."))
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def plant(copy, module, text):
    path = copy / module
    path.write_text(path.read_text() + text)


def test_a_planted_boto3_in_core_is_reported(copy):
    plant(copy, "layers/core/flowlag/verdict.py", "\nimport boto3\n")

    done = gate(copy, "lint-imports", "--no-cache")

    assert done.returncode != 0
    assert "flowlag.verdict -> boto3" in done.stdout


@pytest.mark.slow
def test_a_planted_wrong_type_is_reported(copy):
    plant(copy, "layers/core/flowlag/verdict.py", "\nWRONG: int = 'text'\n")
    if KNOWN_TO_MYPY.is_dir():  # what `make check` left: all but the planted module is as it was
        shutil.copytree(KNOWN_TO_MYPY, copy / "cache")

    done = gate(copy, "mypy", "--cache-dir", str(copy / "cache"))

    assert done.returncode != 0
    assert "layers/core/flowlag/verdict.py" in done.stdout
    assert "Incompatible types in assignment" in done.stdout


def test_a_function_that_imports_another_is_reported(copy):
    plant(copy, "functions/plan_run.py", "\nimport functions.stop_traffic\n")

    done = gate(copy, "lint-imports", "--no-cache")

    assert done.returncode != 0
    assert "functions do not import one another" in done.stdout


def test_the_checkout_itself_keeps_the_contracts():
    done = subprocess.run(
        [BIN / "lint-imports", "--no-cache"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout
