"""The one document that the instances take orders from: what a run may order, and nothing else."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlag.address import PRIVATE, check_private
from flowlag.errors import InvalidRequest
from flowlag.plan import RunRequest, Site, plan_run
from flowlag_aws import traffic
from flowlag_aws.settings import Traffic
from tests.template.parsed import accepts, of_type

(DOCUMENT,) = of_type("AWS::SSM::Document").values()
PARAMETERS: dict[str, dict[str, Any]] = DOCUMENT["Content"]["parameters"]
SCRIPT: list[str] = [line for step in DOCUMENT["Content"]["mainSteps"] for line in step["inputs"]["runCommand"]]
PRIVATE_ADDRESSES = st.sampled_from(PRIVATE).flatmap(lambda network: st.ip_addresses(network=network)).map(str)
ADDRESSES = st.ip_addresses(v=4).map(str)


def orders(run_id: str = "run-1", **changed: Any) -> Iterator[Mapping[str, str]]:
    """The parameters of every order to the instances of a run."""
    site = Site(
        source="aws",
        region="eu-west-1",
        az_id="euw1-az1",
        instance_type="t3.micro",
        hypervisor="nitro",
        sender_instance_id="i-0aaaaaaaaaaaaaaaa",
        interface_id="eni-0123456789abcdef0",
        subnet_id="subnet-0123456789abcdef0",
        vpc_id="vpc-0123456789abcdef0",
        sender_address="10.99.0.10",
        target_instance_id="i-0bbbbbbbbbbbbbbbb",
        target_address="10.99.0.20",
        target_port=7777,
    )
    site = replace(site, **{name: value for name, value in changed.items() if hasattr(site, name)})
    request = RunRequest(**{name: value for name, value in changed.items() if not hasattr(site, name)})
    execution = f"arn:aws:states:eu-west-1:123456789012:execution:flowlag-benchmark:{run_id}"
    plan = plan_run(run_id, request, site, execution=execution, now=0, code_version="0.1.0")
    ordered: list[Mapping[str, str]] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            traffic, "run_command", lambda _document, _instance, parameters, **_: ordered.append(parameters)
        )
        for action in get_args(traffic.Action.__value__):
            traffic.order(action, plan, Traffic("flowlag-workbucket-1a2b3c", "traffic"), "0" * 64)
    yield from ordered


def allows(parameter: str, value: str) -> bool:
    """Whether the document takes the value, by a search as Systems Manager's."""
    declared = PARAMETERS[parameter]
    if "allowedValues" in declared:
        return value in declared["allowedValues"]
    return re.search(declared["allowedPattern"].replace("$", r"\Z"), value) is not None


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_parameter_is_checked_and_reaches_the_shell_as_environment(parameter: str) -> None:
    declared = PARAMETERS[parameter]
    assert (declared["type"], declared["interpolationType"]) == ("String", "ENV_VAR")
    assert "default" not in declared
    assert declared.keys() & {"allowedPattern", "allowedValues"}
    pattern = declared.get("allowedPattern", "^$")
    assert (pattern[0], pattern[-1]) == ("^", "$")
    assert "|" not in re.sub(r"\([^()]*(\([^()]*\)[^()]*)*\)", "", pattern)  # which an anchor would not hold


def test_no_parameter_is_written_into_the_script() -> None:
    assert [line for line in SCRIPT if "{{" in line or "}}" in line] == []
    variables = [(line, name) for line in SCRIPT for name in re.findall(r"\$\{?(SSM_\w+)", line)]
    assert {f"SSM_{name}" for name in PARAMETERS} == {name for _, name in variables}
    for line in SCRIPT:
        outside = re.sub(r'"(\\.|[^"\\])*"', "", line)
        assert "$" not in outside, f"unquoted: {line}"


def test_the_script_is_one_that_every_posix_shell_reads() -> None:
    done = subprocess.run(["sh", "-n"], input="\n".join(SCRIPT), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@given(
    run_id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True),
    rate=st.integers(1, 10),
    traffic_s=st.integers(1, 86_400),
    first_delivery_timeout_s=st.integers(1, 7_200),
    target_port=st.integers(1_024, 65_535),
    sender_address=ADDRESSES,
    target_address=PRIVATE_ADDRESSES,
)
@settings(max_examples=200)
def test_whatever_a_run_may_order_the_document_takes(**changed: Any) -> None:
    for parameters in orders(**changed):
        assert parameters.keys() == PARAMETERS.keys()
        assert [name for name, value in parameters.items() if not allows(name, value)] == []


ORDERED = next(orders())
METACHARACTERS = " ;|&$`(){}<>\n\t'\"\\*?#~!"


@pytest.mark.parametrize("parameter", PARAMETERS)
@given(data=st.data())
def test_nothing_that_means_something_to_a_shell_is_taken(parameter: str, data: st.DataObject) -> None:
    allowed = ORDERED[parameter]
    text = data.draw(st.sampled_from(METACHARACTERS))
    cut = data.draw(st.integers(0, len(allowed)))
    assert not allows(parameter, allowed[:cut] + text + allowed[cut:])
    around = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    assert not allows(parameter, data.draw(around) + text + data.draw(around))


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_nothing_is_not_taken(parameter: str) -> None:
    assert not allows(parameter, "")


@given(ADDRESSES | PRIVATE_ADDRESSES)
@settings(max_examples=300)
def test_probes_go_to_private_addresses_wherever_one_asks(address: str) -> None:
    try:
        check_private(address, "the target's address")
    except InvalidRequest:
        assert not allows("TargetAddress", address)
        assert not accepts("TargetAddress", address)
    else:
        assert allows("TargetAddress", address)
        assert accepts("TargetAddress", address)
