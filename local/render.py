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

    from local.analyze import Analysis, Loss, Spread
    from local.decode import Decoded

SOURCE_IN_WORDS: Final[Mapping[str, str]] = {
    AWS: "These are AWS delays: AWS recorded, delivered and dated these flow records.",
    LOCAL: "These are local, not AWS, delays: the flow-log service of this machine delivered these flow records.",
    SIMULATED: "These are simulated, not AWS, delays: a model made these flow records, without packets.",
}

_STATISTICS: Final = ("min", "mean", "p50", "p90", "p95", "p99", "max")


def show(answer: RenderableType) -> None:
    """Print to standard output, as wide as the terminal; without colours where it is none."""
    Console(highlight=False).print(answer)


def analysis(result: Analysis) -> Group:
    """The answer of `flowlag analyze`."""
    return Group(
        Text(SOURCE_IN_WORDS[result.source], style="bold"),
        Text(_counts(result)),
        _delays(result),
        _cadence(result),
        _loss(result.loss),
        *(Text(note) for note in result.notes),
    )


def _counts(result: Analysis) -> str:
    bursts = result.cadence.n_bursts
    return ", ".join(
        (
            _counted(result.n_packets, "packet"),
            "bursts unknown" if bursts is None else _counted(bursts, "burst"),
            _counted(result.n_runs, "run"),
        )
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _delays(result: Analysis) -> Table:
    table = _table(
        "Seconds",
        "delay\n(send to delivery)",
        "ingest delay\n(window to delivery)",
        "timestamp error\n(send to window)",
    )
    measures = (result.delay_s, result.ingest_delay_s, result.timestamp_error_s)
    for name in _STATISTICS:
        table.add_row(name, *(_seconds(getattr(each, name, None)) for each in measures))
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f}"


def _cadence(result: Analysis) -> Table:
    cadence = result.cadence
    table = _table("Delivery", "how many")
    table.add_column("")
    for name, number, meaning in (
        ("capture windows", cadence.capture_windows, _range("seconds apart", cadence.capture_window_spacing_s)),
        ("deliveries", cadence.deliveries, _range("windows in each", cadence.capture_windows_per_delivery)),
        ("bursts", cadence.n_bursts, _range("deliveries in each", cadence.deliveries_per_burst)),
        ("", None, _every(cadence.burst_spacing_s, cadence.burst_period_s)),
        ("runs", result.n_runs, _range("their median delays, in seconds", result.delay_p50_over_runs_s)),
    ):
        if meaning or number is not None:
            table.add_row(name, _number(number), meaning)
    return table


def _range(meaning: str, spread: Spread | None) -> str:
    if spread is None:
        return ""
    low, high = _number(spread.min), _number(spread.max)
    return f"{meaning}: {low}" if low == high else f"{meaning}: {low} to {high}"


def _every(spacing: Spread | None, period_s: float | None) -> str:
    return "" if period_s is None else _range(f"one every {_number(period_s)} s", spacing)


def _number(value: float | None) -> str:
    """As few decimals as it needs, and not more than three."""
    return "" if value is None else f"{value:,.3f}".rstrip("0").rstrip(".")


def _loss(loss: Loss) -> Table:
    spacing = loss.never_sent_spacing_s
    table = _table("Probes", "how many")
    table.add_column("")
    for name, number, meaning in (
        ("sent", loss.sent, "by the ledger"),
        ("never sent", loss.never_sent, _every(spacing, spacing.p50 if spacing else None)),
        ("expected missing", loss.expected_missing or None, "source port 0 is not sent"),
        ("seen", loss.seen, "captured at the target"),
        ("lost on the wire", loss.lost_on_wire, "sent, and not captured"),
        ("recorded", loss.recorded, "in the flow log"),
        ("missing in range", loss.missing_in_range, "sent between two recorded ones, and not recorded"),
        ("outside range", loss.outside_range, "sent before the first or after the last recorded one"),
        ("duplicates", loss.duplicates, "recorded again"),
    ):
        if number is not None:
            table.add_row(name, f"{number:,}", meaning)
    return table


def _table(title: str, *numbers: str) -> Table:
    table = Table(title, box=box.SIMPLE_HEAD, pad_edge=False)
    for each in numbers:
        table.add_column(each, justify="right", overflow="fold")
    return table


def decoded(answer: Decoded) -> Group:
    """The answer of `flowlag decode`."""
    nearest, near = answer.nearest, answer.near
    assumed = " (given without a zone, taken as UTC)" if near.zone_assumed else ""
    horizon = f"at {answer.rate} a second, source ports repeat every {_number(answer.horizon_s)} s"
    table = _table("Candidate", "tick")
    table.add_column("due (UTC)")
    for name, candidate in (("previous", answer.previous), ("nearest", nearest), ("next", answer.next)):
        table.add_row(name, str(candidate.tick), iso(candidate.due_at), style="bold" if name == "nearest" else None)
    return Group(
        Text(f"Source port {answer.port} is tick {nearest.tick}, due at {iso(nearest.due_at)}.", "bold"),
        Text(f"It is the one nearest to {iso(near.at)}{assumed}; {horizon}."),
        table,
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
    if result["network"] != "namespaces":
        lines.insert(0, f"No network could be made here, so packets were handed over in memory: {result['why']}.")
    return Group(table, *map(Text, lines))
