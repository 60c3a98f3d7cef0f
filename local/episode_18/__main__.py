"""`python -m local.episode_18 FOLDER`: writes the page and its pictures into `docs/`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flowlag.errors import FlowlagError
from local.checkout import CHECKOUT
from local.cli import UNUSABLE
from local.episode_18.data import read
from local.episode_18.page import page
from local.episode_18.plots import plots
from local.pictures import png

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE: Final = "episode-18-revisited.md"


def documents(folder: Path) -> dict[str, bytes]:
    """The page and its pictures, by their paths in `docs/`.

    Raises:
        UnusableInput: the folder has not what the page is made from.
    """
    episode = read(folder)
    pictures = {f"images/episode-18-{name}.png": png(chart) for name, chart in plots(episode).items()}
    return {**pictures, PAGE: page(episode).encode()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.episode_18", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where Episode 18's data is")
    parser.add_argument("--docs", type=Path, default=CHECKOUT / "docs", help="where to write (default: docs/)")
    given = parser.parse_args(arguments)
    try:
        _write(documents(given.folder), given.docs)
    except FlowlagError as error:
        return _refused(f"{error}")
    except OSError as error:
        return _refused(f"'{error.filename}' cannot be used: {error.strerror}")
    return 0


def _refused(sentence: str) -> int:
    print(f"flowlag: {sentence}", file=sys.stderr)  # noqa: T201 - it is a command
    return UNUSABLE


def _write(contents: Mapping[str, bytes], docs: Path) -> None:
    """Write everything aside first, then put it in its place: the page last, as it shows the pictures."""
    docs.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".episode-18.", dir=docs))
    try:
        for name, content in contents.items():
            (aside / name).parent.mkdir(exist_ok=True)
            (aside / name).write_bytes(content)
        for name in contents:
            (docs / name).parent.mkdir(exist_ok=True)
            (aside / name).replace(docs / name)
    finally:
        shutil.rmtree(aside)


if __name__ == "__main__":
    sys.exit(main())
