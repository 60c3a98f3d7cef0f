"""Folders that were named: copies of the results bucket, and the files in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

RUNS: Final = "runs"
"""The table of runs."""


def copies_in(path: Path, *tables: str) -> list[Path]:
    """The folder, if it is a copy of the results bucket; else those of its folders that are, as `out/` has them.

    A copy is told by any of `tables` that lies in it.
    """
    if not path.is_dir():
        return []
    return [each for each in (path, *sorted(path.iterdir())) if any((each / table).is_dir() for table in tables)]


def files_below(folder: Path, *suffixes: str) -> list[Path]:
    """All files of some kinds, in order; none where there is no such folder.

    Raises:
        OSError: a folder may not be read.
    """
    if not folder.is_dir():
        return []
    return sorted(
        within / name
        for within, _folders, names in folder.walk(on_error=_raise)
        for name in names
        if name.endswith(suffixes)
    )


def _raise(error: OSError) -> NoReturn:
    raise error
