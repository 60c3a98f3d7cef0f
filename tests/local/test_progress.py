import json
import subprocess
import sys
import time
from io import StringIO
from itertools import pairwise

import pytest
from rich.console import Console

from local.progress import Steps, working
from tests.local.terminals import CONTROL, on_a_terminal

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


# ---------------------------------------------------------------- work
@pytest.fixture
def screen(monkeypatch):
    """A terminal, on which everything is drawn at once."""
    screen = StringIO()
    monkeypatch.setattr("local.progress.Console", lambda **_: Console(file=screen, force_terminal=True, width=80))
    monkeypatch.setattr("local.progress.PATIENCE_S", 0)
    return screen


def wait_for(words, screen):
    deadline = time.monotonic() + 60
    while words not in CONTROL.sub("", screen.getvalue()):
        assert time.monotonic() < deadline, screen.getvalue()
        time.sleep(0.01)


def test_a_terminal_shows_what_is_being_done_and_how_far_it_is(screen):
    with working("reading") as work:
        wait_for("reading", screen)
        work.now("simulating", 3)
        work.step()
        work.step()
        wait_for("2/3", screen)
        work.now("telling [what] is true")
        wait_for("telling [what] is true", screen)

    drawn_last = CONTROL.sub("", screen.getvalue()).rpartition("telling")[2]
    assert "2/3" not in drawn_last


@pytest.mark.usefixtures("screen")
def test_the_picture_is_taken_away_where_the_work_fails(screen):
    def fail():
        with working("reading"):
            wait_for("reading", screen)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it is our own
        fail()

    assert screen.getvalue().endswith("\x1b[1A\x1b[2K")


def test_what_is_done_soon_is_not_drawn(screen, monkeypatch):
    monkeypatch.setattr("local.progress.PATIENCE_S", 600)

    with working("reading") as work:
        work.now("analyzing", 1)
        work.step()

    assert screen.getvalue() == ""


def test_for_a_program_nothing_is_drawn(screen):
    with working("reading", as_json=True) as work:
        work.now("analyzing", 1)
        work.step()

    assert screen.getvalue() == ""


AT_ONCE = (sys.executable, "-c", "import local.progress as p; p.PATIENCE_S = 0; from local.cli import main; main()")


def test_commands_draw_on_the_terminal_alone(tmp_path):
    out = tmp_path / "simulated"
    simulated = on_a_terminal(
        [*AT_ONCE, "simulate", "--runs", "20", "--hours", "1", "--out", str(out)], pipes_output=True
    )
    analyzed = on_a_terminal([*AT_ONCE, "analyze", str(out)], pipes_output=True)
    quiet = on_a_terminal([*AT_ONCE, "analyze", str(out), "--json"], pipes_output=True)

    assert (simulated.exit_code, analyzed.exit_code, quiet.exit_code) == (0, 0, 0)
    assert "simulating runs" in simulated.drawn
    assert "/20" in simulated.drawn
    assert "analyzing them" in analyzed.drawn
    assert "The tables are in" in simulated.piped
    assert "simulating" not in simulated.piped
    assert (quiet.drawn, json.loads(quiet.piped)["n_runs"]) == ("", 20)


def test_where_standard_error_is_no_terminal_nothing_is_drawn(tmp_path):
    command = [*AT_ONCE, "simulate", "--runs", "3", "--hours", "1", "--out", str(tmp_path / "simulated")]

    assert subprocess.run(command, capture_output=True, check=True).stderr == b""
