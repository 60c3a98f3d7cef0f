"""What holds for every test."""

import re
import signal

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# A gate says the same of the same code: examples are derived from the test, and a busy machine is no failure.
settings.register_profile("gate", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("gate")

# A shell's background job ignores Ctrl-C, and so would all that it starts; some tests send it to what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


# ---------------------------------------------------------------- which worker runs what
ON_A_CLOUD_OF_MANY_FILES = re.compile(r"tests/(contract|workflow)/.*\[(ministack|moto)[-\]]")

ON_THE_ENGINE = "tests/sam_local/"
"""Its files share an engine, a build and an embedded AWS."""

LONGEST_FIRST = (
    "sam local",
    "tests/local/test_demo.py",
    "workflow on moto",
    "workflow on ministack",
    "tests/faults/test_losses.py",
    "tests/local/test_sam_deploy.py",
    "tests/faults/test_throttling.py",
    "tests/faults/test_aborted.py",
    "tests/local/test_two_regions.py",
    "tests/local/test_flow_log_service.py",
    "tests/template/test_layers.py",
)
"""Groups that several workers begin with: whoever began a long one last would be alone with it at the end."""


def group_of(test: str) -> str:
    """What a test shares with others: the engine, the cloud that its folder's files are tried on, or its file."""
    if test.startswith(ON_THE_ENGINE):
        return "sam local"
    shared = ON_A_CLOUD_OF_MANY_FILES.match(test)
    return f"{shared[1]} on {shared[2]}" if shared else test.partition("::")[0]


class ByGroup(LoadScopeScheduling):
    """Gives each group to one worker, in the order of the collection.

    `--dist loadgroup` is for that, but xdist 3.8.0 finds no group under pytest 9.2, and says nothing.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByGroup:
    """Schedule by group; xdist itself would begin with the groups of most tests, whatever these take."""
    config.option.loadscopereorder = False
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the groups that take longest."""
    place = {group: place for place, group in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(group_of(item.nodeid), len(place)))


_SAID: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what a test has to say of the machine: its property `says`."""
    if report.when == "teardown":
        _SAID.extend(str(value) for name, value in report.user_properties if name == "says")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it, also where tests run in several processes."""
    for each in _SAID:
        terminalreporter.write_line(each)
