"""Without an engine: the runtime interface emulator, on the stand-in's files and on this machine's Python."""

import json
import os
import sys
from contextlib import ExitStack

import pytest

from local.sam_local import debian, emulator
from local.sam_local.emulator import Emulator, enter_emulator
from local.sam_local.places import EVENTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["on the stand-in's files", "on this machine's Python"])
def emulated(request, session, tmp_path_factory):
    """The emulator, of each kind that this machine has."""
    with ExitStack() as undo:
        if request.param == "on this machine's Python":
            yield Emulator(session.stage, tmp_path_factory.mktemp("emulator"), None)
            return
        if os.geteuid() != 0:
            pytest.skip("only root can chroot")
        yield enter_emulator(undo, session.stage)


@pytest.fixture
def functions(session):
    return {each.module: each for each in session.functions}


def test_a_function_answers(emulated, functions):
    event = json.loads((EVENTS / "decode_records.control.json").read_text())
    outcome = emulated.invoke(functions["decode_records"], event)
    assert (outcome.answer, outcome.failure) == ({}, ""), outcome.log


def test_a_function_finds_the_embedded_aws(emulated, functions):
    outcome = emulated.invoke(functions["sweep"], {})
    assert outcome.failure == "", outcome.log
    assert outcome.answer["problems"] == []


def test_an_exception_is_noticed(emulated, functions):
    outcome = emulated.invoke(functions["plan_run"], {})
    assert outcome.failure.startswith("KeyError: ")


def test_it_says_what_it_is(session, monkeypatch):
    """The second best is the stand-in's files, and what always is there is this machine's Python."""

    def none() -> None:
        raise debian.NoPackages("there is no Debian here")

    monkeypatch.setattr(emulator, "stand_in", none)
    with ExitStack() as undo:
        assert (
            f"Python {sys.version_info.major}.{sys.version_info.minor}"
            in enter_emulator(undo, session.stage).description
        )
