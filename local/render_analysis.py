"""What `flowlag analyze` prints for people: a table for each thing that was measured, then sentences."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.text import Text

from local.durations import in_units
from local.render import SOURCE_IN_WORDS, number, table
from local.sources import RUN_GAP_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from flowlag.instants import Micros
    from flowlag_stats.intervals import Interval
    from flowlag_stats.slo import Bound
    from local.analysis import Analysis, Arm, Cadence, Difference, Loss, Spread

_STATISTICS: Final = ("min", "mean", "p50", "p90", "p95", "p99", "max")
_NEVER: Final = "never"
_SMALLEST_P: Final = 0.001

_FEW_FLOW_LOGS: Final = 6
"""More have a line together for each arm."""


def tables(result: Analysis, now: Micros) -> Group:
    """The answer of `flowlag analyze`; `now` decides what is still to come."""
    return Group(
        Text(SOURCE_IN_WORDS[result.source], style="bold"),
        Text(_counts(result.n_packets, result.cadence.n_bursts, result.n_runs)),
        *_arms(result),
        *_comparisons(result.comparisons),
        *_sawtooth(result, now),
        _cadence(result.cadence, result.delay_p50_over_runs_s, result.n_runs),
        _loss(result.loss),
        *map(Text, result.notes),
    )


def _counts(n_packets: int, n_bursts: int | None, n_runs: int, missing: int | None = None) -> str:
    counts = [
        _counted(n_packets, "packet"),
        "bursts unknown" if n_bursts is None else _counted(n_bursts, "burst"),
        _counted(n_runs, "run"),
    ]
    return ", ".join(counts if missing is None else [*counts, f"{missing:,} missing"])


def _counted(quantity: int, noun: str) -> str:
    return f"{quantity:,} {noun}" if quantity == 1 else f"{quantity:,} {noun}s"


# ---------------------------------------------------------------- delays, arm by arm
def _arms(result: Analysis) -> Iterator[RenderableType]:
    for arm in result.arms:
        if len(result.arms) > 1:
            yield Text(f"{arm.arm}: {_counts(arm.n_packets, arm.n_bursts, arm.n_runs, arm.missing)}", style="bold")
        yield _delays(arm)
        if arm.slo:
            yield Text(_slo(arm.slo))


def _slo(bounds: Sequence[Bound]) -> str:
    """The strongest sentence that can be said, or what it takes until one can."""
    said = [each for each in bounds if each.bound_s is not None]
    sentence = said[-1].sentence if said else bounds[0].sentence
    return f"{sentence[0].upper()}{sentence[1:]}."


def _delays(arm: Arm) -> Table:
    measures = {
        "delay\n(send to delivery)": arm.delay_s,
        "ingest delay\n(window to delivery)": arm.ingest_delay_s,
        "timestamp error\n(send to window)": arm.timestamp_error_s,
    }
    intervals = ["95 % interval\nof the delay"] if arm.interval else []
    found = table("Seconds", *measures, *intervals)
    for name in _STATISTICS:
        cells = [_cell(each, name) for each in measures.values()]
        found.add_row(name, *cells, *(_interval(arm.interval.get(name)) for _ in intervals if arm.interval))
    return found


def _cell(measure: object, name: str) -> str:
    """A statistic of a measure; what was measured, and is none, is that of a probe that was never delivered."""
    if not hasattr(measure, name):
        return "-"
    value = getattr(measure, name)
    return _NEVER if value is None else f"{value:,.3f}"


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:,.1f} to {interval.high:,.1f}"


# ---------------------------------------------------------------- differences
def _comparisons(differences: Sequence[Difference]) -> Iterator[RenderableType]:
    if not differences:
        return
    has_interval = any(each.interval for each in differences)
    found = table(
        "Difference (seconds)", "on the\nsame ticks", "run by run", *["95 % interval", "p"] * has_interval
    )
    for each in differences:
        found.add_row(
            f"{each.second}\n- {each.first}",
            f"{each.difference_s:+,.1f}",
            _rounded(each.difference_over_runs_s, 1),
            *[_interval(each.interval), _p(each.p_value)] * has_interval,
        )
    yield found


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < _SMALLEST_P else f"{value:.3f}"


# ---------------------------------------------------------------- sawtooth
def _sawtooth(result: Analysis, now: Micros) -> Iterator[RenderableType]:
    if not result.sawtooth:
        return
    found = table("Sawtooth (seconds)", "a burst\nevery", "phase", "lag", "drift\nan hour", "shape\nwithin")
    for row in _of_each(result) if len(result.sawtooth) <= _FEW_FLOW_LOGS else _of_arms(result):
        found.add_row(*row)
    yield found
    last = result.sawtooth[-1]
    # A run's flow logs are deleted at its end. An export names no arm, and may be of one that is still there.
    if not last.arm and now - last.sawtooth.last_burst_at < RUN_GAP_S * 1_000_000:
        due_in = in_units((last.sawtooth.next_after(now) - now) / 1_000_000)
        yield Text(f"The next delivery is due in {due_in}.", style="bold")


def _of_each(result: Analysis) -> Iterator[tuple[str, ...]]:
    for each in result.sawtooth:
        fit = each.sawtooth
        yield (
            "\n".join(filter(None, (each.arm, each.run if result.n_runs > 1 else ""))) or "the flow log",
            f"{fit.period_s:,.2f}",
            f"{fit.phase_s:,.1f}",
            f"{fit.lag_first_s:,.1f} to {fit.lag_last_s:,.1f}",
            f"{fit.drift_s_per_h:+,.2f}",
            f"{fit.shape_distance_s:,.1f}",
        )


def _of_arms(result: Analysis) -> Iterator[tuple[str, ...]]:
    for arm in result.arms:
        fits = arm.sawtooth
        if fits.n_flow_logs:
            yield (
                f"{arm.arm}\n{_counted(fits.n_flow_logs, 'flow log')}",
                _rounded(fits.period_s, 2),
                _rounded(fits.phase_s, 0),
                _rounded(fits.lag_s, 1),
                _rounded(fits.drift_s_per_h, 1),
                _rounded(fits.shape_distance_s, 1),
            )


def _rounded(spread: Spread | None, decimals: int) -> str:
    if spread is None:
        return ""
    low, high = (f"{each:,.{decimals}f}" for each in (spread.min, spread.max))
    return low if low == high else f"{low} to {high}"


# ---------------------------------------------------------------- cadence
def _cadence(cadence: Cadence, medians: Spread | None, n_runs: int) -> Table:
    found = table("Delivery", "how many")
    found.add_column("")
    for name, quantity, meaning in (
        ("capture windows", cadence.capture_windows, _range("seconds apart", cadence.capture_window_spacing_s)),
        ("deliveries", cadence.deliveries, _range("windows in each", cadence.capture_windows_per_delivery)),
        ("bursts", cadence.n_bursts, _range("deliveries in each", cadence.deliveries_per_burst)),
        ("", None, _every(cadence.burst_spacing_s, cadence.burst_period_s)),
        ("runs", n_runs, _range("their median delays, in seconds", medians)),
    ):
        if meaning or quantity is not None:
            found.add_row(name, number(quantity), meaning)
    return found


def _range(meaning: str, spread: Spread | None) -> str:
    return f"{meaning}: {_from_to(spread)}" if spread else ""


def _from_to(spread: Spread | None) -> str:
    if spread is None:
        return ""
    low, high = (_NEVER if isinf(each) else number(each) for each in (spread.min, spread.max))
    return low if low == high else f"{low} to {high}"


def _every(spacing: Spread | None, period_s: float | None) -> str:
    return "" if period_s is None else _range(f"one every {number(period_s)} s", spacing)


# ---------------------------------------------------------------- loss
def _loss(loss: Loss) -> Table:
    spacing = loss.never_sent_spacing_s
    found = table("Probes", "how many")
    found.add_column("")
    for name, quantity, meaning in (
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
        if quantity is not None:
            found.add_row(name, f"{quantity:,}", meaning)
    return found
