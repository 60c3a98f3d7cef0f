"""What `flowlag` prints for people: tables of the terminal's width. For programs there is `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from flowlag.plan import AWS, LOCAL, SIMULATED
from local.instants import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from local.decode import Decoded

SOURCE_IN_WORDS: Final[Mapping[str, str]] = {
    AWS: "These are AWS delays: AWS recorded, delivered and dated these flow records.",
    LOCAL: "These are local, not AWS, delays: the flow-log service of this machine delivered these flow records.",
    SIMULATED: "These are simulated, not AWS, delays: a model made these flow records, without packets.",
}


def show(answer: RenderableType) -> None:
    """Print to standard output, as wide as the terminal; without colours where it is none."""
    Console(highlight=False).print(answer)


def number(value: float | None) -> str:
    """As few decimals as it needs, and not more than three."""
    return "" if value is None else f"{value:,.3f}".rstrip("0").rstrip(".")


def table(title: str, *numbers: str) -> Table:
    """A table with words in its first column, under `title`, and numbers in the others."""
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    found.add_column(title, overflow="fold")
    for each in numbers:
        found.add_column(each, justify="right", overflow="fold")
    return found


def decoded(answer: Decoded) -> Group:
    """The answer of `flowlag decode`."""
    nearest, near = answer.nearest, answer.near
    assumed = " (given without a zone, taken as UTC)" if near.zone_assumed else ""
    horizon = f"at {answer.rate} a second, source ports repeat every {number(answer.horizon_s)} s"
    candidates = table("Candidate", "tick")
    candidates.add_column("due (UTC)")
    for name, candidate in (("previous", answer.previous), ("nearest", nearest), ("next", answer.next)):
        style = "bold" if name == "nearest" else None
        candidates.add_row(name, str(candidate.tick), iso(candidate.due_at), style=style)
    return Group(
        Text(f"Source port {answer.port} is tick {nearest.tick}, due at {iso(nearest.due_at)}.", "bold"),
        Text(f"It is the one nearest to {iso(near.at)}{assumed}; {horizon}."),
        candidates,
    )


# ---------------------------------------------------------------- flowlag demo
def demo_intro(preset: str, time_scale: float) -> Text:
    """The first line of `flowlag demo`: whose delays these are."""
    return Text(
        f"These are local, not AWS, delays: a flow-log service on this machine with the habits of {preset}, "
        f"{time_scale:g} times as fast.",
        style="bold",
    )


def demo_result(result: Mapping[str, Any]) -> Group:
    """The result of `flowlag demo`: Athena's table, beside what became of every tick."""
    percentiles = ("min", "p50", "p95", "max")
    table = Table("arm", "first", "packets", "missing", *percentiles, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in result["athena"]:
        arm = result["arms"][row["arm"]]
        first = arm["first_delivery_s"]
        table.add_row(
            row["arm"],
            "-" if first is None else f"{first:.1f}",
            str(row["n_packets"]),
            ", ".join(f"{number} {reason}" for reason, number in arm["missing"].items()) or "none",
            *("-" if row[f"{name}_s"] is None else f"{row[f'{name}_s']:.2f}" for name in percentiles),
        )
    lines = [
        (
            "Seconds, by Athena: `first` from the flow log's creation to its first record, the others from the "
            f"send to the delivery, of {result['n_runs']} run; below 5 runs no interval is given."
        ),
        f"Verdict: {result['verdict']}{''.join(f'; {reason}' for reason in result['reasons'])}.",
        (
            f"The run's Parquet is in {result['results']}: try 'flowlag query cloudwatch_against_s3 --source "
            f"{result['results']}' or 'flowlag analyze {result['results']} --burst-gap {result['burst_gap_s']:g}'."
        ),
    ]
    lines.append(f"The page is {result['report']}.")
    if result["network"] != "namespaces":
        lines.insert(0, f"No network could be made here, so packets were handed over in memory: {result['why']}.")
    return Group(table, *map(Text, lines))
