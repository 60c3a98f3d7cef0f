"""What the documents say, the checkout has."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))


def shell_of(document):
    return "\n".join(SHELL.findall(document.read_text()))


@each_document
def test_every_link_leads_somewhere(document):
    for link in LINK.findall(document.read_text()):
        assert (document.parent / link).exists(), link


@each_document
def test_every_make_target_exists(document):
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"^make ([a-z-]+)", shell_of(document), re.MULTILINE)) <= targets


@each_document
def test_every_command_exists(document):
    shown = set(re.findall(r"flowlag ([a-z]+)(?: |$)", shell_of(document), re.MULTILINE))

    assert shown <= commands()


def test_readme_shows_every_command():
    assert set(re.findall(r"\.venv/bin/flowlag ([a-z]+)", shell_of(CHECKOUT / "README.md"))) == commands()


def commands():
    shown = subprocess.run(
        [Path(sys.executable).parent / "flowlag", "--help"], capture_output=True, text=True, check=True
    ).stdout
    return set(re.findall(r"^  ([a-z]+)", shown.partition("Commands:")[2], re.MULTILINE))
