"""Every `flowlag`, `make` and `python` command of the documents is run, or is in a table here that says why not."""

import importlib.util
import json
import re
import shlex
import shutil
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from flowlag.stamp import encode
from local.checkout import CHECKOUT
from local.cli import main
from local.query import named_queries
from tests.docs.shell import BLOCK, DOCUMENTS, ELSEWHERE, LISTENED_TO, called, typed, with_blocks
from tests.local.test_analyze_sources import LINKS, export, insights_time, packet, pcap

ONLY_READ = {
    "demo": "takes a minute, or stays until Ctrl-C: tests/local/test_demo.py runs it",
    "doctor": "asks AWS: tests/local/test_doctor.py runs it on the embedded AWS",
    "watch": "asks AWS: tests/local/test_watch_live.py runs it on the embedded AWS",
    "query": "asks Athena where there is no --source: tests/local/test_query.py runs it",
}
"""Commands of which it is tried whether they would be understood, and why they are not run here."""

SMALLER = {("--runs", "120"): ("--runs", "2")}
"""Options that are run with another value: 960 simulated arms would take half a minute."""

ELSEWHERE_IN_PYTHON = {
    "local.episode_18": "takes Episode 18's data: tests/local/test_episode_18.py runs it, where that is",
}

T0 = 1_646_334_040
SECOND = 1_000_000

each_document = pytest.mark.parametrize("document", with_blocks())


# ---------------------------------------------------------------- what the commands find
@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """What the documents name: a small simulated campaign, and an export with what was sent beside it."""
    folder = tmp_path_factory.mktemp("documents")
    simulated = ("--experiment", "default", "--runs", "3", "--hours", "0.5", "--regions", "us-east-1,eu-west-1")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        run("simulate", *simulated, "--out", "results")
    ticks = range(T0, T0 + 600)
    export(
        folder / "logs-insights-results.csv",
        [
            (insights_time((each // 300 * 300 + 330) * SECOND), insights_time(each * SECOND), encode(each))
            for each in ticks
        ],
    )
    sent = "".join(f'"{each}","a date","{encode(each)}"\n' for each in ticks)
    (folder / "test3A.csv").write_text(f'"Epoch_Time","Date_Time","Source_Port"\n{sent}')
    pcap(folder / "tcpdump.pcap", [(each * SECOND, LINKS[1] + packet(encode(each))) for each in ticks])
    return folder


@pytest.fixture(autouse=True)
def few_flow_logs(monkeypatch):
    """What is true of a simulated campaign takes a thousand flow logs, and most of the time."""
    monkeypatch.setattr("local.simulate.truth.FLOW_LOGS", 10)


def run(*words):
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stderr) == (0, ""), (words, result.output)
    return result.stdout


# ---------------------------------------------------------------- flowlag
@each_document
def test_flowlag_does_what_a_document_calls_it_for(document, everything, tmp_path, monkeypatch):
    for number, call in enumerate(called("flowlag", document)):
        words = smaller(call.words)
        if is_only_read(words):
            context = understood(words)
            if name := context.params.get("name"):
                assert name in named_queries()
            continue
        place = shutil.copytree(everything, tmp_path / str(number))
        for copy in {copies_at(word) for word in words} - {None}:
            shutil.copytree(place / "results", place / copy)
        monkeypatch.chdir(place)
        said = run(*words)
        assert said.strip(), call
        if "--json" in words:
            json.loads(said)
        for option in {"-o", "--out", "--data", "--badge"}.intersection(words):
            assert (place / words[words.index(option) + 1]).exists(), call


def copies_at(word):
    """Where the campaign has to be as well, so that a command that names `word` finds it."""
    if not word.startswith("out/") or Path(word).suffix:
        return None
    return word if word != "out/" else "out/demo-20261123T100000Z"


def smaller(words):
    return [SMALLER.get(pair, pair)[1] for pair in zip(("", *words), words, strict=False)]


def is_only_read(words):
    command, *rest = words
    is_local = command == "query" and ("--source" in rest or not rest)
    return command in ONLY_READ and not is_local and "--help" not in rest


def understood(words):
    """The command as click reads it, which refuses what is none."""
    command, *rest = words
    return main.commands[command].make_context(command, [*rest])


@pytest.mark.parametrize("words", [["demo", "--fast"], ["doctor", "--run"], ["query", "--where", "x"]])
def test_what_is_only_read_is_refused_if_it_is_wrong(words):
    assert is_only_read(words)
    with pytest.raises(click.UsageError):
        understood(words)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_inside_of_sentences_are_understood(document):
    """Some are shown without what they need: of these, the options have to exist."""
    for code in re.findall(r"`(?:\.venv/bin/)?flowlag ([^`]+)`", BLOCK.sub("", DOCUMENTS[document])):
        command, *rest = shlex.split(code.replace("[", " ").replace("]", " "))
        if command in ("COMMAND", "--version"):
            continue
        options = {option for each in main.commands[command].params for option in each.opts}
        assert {word for word in rest if word.startswith("--")} <= options, code


def test_readme_shows_every_command():
    assert {call.words[0] for call in called("flowlag", "README.md")} == set(main.commands)


# ---------------------------------------------------------------- others
@cache
def targets():
    return set(re.findall(r"^([a-z0-9-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))


def test_make_has_the_targets():
    calls = called("make")
    assert {word for call in calls for word in call.words} <= targets()
    assert len(calls) >= 5


def test_python_has_the_modules():
    modules = [call.words[call.words.index("-m") + 1] for call in called("python")]
    assert set(modules) == set(ELSEWHERE_IN_PYTHON)
    assert all(importlib.util.find_spec(module) for module in modules)


# ---------------------------------------------------------------- nothing is left out
def test_a_program_that_nobody_listens_to_is_noticed(monkeypatch):
    monkeypatch.setitem(DOCUMENTS, "new.md", "```sh\nmake demo\ncurl https://example.com\n```\n")

    with pytest.raises(AssertionError, match=r"new\.md: .*curl: command not found"):
        typed("new.md")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_are_in_blocks_that_are_tried(document):
    others = BLOCK.sub("", DOCUMENTS[document])
    for language, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```", others, re.DOTALL | re.MULTILINE):
        assert language in ("", "json", "mermaid"), document
        if not language:
            assert not re.search(rf"^\s*(\.venv\S*/)?({'|'.join(LISTENED_TO)}) ", block, re.MULTILINE), document


def test_every_other_test_that_is_named_is_there():
    reasons = (*ELSEWHERE.values(), *ONLY_READ.values(), *ELSEWHERE_IN_PYTHON.values())
    named = [re.search(r"tests/\S+\.py", reason)[0] for reason in reasons]
    assert [name for name in named if not (CHECKOUT / name).is_file()] == []
    assert ELSEWHERE.keys() <= DOCUMENTS.keys()
