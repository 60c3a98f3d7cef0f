"""What AWS Lambda puts beside a Python function: its runtime client, the SDK, and what these need."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

DISTRIBUTIONS: Final = (
    "awslambdaric", "boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "simplejson", "six",
    "snapshot-restore-py", "urllib3",
)  # fmt: skip


def link_runtime(directory: Path) -> None:
    """Make a directory of links to what these distributions have installed here."""
    directory.mkdir()
    for top in _tops():
        (directory / top.name).symlink_to(top)


def copy_runtime(directory: Path) -> None:
    """Make a directory with a copy of what these distributions have installed here."""
    directory.mkdir(parents=True)
    for top in _tops():
        if top.is_dir():
            shutil.copytree(top, directory / top.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(top, directory / top.name)


def pinned() -> list[str]:
    """The distributions with their versions."""
    return [f"{name}=={metadata.version(name)}" for name in DISTRIBUTIONS]


def _tops() -> Iterator[Path]:
    for name in DISTRIBUTIONS:
        distribution = metadata.distribution(name)
        names = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        yield from (Path(str(distribution.locate_file(each))) for each in sorted(names))
