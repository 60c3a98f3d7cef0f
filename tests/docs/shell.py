"""What documents tell their reader to type: bash runs their blocks, with programs that only listen."""

import json
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from local.checkout import CHECKOUT

DOCUMENTS = {
    str(path.relative_to(CHECKOUT)): path.read_text()
    for path in (*sorted(CHECKOUT.glob("*.md")), *sorted((CHECKOUT / "docs").rglob("*.md")))
}
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.DOTALL | re.MULTILINE)

ELSEWHERE = {"docs/sam-local.md": "tests/sam_local/test_manual.py runs every block of it, in containers"}
"""Documents whose blocks another test runs, and which."""

LISTENED_TO = ("aws", "flowlag", "make", "python", "sam")
"""Each of them is tried by tests/docs/test_commands.py, as it was called."""
NEEDED = ("cat", "date", "mkdir", "xargs")
"""Programs that bash really runs."""

LISTENER = """#!/bin/bash
printf '%s\\0' "${{0##*/}}" "$@" $'\\n' >> {calls}
echo i-0123456789abcdef0
"""
"""Writes down how it was called, each word ended by a NUL; what it says is the name of something."""

ASIDE = {
    "out/reconciled.json": '{"ledger_closed": true, "failures": {}, "arms": []}',
    "out/demo-20261123T100000Z/": "",
}
"""What the blocks read, or find by a pattern."""


class Call(NamedTuple):
    """A program as a document calls it."""

    program: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.program, *self.words))


class Typed(NamedTuple):
    """What came of typing all blocks of a document, one after the other."""

    calls: tuple[Call, ...]
    written: dict[str, str]


def with_blocks() -> list[str]:
    """The documents that tell to type something, but for those that another test runs."""
    return [name for name, text in DOCUMENTS.items() if BLOCK.search(text) and name not in ELSEWHERE]


@cache
def typed(document: str) -> Typed:
    """Run a document's blocks.

    Raises:
        AssertionError: bash failed; so it does where a program is called that nobody listens to.
    """
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        _prepare(here)
        script = "\n".join(BLOCK.findall(DOCUMENTS[document]))
        path = f"{here / 'bin'}"
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=here,
            env={"PATH": path},
            capture_output=True,
            text=True,
            check=False,  # what went wrong is told below
        )
        assert done.returncode == 0, (
            f"{document}: {done.stderr}; a program that is new in the documents is to be named in {__file__}"
        )
        calls = [part.split("\0")[:-1] for part in (here / "calls").read_text().split("\n\0")[:-1]]
        written = {each.name: each.read_text() for each in (*here.glob("*.yaml"), *here.glob("out/*.json"))}
    return Typed(tuple(Call(program, tuple(words)) for program, *words in calls), written)


def _prepare(here: Path) -> None:
    for folder in ("bin", ".venv/bin", ".venv-sam/bin"):
        (here / folder).mkdir(parents=True)
        for name in LISTENED_TO:
            program = here / folder / name
            program.write_text(LISTENER.format(calls=here / "calls"))
            program.chmod(0o755)
    for name in NEEDED:
        found = next(path for folder in ("/usr/bin", "/bin") if (path := Path(folder, name)).exists())
        (here / "bin" / name).symlink_to(found)
    (here / "calls").touch()
    for name, content in ASIDE.items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(content)


def called(program: str, *documents: str) -> list[Call]:
    """Every call of a program in some documents, or in all, each once."""
    calls = (call for name in documents or with_blocks() for call in typed(name).calls)
    return list(dict.fromkeys(call for call in calls if call.program == program))


def json_of(written: dict[str, str], name: str) -> object:
    """A file that the blocks wrote, which has to be JSON."""
    return json.loads(written[name])
