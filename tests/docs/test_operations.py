"""Every `aws` and `sam` command of the documents is one that its program, or the template, takes."""

import re
import tomllib
from functools import cache

import botocore.session
from botocore import xform_name

from local.checkout import CHECKOUT
from tests.docs.shell import called, json_of, typed
from tests.template.parsed import PARAMETERS, RESOURCES, TEMPLATE, accepts

GLOBAL = {"region", "query", "output", "cli-read-timeout"}
"""Options of the AWS CLI itself."""
OF_FILES = {"ls", "cp", "sync", "rb"}
"""Commands of `aws s3`, which is no API."""
RENAMED = {"notification-endpoint": "endpoint"}
"""Options that the AWS CLI calls otherwise than the API."""


@cache
def operations(service):
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name, "-"): model.operation_model(name).input_shape for name in model.operation_names}


def test_aws_has_the_operations_and_their_options():
    asked = [call.words for call in called("aws") if call.words[0] != "s3"]
    assert len({words[:2] for words in asked}) >= 12
    for service, name, *rest in asked:
        shape = operations(service)[name]
        options = {word.removeprefix("--") for word in rest if word.startswith("--")} - GLOBAL
        given = {RENAMED.get(option, option) for option in options}
        assert given <= {xform_name(member, "-") for member in shape.members}, (service, name)
        assert {xform_name(member, "-") for member in shape.required_members} <= given, (service, name)


def test_of_files_only_what_is_known_is_asked():
    assert {call.words[1] for call in called("aws") if call.words[0] == "s3"} == OF_FILES


def test_the_template_takes_the_parameters():
    shown = [
        call.words[call.words.index("--parameter-overrides") + 1 :]
        for call in called("sam")
        if "--parameter-overrides" in call.words
    ]
    given = [tuple(each.split("=", 1)) for words in shown for each in words]
    assert len({name for name, _ in given}) >= 10
    for name, value in given:
        if not value.startswith("i-0"):  # what another program would have said
            assert accepts(name, value.strip('"')), (name, value)
        else:
            assert name in PARAMETERS


def test_sam_has_the_environments():
    environments = tomllib.loads((CHECKOUT / "samconfig.toml").read_text())
    calls = [call.words for call in called("sam")]
    shown = {words[words.index("--config-env") + 1] for words in calls if "--config-env" in words}
    assert shown
    assert shown <= environments.keys()
    assert {words[0] for words in calls} == {"build", "deploy", "delete"}


def test_outputs_and_resources_are_the_templates():
    calls = [call.words for call in called("aws")]
    outputs = {name for words in calls for name in re.findall(r"OutputKey=='(\w+)'", " ".join(words))}
    resources = {
        words[words.index("--logical-resource-id") + 1] for words in calls if "--logical-resource-id" in words
    }
    assert len(outputs) >= 5
    assert outputs <= TEMPLATE["Outputs"].keys()
    assert len(resources) >= 5
    assert resources <= RESOURCES.keys()


def test_the_manual_writes_what_the_next_command_reads():
    written = typed("docs/operations.md").written
    assert json_of(written, "event.json") == {
        "run_id": "by-hand-20261123T100000Z",
        "reconciled": {"ledger_closed": True, "failures": {}, "arms": []},
    }
    assert written["home.yaml"] == "HomeRegion: us-east-1\nHomeBucket: i-0123456789abcdef0\n"
