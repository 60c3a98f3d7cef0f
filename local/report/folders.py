"""Copies of the results bucket: the profiles that lie in one, and the region of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowlag.tables import PROFILES
from flowlag_report.profile import Profile, UnreadableProfile
from local.sources import UnusableInput
from local.sources.folders import files_below

if TYPE_CHECKING:
    from pathlib import Path


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
