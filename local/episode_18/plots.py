"""Episode 18's four plots, drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from flowlag.stamp import due_at
from flowlag_report import charts, rows
from local.episode_18.data import RATE
from local.episode_18.words import counted, duration, signed

if TYPE_CHECKING:
    from flowlag_report.charts import Chart
    from local.episode_18.data import Episode

_NEAR: Final = 7
"""Capture windows that are drawn at close range."""


def plots(episode: Episode) -> dict[str, Chart]:
    """The charts, by the names that the page has for them."""
    return {
        "delay": _delay(episode),
        "timestamp-error": _timestamp_error(episode),
        "missing": _missing(episode),
        "gaps": _gaps(episode),
    }


def numbers(episode: Episode) -> str:
    """The three n's."""
    nouns = {"n_packets": "packet", "n_bursts": "burst", "n_runs": "run"}
    return ", ".join(counted(episode.analysis[name], noun) for name, noun in nouns.items())


def _delay(episode: Episode) -> Chart:
    delay, period_s = episode.analysis["delay_s"], episode.analysis["burst_period_s"]
    return charts.filled(
        "delay_by_send_time",
        title=(
            f"The delay is one sawtooth: up to {duration(delay['max'])}, down to {duration(delay['min'])},"
            f" again every {duration(period_s)}"
        ),
        subtitle=f"t2.micro to CloudWatch Logs, aggregation interval 600 s, {_day(episode)}: {numbers(episode)}",
        datasets={
            "windows": episode.windows,
            "levels": [
                {"delay_s": delay["p50"], "label": f"50 % within {duration(delay['p50'])}"},
                {"delay_s": delay["p95"], "label": f"95 % within {duration(delay['p95'])}"},
            ],
        },
    )


def _timestamp_error(episode: Episode) -> Chart:
    error = episode.analysis["timestamp_error_s"]
    middle = len(episode.windows) // 2
    return charts.filled(
        "timestamp_error",
        title="The timestamp is not a packet's time: it is the label of a capture window of a minute",
        subtitle=(
            f"Timestamp error, the record's start minus the packet's send time: {signed(error['min'])} to"
            f" {signed(error['max'])} s in {len(episode.windows)} windows, {_day(episode)}"
        ),
        datasets={"near": episode.windows[middle : middle + _NEAR], "windows": episode.windows},
    )


def _missing(episode: Episode) -> Chart:
    fates = episode.fates
    named = {
        "recorded": fates.recorded,
        "left out by the time filter": fates.before,
        "cut off by the row limit": fates.beyond,
        "never sent": fates.never_sent,
        "lost": fates.lost,
    }
    return charts.filled(
        "missing_data",
        title="Nothing was lost: each second without a record has its reason",
        subtitle=f"Seconds of the run, by what became of the packet that was due, {_day(episode)}",
        datasets={
            "fates": [{"fate": fate, "n": len(ticks)} for fate, ticks in named.items()],
            "spans": [row for fate, ticks in named.items() for row in rows.spans(fate, ticks, RATE)],
        },
    )


def _gaps(episode: Episode) -> Chart:
    spacing = episode.analysis["loss"]["never_sent_spacing_s"]
    skipped = np.array([due_at(tick, RATE) for tick in episode.fates.never_sent])
    return charts.filled(
        "gaps_between_missing",
        title=f"The gaps are the sender's: every {duration(spacing['p50'])} or so its loop skips a second",
        subtitle=(
            f"Time since the last skipped second: {spacing['min']:.0f} to {spacing['max']:.0f} s,"
            f" {len(skipped)} skipped seconds, {_day(episode)}"
        ),
        datasets={
            "gaps": rows.gaps(skipped),
            "levels": [{"gap_s": spacing["p50"], "label": f"median {spacing['p50']:.0f} s"}],
        },
    )


def _day(episode: Episode) -> str:
    return rows.instant(due_at(episode.ledger.first, RATE)).partition("T")[0]
