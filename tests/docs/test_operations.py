"""Every command of the manual is one that its program takes: bash runs them, with programs that only listen."""

import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from local.cli import main
from local.query import named_queries
from tests.template.parsed import PARAMETERS, RESOURCES, TEMPLATE, accepts

CHECKOUT = Path(__file__).parents[2]
MANUAL = (CHECKOUT / "docs" / "operations.md").read_text()
SCRIPT = "".join(re.findall(r"^ *```sh\n(.*?)^ *```", MANUAL, re.DOTALL | re.MULTILINE))
PROGRAMS = ("aws", "flowlag", "make", "sam")

LISTENER = """#!{python}
import json, pathlib, sys
with open({calls!r}, "a") as calls:
    calls.write(json.dumps([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]) + "\\n")
print("i-0123456789abcdef0")
"""

GLOBAL = {"region", "query", "output", "cli-read-timeout"}
"""Options of the AWS CLI itself."""
OF_FILES = {"ls", "sync", "rb"}
"""Commands of `aws s3`, which is no API."""
RENAMED = {"notification-endpoint": "endpoint"}
"""Options that the AWS CLI calls otherwise than the API."""


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """What the manual asks of each program, in order."""
    folder = tmp_path_factory.mktemp("manual")
    log = folder / "calls"
    (folder / "bin").mkdir()
    for name in PROGRAMS:
        program = folder / "bin" / name
        program.write_text(LISTENER.format(python=sys.executable, calls=str(log)))
        program.chmod(0o755)
    (folder / "out").mkdir()
    (folder / "out" / "reconciled.json").write_text('{"ledger_closed": true, "failures": {}, "arms": []}')
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", SCRIPT],
        cwd=folder,
        env={"PATH": f"{folder / 'bin'}:/usr/bin:/bin"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    found = {name: [] for name in PROGRAMS}
    for program, *words in map(json.loads, log.read_text().splitlines()):
        found[program].append(words)
    json.loads((folder / "out" / "event.json").read_text())  # the manual writes JSON
    assert (folder / "home.yaml").read_text() == "HomeRegion: us-east-1\nHomeBucket: i-0123456789abcdef0\n"
    return found


@cache
def operations(service):
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name, "-"): model.operation_model(name).input_shape for name in model.operation_names}


def test_aws_has_the_operations_and_their_options(calls):
    asked = [words for words in calls["aws"] if words[0] != "s3"]
    assert len({tuple(words[:2]) for words in asked}) >= 12
    for service, name, *rest in asked:
        shape = operations(service)[name]
        options = {word.removeprefix("--") for word in rest if word.startswith("--")} - GLOBAL
        given = {RENAMED.get(option, option) for option in options}
        assert given <= {xform_name(member, "-") for member in shape.members}, (service, name)
        assert {xform_name(member, "-") for member in shape.required_members} <= given, (service, name)


def test_of_files_only_what_is_known_is_asked(calls):
    assert {words[1] for words in calls["aws"] if words[0] == "s3"} == OF_FILES


def test_the_template_takes_the_parameters(calls):
    shown = [
        words[words.index("--parameter-overrides") + 1 :]
        for words in calls["sam"]
        if "--parameter-overrides" in words
    ]
    given = [tuple(each.split("=", 1)) for words in shown for each in words]
    assert len({name for name, _ in given}) >= 10
    for name, value in given:
        if not value.startswith("i-0"):  # what another program would have said
            assert accepts(name, value.strip('"')), (name, value)
        else:
            assert name in PARAMETERS


def test_sam_has_the_environments(calls):
    environments = tomllib.loads((CHECKOUT / "samconfig.toml").read_text())
    shown = {words[words.index("--config-env") + 1] for words in calls["sam"] if "--config-env" in words}
    assert shown
    assert shown <= environments.keys()
    assert {words[0] for words in calls["sam"]} == {"deploy", "delete"}


def test_outputs_and_resources_are_the_templates():
    outputs = set(re.findall(r"output us-east-1 (\w+)", MANUAL))
    resources = set(re.findall(r"(?:resource|image) us-east-1 (\w+)", MANUAL))
    assert outputs
    assert outputs <= TEMPLATE["Outputs"].keys()
    assert resources
    assert resources <= RESOURCES.keys()


def test_queries_are_there_and_take_their_options(calls):
    assert calls["flowlag"]
    for command, name, *rest in calls["flowlag"]:
        options = {option for each in main.commands[command].params for option in each.opts}
        assert name in named_queries()
        assert {word for word in rest if word.startswith("--")} <= options


def test_make_has_the_target(calls):
    assert {tuple(words) for words in calls["make"]} == {("build",)}
