import json

import pytest

from local.cloud.documents import Document, InvalidDocument, InvalidParameters, Step

CONTENT = {
    "schemaVersion": "2.2",
    "parameters": {
        "Action": {"type": "String", "interpolationType": "ENV_VAR", "allowedValues": ["start", "stop"]},
        "RunId": {"type": "String", "interpolationType": "ENV_VAR", "allowedPattern": "^[a-z0-9-]{1,64}$"},
        "Note": {"type": "String", "default": "none"},
    },
    "mainSteps": [
        {
            "action": "aws:runShellScript",
            "name": "one",
            "inputs": {"timeoutSeconds": "60", "runCommand": ["set -eu", 'echo "$SSM_Action" {{ Note }}']},
        },
        {"action": "aws:runShellScript", "name": "two", "inputs": {"runCommand": ["exit 3"]}},
    ],
}
GIVEN = {"Action": ["start"], "RunId": ["run-1"]}


@pytest.mark.parametrize("content", [CONTENT, json.dumps(CONTENT)])
def test_a_document_becomes_scripts_with_an_environment(content):
    steps = Document.of_content(content).steps(GIVEN)
    environment = {"SSM_Action": "start", "SSM_RunId": "run-1"}
    assert steps == [
        Step('set -eu\necho "$SSM_Action" none', environment, 60.0),
        Step("exit 3", environment, 3600.0),
    ]


def test_what_is_passed_as_environment_never_becomes_text_of_the_script():
    content = json.loads(json.dumps(CONTENT).replace("{{ Note }}", "{{ RunId }}"))
    (step, _) = Document.of_content(content).steps(GIVEN)
    assert "run-1" not in step.script


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"Action": ["start"]}, "'RunId' is missing"),
        ({**GIVEN, "Colour": ["red"]}, "no parameter 'Colour'"),
        ({**GIVEN, "Action": ["restart"]}, "'restart' is not one of the allowedValues of the parameter 'Action'"),
        ({**GIVEN, "RunId": ["a b"]}, "'a b' does not match the allowedPattern of the parameter 'RunId'"),
        ({**GIVEN, "RunId": ["x; rm -rf /"]}, "does not match the allowedPattern"),
        ({**GIVEN, "RunId": ["a", "b"]}, "takes one value, not 2"),
        ({**GIVEN, "RunId": []}, "takes one value, not 0"),
    ],
)
def test_parameters_that_the_document_does_not_allow_are_refused(given, reason):
    with pytest.raises(InvalidParameters) as refusal:
        Document.of_content(CONTENT).steps(given)
    assert reason in str(refusal.value)


def test_a_pattern_without_anchors_is_not_made_good():
    content = json.loads(json.dumps(CONTENT).replace("^[a-z0-9-]{1,64}$", "[a-z]"))
    (step, _) = Document.of_content(content).steps({**GIVEN, "RunId": ["a; reboot"]})
    assert step.environment["SSM_RunId"] == "a; reboot"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schemaVersion": "0.3"}, "schemaVersion '2.2'"),
        ({"parameters": {"Names": {"type": "StringList"}}}, "'Names' is a StringList"),
        (
            {"mainSteps": [{"action": "aws:runPowerShellScript", "inputs": {}}]},
            "'aws:runPowerShellScript' is not run",
        ),
    ],
)
def test_a_document_that_is_not_understood_is_refused(change, reason):
    with pytest.raises(InvalidDocument) as refusal:
        Document.of_content({**CONTENT, **change})
    assert reason in str(refusal.value)


@pytest.mark.parametrize("content", ["", "[]", "just text"])
def test_something_else_than_a_document_is_refused(content):
    with pytest.raises(InvalidDocument):
        Document.of_content(content)
