"""`python -m local.episode_18 FOLDER`: writes the page, its pictures, and what README.md tells of them."""

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
from local.documents.blocks import with_block
from local.episode_18.data import read
from local.episode_18.page import page, readme
from local.episode_18.plots import curve, plots
from local.pictures import at_night, png
from local.progress import working

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE: Final = "docs/episode-18-revisited.md"
README: Final = "README.md"
BLOCK: Final = "measured"


def documents(folder: Path, checkout: Path) -> dict[str, bytes]:
    """The page, its pictures, and README.md with what it tells of them, by their paths in the checkout.

    Raises:
        UnusableInput: the folder has not what they are made from.
        NoSuchBlock: README.md has no place for it.
    """
    episode = read(folder)
    drawn = {**plots(episode), "curve": curve(episode), "curve-dark": at_night(curve(episode))}
    pictures = {f"docs/images/episode-18-{name}.png": png(chart) for name, chart in drawn.items()}
    told = with_block((checkout / README).read_text(encoding="utf-8"), BLOCK, readme(episode))
    return {**pictures, PAGE: page(episode).encode(), README: told.encode()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.episode_18", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where Episode 18's data is")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="where to write (default: this checkout)")
    given = parser.parse_args(arguments)
    try:
        with working("making the page and its pictures"):
            _write(documents(given.folder, given.checkout), given.checkout)
    except FlowlagError as error:
        return _refused(f"{error}")
    except OSError as error:
        return _refused(f"'{error.filename}' cannot be used: {error.strerror}")
    return 0


def _refused(sentence: str) -> int:
    print(f"flowlag: {sentence}", file=sys.stderr)  # noqa: T201 - it is a command
    return UNUSABLE


def _write(contents: Mapping[str, bytes], checkout: Path) -> None:
    """Write everything aside first, then put it in its place: what shows the pictures last."""
    aside = Path(tempfile.mkdtemp(prefix=".episode-18.", dir=checkout))
    try:
        for name, content in contents.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_bytes(content)
        for name in contents:
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).replace(checkout / name)
    finally:
        shutil.rmtree(aside)


if __name__ == "__main__":
    sys.exit(main())
