import pytest

from flowlag_aws import settings
from flowlag_aws.settings import FromEnvironment, MissingSetting, Planning, Results
from functions import reconcile_run
from tests.functions.events import load
from tests.functions.run import PLAN, REGION
from tests.functions.stack import Context
from tests.functions.template import RESULTS_BUCKET, SECOND_SENDER, Template

KINDS = [kind for kind in vars(settings).values() if isinstance(kind, type) and issubclass(kind, FromEnvironment)]
OF_LIBRARIES = ("POWERTOOLS_", "ARROW_")
SATELLITE = {"HomeRegion": "eu-central-1", "HomeBucket": "results-at-home"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_setting_is_read_from_the_variable_of_its_name(kind: type[FromEnvironment]) -> None:
    names = list(kind.__dataclass_fields__)
    read = kind.read({name.upper(): f"the {name}" for name in names} | {"PATH": "/bin"})
    assert [getattr(read, name) for name in names] == [f"the {name}" for name in names]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in kind.__dataclass_fields__])
def test_a_variable_that_is_missing_names_itself(kind: type[FromEnvironment], name: str) -> None:
    others = {each.upper(): "" for each in kind.__dataclass_fields__ if each != name}
    with pytest.raises(MissingSetting) as missing:
        kind.read(others)
    assert str(missing.value) == f"the environment variable {name.upper()} is not set; the template sets it"


def test_the_settings_come_from_the_process_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORK_BUCKET", "RESULTS_BUCKET", "RESULTS_REGION"):
        monkeypatch.setenv(name, name.lower())
    assert Results.read() == Results("work_bucket", "results_bucket", "results_region")


def test_an_empty_setting_is_a_setting() -> None:
    assert Planning.read({name.upper(): "" for name in Planning.__dataclass_fields__}).source == ""


@pytest.mark.parametrize("parameters", [{}, SATELLITE], ids=["home", "satellite"])
def test_the_template_sets_no_variable_that_no_function_reads(parameters: dict[str, str]) -> None:
    template = Template(**parameters)
    known = {name.upper() for kind in KINDS for name in kind.__dataclass_fields__}
    for function in template.functions:
        ours = template.environment(function).keys()
        assert {name for name in ours if not name.startswith(OF_LIBRARIES)} <= known


@pytest.mark.parametrize(
    ("parameters", "bucket", "region"),
    [
        ({}, RESULTS_BUCKET, REGION),
        (SATELLITE, "results-at-home", "eu-central-1"),
        ({"HomeBucket": "results-of-old"}, "results-of-old", REGION),  # a home stack that finds its old results
    ],
    ids=["home", "satellite", "home again"],
)
def test_results_go_home(parameters: dict[str, str], bucket: str, region: str) -> None:
    template = Template(**parameters)
    for function in ("ReconcileRun", "SummarizeRun", "PublishReport", "DecodeRecords", "Sweep"):
        environment = template.environment(f"{function}Function")
        assert (environment["RESULTS_BUCKET"], environment["RESULTS_REGION"]) == (bucket, region)


@pytest.mark.parametrize(
    ("parameters", "senders", "target"),
    [
        ({}, [PLAN.sender_instance_id], (PLAN.target_instance_id, "10.99.0.20")),
        ({"SecondSenderInstanceType": "t2.micro"}, [PLAN.sender_instance_id, SECOND_SENDER], None),
        ({"TargetAddress": "10.1.2.3"}, [PLAN.sender_instance_id], ("", "10.1.2.3")),
    ],
    ids=["as it is", "two senders", "own target"],
)
def test_a_run_is_planned_with_the_instances_that_the_stack_has(
    parameters: dict[str, str], senders: list[str], target: tuple[str, str] | None
) -> None:
    environment = Template(**parameters).environment("PlanRunFunction")
    assert environment["SENDER_INSTANCE_IDS"].split(",") == senders
    assert target in (None, (environment["TARGET_INSTANCE_ID"], environment["TARGET_ADDRESS"]))


def test_a_function_that_was_deployed_without_its_settings_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORK_BUCKET", "RESULTS_REGION"):
        monkeypatch.setenv(name, "set")
    monkeypatch.delenv("RESULTS_BUCKET", raising=False)
    with pytest.raises(MissingSetting, match="RESULTS_BUCKET is not set"):
        reconcile_run.handler(load("reconcile_run"), Context())
