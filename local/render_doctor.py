"""What `flowlag doctor` prints: the answer and a table for people, and plain lines for what reads a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from local.doctor.findings import Verdict, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.doctor.findings import Diagnosis, Finding

_STYLES: Final[Mapping[Verdict, str]] = {
    Verdict.OK: "green",
    Verdict.BROKEN: "bold red",
    Verdict.UNKNOWN: "yellow",
    Verdict.NOT_APPLICABLE: "dim",
}


def show(diagnosis: Diagnosis) -> None:
    """Print a diagnosis to standard output: for people if that is a terminal, else as text between tabs."""
    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        console.print(diagnosed(diagnosis))
    else:
        click.echo("\n".join(_lines(diagnosis)))


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    yield "check\tlooked_at\tverdict\tfound\tto_do"
    yield from ("\t".join(each.as_json().values()) for each in diagnosis.findings)


def diagnosed(diagnosis: Diagnosis) -> Group:
    """The answer in one sentence, and every check under it."""
    table = Table("check", "verdict", "looked at, found, and what to do", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for each in diagnosis.findings:
        verdict = each.judged.verdict
        table.add_row(each.check, Text(verdict, _STYLES[verdict]), _told(each))
    return Group(Text(summary(diagnosis), style="bold"), table)


def summary(diagnosis: Diagnosis) -> str:
    """The answer in one sentence."""
    named = {
        verdict: [each.check for each in diagnosis.findings if each.judged.verdict is verdict]
        for verdict in Verdict
    }
    if named[Verdict.BROKEN]:
        return f"Broken: {listed(named[Verdict.BROKEN])}. Begin with the first one."
    if named[Verdict.UNKNOWN]:
        return f"Nothing is known to be broken, but {listed(named[Verdict.UNKNOWN])} could not be told."
    hints = sum(each.judged.verdict is Verdict.OK and bool(each.judged.to_do) for each in diagnosis.findings)
    return f"All is well, with {hints} hint{'s' if hints > 1 else ''}." if hints else "All is well."


def _told(finding: Finding) -> Group:
    lines = [Text(finding.looked_at, "dim"), Text(finding.judged.found)]
    if finding.judged.to_do:
        lines.append(Text(f"→ {finding.judged.to_do}"))
    return Group(*lines)
