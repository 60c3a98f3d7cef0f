"""The environments of samconfig.toml: one a region, and each with the sender that is sold there."""

import json
import subprocess
import tomllib
from importlib import resources
from typing import Any

import pytest

from tests.template.parsed import PARAMETERS, ROOT, accepts

CONFIG = ROOT / "samconfig.toml"
TEXT = CONFIG.read_text()
ENVIRONMENTS: dict[str, dict[str, Any]] = {
    name: each for name, each in tomllib.loads(TEXT).items() if isinstance(each, dict)
}
REGIONS = {name: each["global"]["parameters"]["region"] for name, each in ENVIRONMENTS.items()}
HOME = "default"
OF_HOME = "file://home.yaml"
SOLD: dict[str, dict[str, list[str]]] = json.loads(
    (resources.files("cfnlint.data.schemas.extensions.aws_ec2_instance") / "instancetype_enum.json").read_text()
)
"""Region to the instance types that AWS's price list has there."""

each_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)


def overrides(environment: str) -> list[str]:
    found: list[str] = ENVIRONMENTS[environment]["deploy"]["parameters"]["parameter_overrides"]
    return found


def test_an_environment_away_from_home_is_called_like_its_region() -> None:
    assert {name: region for name, region in REGIONS.items() if name != HOME} == {
        name: name for name in ENVIRONMENTS if name != HOME
    }
    assert REGIONS[HOME] not in ENVIRONMENTS  # it would make a satellite of the home stack
    assert len(ENVIRONMENTS) >= 5


@each_environment
def test_a_sender_is_xen_wherever_that_is_sold(environment: str) -> None:
    kinds = SOLD[REGIONS[environment]]["enum"]
    sender = "t2.micro" if "t2.micro" in kinds else "t3.micro"
    assert f"SenderInstanceType={sender}" in overrides(environment)
    assert {sender, "t4g.nano"} <= set(kinds)


def test_regions_of_both_kinds_are_among_them() -> None:
    senders = {each for name in ENVIRONMENTS for each in overrides(name) if each.startswith("SenderInstanceType=")}
    assert senders == {"SenderInstanceType=t2.micro", "SenderInstanceType=t3.micro"}


@each_environment
def test_only_the_home_stack_does_not_ask_where_home_is(environment: str) -> None:
    assert (OF_HOME in overrides(environment)) == (environment != HOME)


@each_environment
def test_environments_differ_in_nothing_else(environment: str) -> None:
    # The dashboard finds the metrics of all regions by the stack's name.
    stacks = {name: each["global"]["parameters"]["stack_name"] for name, each in ENVIRONMENTS.items()}
    assert stacks[environment] == stacks[HOME]
    same = {"capabilities", "confirm_changeset", "resolve_s3"}
    deploy = [ENVIRONMENTS[name]["deploy"]["parameters"] for name in (HOME, environment)]
    assert {key: deploy[0][key] for key in same} == {key: deploy[1][key] for key in same}
    assert deploy[1].keys() == same | {"parameter_overrides"}


def test_where_home_is_stays_on_the_machine_that_deploys() -> None:
    ignored = subprocess.run(["git", "check-ignore", "home.yaml"], cwd=ROOT, capture_output=True, check=False)
    assert ignored.returncode == 0


# ---------------------------------------------------------------- by the SAM CLI itself
# What `sam deploy --config-env NAME` is about to do, as it has read everything that it was told.
READ_BY_SAM = """
import json, sys
from unittest.mock import patch
from click.testing import CliRunner
from samcli.commands.deploy.command import cli

read = {}
for name in sys.argv[1:]:
    with patch("samcli.commands.deploy.command.do_cli") as deploy:
        result = CliRunner().invoke(cli, ["--config-env", name], catch_exceptions=False)
    told = [each for each in deploy.call_args.args] if deploy.called else []
    read[name] = {
        "output": result.output,
        "parameters": next((each for each in told if isinstance(each, dict) and each), {}),
        "told": [each for each in told if isinstance(each, str)],
    }
print(json.dumps(read))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with what the SAM CLI reads of the project."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("samconfig.toml", "template.yaml"):
        (folder / name).write_text((ROOT / name).read_text())
    return folder


def read_by_sam(project, *environments):
    python = ROOT / ".venv-sam/bin/python"
    if not python.exists():
        pytest.skip("aws-sam-cli is not here: make .venv-sam/.ready")
    done = subprocess.run(
        [python, "-c", READ_BY_SAM, *environments],
        cwd=project,
        env={"HOME": str(project), "PATH": "/usr/bin:/bin", "SAM_CLI_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_sam_reads_every_environment_and_the_template_takes_it(project):
    (project / "home.yaml").write_text("HomeRegion: us-east-1\nHomeBucket: flowlag-resultsbucket-1a2b3c\n")
    read = read_by_sam(project, *ENVIRONMENTS)
    for name, each in read.items():
        assert each["parameters"], each["output"]
        assert each["parameters"].keys() <= PARAMETERS.keys()
        assert [key for key, value in each["parameters"].items() if not accepts(key, value)] == []
        assert {"flowlag", REGIONS[name], name} <= set(each["told"])
        assert each["parameters"].get("HomeBucket") == (None if name == HOME else "flowlag-resultsbucket-1a2b3c")


@pytest.mark.slow
def test_without_a_home_sam_says_what_is_missing(project):
    (project / "home.yaml").unlink(missing_ok=True)
    read = read_by_sam(project, HOME, "eu-west-1")
    assert read[HOME]["parameters"] == {"SenderInstanceType": "t2.micro"}
    assert read["eu-west-1"]["told"] == []
    assert "file://home.yaml was not found" in read["eu-west-1"]["output"]
