import pytest

from flowlag_aws import settings
from flowlag_aws.settings import FromEnvironment, MissingSetting, Planning, Results
from functions import reconcile_run
from tests.functions.events import load
from tests.functions.stack import Context, Template

KINDS = [kind for kind in vars(settings).values() if isinstance(kind, type) and issubclass(kind, FromEnvironment)]
OF_LIBRARIES = ("POWERTOOLS_", "ARROW_")
FUNCTIONS = ["PlanRun", "StartTraffic", "StopTraffic", "CreateFlowLog", "CheckFirstDelivery", "DecodeRecords"]
FUNCTIONS += ["DeleteFlowLogs", "ReconcileRun", "SummarizeRun"]


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
    monkeypatch.setenv("RESULTS_BUCKET", "results")
    assert Results.read() == Results(results_bucket="results")


def test_an_empty_setting_is_a_setting() -> None:
    assert Planning.read({name.upper(): "" for name in Planning.__dataclass_fields__}).source == ""


def test_the_template_sets_no_variable_that_no_function_reads() -> None:
    template = Template()
    known = {name.upper() for kind in KINDS for name in kind.__dataclass_fields__}
    for function in FUNCTIONS:
        ours = template.environment(f"{function}Function").keys()
        assert {name for name in ours if not name.startswith(OF_LIBRARIES)} <= known


def test_a_function_that_was_deployed_without_its_settings_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESULTS_BUCKET", raising=False)
    with pytest.raises(MissingSetting, match="RESULTS_BUCKET is not set"):
        reconcile_run.handler(load("reconcile_run"), Context())
