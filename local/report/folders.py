"""Copies of the results bucket: which folders are one, and the profiles that lie in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flowlag.tables import PROFILES
from flowlag_report.profile import Profile, UnreadableProfile
from local.sources import UnusableInput

if TYPE_CHECKING:
    from pathlib import Path

RUNS: Final = "runs"


def copies_in(path: Path) -> list[Path]:
    """The folder, if it is a copy of the results bucket; else those of its folders that are, as `out/` has them."""
    if not path.is_dir():
        return []
    return [each for each in (path, *sorted(path.iterdir())) if _is_copy(each)]


def _is_copy(path: Path) -> bool:
    return (path / PROFILES).is_dir() or (path / RUNS).is_dir()


def files_below(folder: Path, suffix: str) -> list[Path]:
    """All files of a kind, in order."""
    return sorted(within / name for within, _, names in folder.walk() for name in names if name.endswith(suffix))


def read_profiles(copy: Path) -> list[Profile]:
    """The profiles of a copy.

    Raises:
        UnusableInput: a file is none.
    """
    return [_read(path) for path in files_below(copy / PROFILES, ".json")]


def _read(path: Path) -> Profile:
    try:
        return Profile.of_bytes(path.read_bytes())
    except UnreadableProfile as reason:
        raise UnusableInput(f"the profile '{path}' cannot be used: {reason}") from None


def partition_of(path: Path) -> str:
    """The region that a file's folder names: `region=eu-west-1`."""
    found = [each.removeprefix("region=") for each in path.parts if each.startswith("region=")]
    if not found:
        raise UnusableInput(f"'{path}' lies in no folder 'region=...': copy the results bucket with its folders")
    return found[-1]
