from io import StringIO
from itertools import pairwise

import pytest
from rich.console import Console

from local.progress import Steps

EXPECTED = (("PlanRun", 1), ("WaitForDelivery", 5), ("Drain", 10))


@pytest.fixture
def bar(monkeypatch):
    """Enters steps, each given with its second, and says where the bar is after each."""
    clock = [0.0]
    monkeypatch.setattr("local.progress.time.monotonic", lambda: clock[0])
    steps = Steps(EXPECTED, Console(file=StringIO()))

    def after(*entered):
        shown = []
        for clock[0], name in entered:
            steps.enter(name)
            shown.append(steps.completed)
        return shown

    return after


def test_the_bar_follows_the_expected_seconds(bar):
    entered = (0, "PlanRun"), (0.5, "PlanRun"), (2, "WaitForDelivery"), (3, "Drain"), (5, "Drain")
    assert bar(*entered) == [0, 0.5, 1, 6, 8]


def test_a_step_that_lasts_waits_at_its_end(bar):
    assert bar((0, "PlanRun"), (60, "PlanRun")) == [0, 1]


def test_going_back_or_elsewhere_never_moves_the_bar_back(bar):
    shown = bar(
        (0, "PlanRun"), (1, "WaitForDelivery"), (2, "CheckFirstDelivery"), (3, "WaitForDelivery"), (4, "PlanRun")
    )
    assert all(before <= after for before, after in pairwise(shown))
    assert shown[-1] == 4
