"""`flowlag report`: the page of a campaign, from its profiles or from what they are made of."""

from __future__ import annotations

import tempfile
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowlag.tables import PROFILES
from flowlag_report import Report, build
from local.report.exports import Beside, profiles_of_files
from local.report.folders import read_profiles
from local.report.tables import profiles_of_tables
from local.sources import UnusableInput
from local.sources.folders import RUNS, copies_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowlag.instants import Micros
    from flowlag_report.profile import Profile

__all__ = ["Beside", "profiles_of", "report", "summary", "write", "write_all"]


NOTHING_BESIDE: Final = Beside()


def report(
    paths: Sequence[Path], built_at: Micros, *, burst_gap_s: float, beside: Beside = NOTHING_BESIDE
) -> Report:
    """Make the report.

    Args:
        paths: copies of the results bucket, or other files that hold observations.
        built_at: now.
        burst_gap_s: deliveries less than this apart are one burst.
        beside: what else is known of the run, if it is one.

    Raises:
        FlowlagError: something cannot be used, or not together.
    """
    return build(profiles_of(paths, beside=beside, burst_gap_s=burst_gap_s), built_at)


def profiles_of(paths: Sequence[Path], *, burst_gap_s: float, beside: Beside = NOTHING_BESIDE) -> list[Profile]:
    """The profiles of all runs in some paths.

    Raises:
        UnusableInput: a file is damaged or of another kind, or kinds are mixed.
    """
    copies = {path: copies_in(path, PROFILES, RUNS) for path in paths}
    if not any(copies.values()):
        return profiles_of_files(paths, beside, burst_gap_s)
    if others := [path for path, found in copies.items() if not found]:
        raise UnusableInput(f"'{others[0]}' is no copy of the results bucket, as others are: report of it apart")
    if beside.is_given:
        raise UnusableInput(
            f"'{paths[0]}' says what was sent and what arrived: give no ledger and no capture with it"
        )
    profiles = (each for found in copies.values() for copy in found for each in _of_copy(copy, burst_gap_s))
    return list({(each.run_id, each.arm): each for each in profiles}.values())


def _of_copy(copy: Path, burst_gap_s: float) -> list[Profile]:
    """The profiles that lie there, and those of other runs from the tables."""
    ready = read_profiles(copy)
    known = {(each.run_id, each.arm) for each in ready}
    return [*ready, *profiles_of_tables(copy, burst_gap_s, known=known)]


def summary(made: Report) -> dict[str, Any]:
    """The answer as `--json` prints it."""
    data = made.data
    arms = {arm["name"]: {name: arm[name] for name in ("n_runs", "n_packets", "delay_s")} for arm in data["arms"]}
    return {"source": data["source"], **data["answer"], "arms": arms, "void_runs": len(data["void_runs"])}


_FORMS: Final = {"page": attrgetter("html"), "data": attrgetter("data_json"), "badge": attrgetter("badge")}


def write_all(made: Report, wanted: Mapping[str, Path | None]) -> dict[str, str]:
    """Write the forms of the report that are wanted, and return where they are."""
    written = {form: path for form, path in wanted.items() if path}
    for form, path in written.items():
        write(path, _FORMS[form](made))
    return {form: str(path) for form, path in written.items()}


def write(path: Path, content: str) -> None:
    """Write a file aside first, then put it in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    aside = Path(name)
    try:
        with open(handle, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor has no path
            stream.write(content)
        aside.chmod(0o644)
        aside.replace(path)
    except BaseException:
        aside.unlink()
        raise
