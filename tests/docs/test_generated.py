"""What commands write into the documents is what they would write now; of what takes minutes, the shape is."""

import re

import pytest

from local.checkout import CHECKOUT
from local.cli import main
from local.documents.__main__ import documents
from local.documents.blocks import NoSuchBlock, block, with_block
from tests.docs.shell import DOCUMENTS
from tests.template.parsed import RESOURCES

WRITTEN_BY = {
    "begin: cost": "tests/docs/test_generated.py",
    "begin: measured": "tests/local/test_episode_18.py, where Episode 18's data is",
    "calibration": "tests/docs/test_generated.py: its shape, and what is exact in it",
    "flowlag demo": "tests/docs/test_readme.py: all but the numbers",
    "flowlag estimate": "tests/docs/test_generated.py, tests/local/test_estimate.py",
    "Written by `python -m local.documents` from local/cli.py: edit that.": "tests/docs/test_generated.py",
    "Written by `python -m local.episode_18 FOLDER`, its prose from local/episode_18/page.md: edit that.": (
        "tests/local/test_episode_18.py, where Episode 18's data is"
    ),
}
"""Comments that say that something is written by a command, and the test that compares it."""


def test_every_mark_of_a_command_is_known():
    """The examples of docs/queries.md have none: tests/docs/test_queries.py compares every row of it."""
    found = {comment for text in DOCUMENTS.values() for comment in re.findall(r"<!-- (.*?) -->", text)}
    assert {comment for comment in found if not comment.startswith("end")} == set(WRITTEN_BY)
    for test in WRITTEN_BY.values():
        assert all((CHECKOUT / name).is_file() for name in re.findall(r"tests/\S+\.py", test))


def test_the_documents_are_what_the_code_says():
    for name, text in documents(CHECKOUT).items():
        assert DOCUMENTS[name] == text, f"{name}: run 'python -m local.documents'"


# ---------------------------------------------------------------- docs/commands.md
@pytest.mark.parametrize("name", main.commands)
def test_every_option_of_a_command_is_documented_and_no_other(name):
    (section,) = re.findall(rf"(?ms)^## {name}$(.*?)(?=^## |\Z)", DOCUMENTS["docs/commands.md"])
    told = re.findall(r"(?m)^\| `(.*?)(?: [^`]*)?` \|", section.replace("-o, ", ""))
    options = [each.opts[-1] for each in main.commands[name].params if each.param_type_name == "option"]
    assert told == options
    assert main.commands[name].help.split("\n\n")[0].replace("\n", " ") in section


@pytest.mark.parametrize(("document", "name"), [("docs/lookback.md", "lookback"), ("docs/planning.md", "plan")])
def test_a_page_that_explains_the_options_of_a_command_has_all_of_them(document, name):
    (table,) = re.findall(r"(?m)^\| option \| meaning \|\n\|---\|---\|\n((?:^\|.*\n)+)", DOCUMENTS[document])
    told = {option for row in table.splitlines() for option in re.findall(r"`(--[\w-]+)`", row.split("|")[1])}
    assert told == {each.opts[-1] for each in main.commands[name].params if each.param_type_name == "option"}


# ---------------------------------------------------------------- blocks
def test_a_block_is_replaced_and_nothing_else():
    text = "before\n<!-- begin: x -->\nold\n<!-- end: x -->\nafter\n"
    assert block(text, "x") == "old\n"
    assert with_block(text, "x", "new\nlines\n") == text.replace("old", "new\nlines")
    assert with_block(text, "x", block(text, "x")) == text


@pytest.mark.parametrize(
    "text",
    ["", "<!-- begin: x -->\n", "<!-- begin: x -->\n<!-- end: x -->\n<!-- begin: x -->\n<!-- end: x -->\n"],
)
def test_a_block_that_is_not_there_once_is_refused(text):
    with pytest.raises(NoSuchBlock, match="has not one block 'x'"):
        with_block(text, "x", "new")


# ---------------------------------------------------------------- docs/method.md: minutes of computing
@pytest.mark.slow
def test_the_calibration_has_the_campaigns_that_its_command_tries(monkeypatch):
    """Few runs and one campaign give the same rows; what the binomial distribution says is not left to chance."""
    from benchmarks import calibration  # noqa: PLC0415 - SciPy takes a second

    monkeypatch.setattr(calibration, "RUNS", 4)
    told = DOCUMENTS["docs/method.md"].split(calibration.BEGIN)[1].split(calibration.END)[0]
    assert re.match(rf"\n\d{{4}}-\d\d-\d\d, `.*`, {calibration.CAMPAIGNS:,} campaigns\.\n", told)
    shown = [table_of(lines) for lines in re.findall(r"(?m)(?:^\|.*\n)+", told)]
    made = [calibration.calibrate(case, 1) for case in calibration.CASES]
    assert [head for head, _ in shown] == [*calibration.HEADS]
    for number, known in enumerate((3, 5, 2)):
        rows = [row for case in made for row in case[number]]
        assert [row[:known] for row in shown[number][1]] == [row[:known] for row in rows]
        assert [places(row) for row in shown[number][1]] == [places(row) for row in rows]


def table_of(lines):
    """The head and the rows of a table."""
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines.splitlines())
    return head, rows


def places(row):
    """Where a row has a number to one decimal, and where it has none."""
    return [bool(re.fullmatch(r"\d+\.\d", cell)) for cell in row]


# ---------------------------------------------------------------- docs/performance.md: measured by hand
@pytest.fixture
def sections(monkeypatch):
    monkeypatch.syspath_prepend(CHECKOUT / "benchmarks")
    return dict(re.findall(r"(?ms)^## ([^\n]+)\n(.*?)(?=^## |\Z)", DOCUMENTS["docs/performance.md"]))


def first_column(section):
    return [row.split("|")[1].strip(" *") for row in re.findall(r"(?m)^\|.*$", section)]


def test_the_tables_of_performance_have_the_rows_that_the_benchmarks_print(sections):
    from benchmarks import decoder, s3_object  # noqa: PLC0415 - their own imports are heavy

    assert first_column(sections["The decoder"])[2:] == [f"{size:,}" for size in decoder.SIZES]
    told = first_column(sections["A large S3 object"])[3:]
    assert [any(row.startswith(name) for row in told) for name in s3_object.VARIANTS] == [True] * len(told)
    rates = ", ".join(first_column(sections["The sender"])[2:])
    assert f"default=[{rates}]" in (CHECKOUT / "benchmarks" / "sender_pacing.py").read_text()
    simulator = (CHECKOUT / "benchmarks" / "simulator.py").read_text()
    campaigns = [row.partition(" (")[0] for row in first_column(sections["The simulator"])[2:]]
    assert [f'_measure("{each}", ' in simulator for each in campaigns] == [True, True]


def test_performance_names_benchmarks_that_are_there(sections):
    named = re.findall(r"`python (benchmarks/\w+\.py)", "".join(sections.values()))
    assert named
    assert all((CHECKOUT / name).is_file() for name in named)


def test_performance_tells_every_layer_and_its_budget(sections):
    rows = first_column(sections["The layers"])[2:]
    layers = {
        each["Properties"]["ContentUri"].strip("/").rpartition("/")[2]
        for each in RESOURCES.values()
        if each["Type"] == "AWS::Serverless::LayerVersion"
    }
    assert {row.partition(",")[0] for row in rows} == layers
