"""Episode 18's four plots, drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from flowlag.stamp import due_at
from flowlag_report import charts, rows
from local.episode_18.data import RATE, SECOND, SETTING
from local.episode_18.words import counted, duration, signed

if TYPE_CHECKING:
    from flowlag_report.charts import Chart, Rows
    from local.episode_18.data import Episode

_SHARES: Final = np.arange(201) / 200
_MARKED: Final = {"p50": 0.5, "p95": 0.95}
_BLUE: Final = "#0072b2"
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


def curve(episode: Episode) -> Chart:
    """How much is visible after how long, with the two percentiles that README.md tells."""
    delay = episode.analysis["delay_s"]
    delays_s = (episode.records.ingested_at - episode.records.sent_at) / SECOND
    chart = charts.filled(
        "delay_curve",
        title=(
            f"Half of the flow records were visible {duration(delay['p50'])} after the packet,"
            f" 95 % after {duration(delay['p95'])}"
        ),
        subtitle=f"Measured on AWS, {day(episode)}: {SETTING}. {numbers(episode)}",
        datasets={
            "bands": [],
            "curves": [
                {"arm": "", "share": share, "delay_s": at, "within": duration(at), "colour": _BLUE}
                for share, at in zip(_SHARES.tolist(), np.quantile(delays_s, _SHARES).tolist(), strict=True)
            ],
            "levels": [{"share": share} for share in _MARKED.values()],
        },
    )
    marks = [
        {"share": share, "delay_s": delay[name], "label": f"{100 * share:.0f} % within {duration(delay[name])}"}
        for name, share in _MARKED.items()
    ]
    return _marked(chart, marks)


def _marked(chart: Chart, marks: Rows) -> Chart:
    """A curve with points on it that have their numbers beside them: a picture shows none to who points at it."""
    at = {"x": {"field": "delay_s", "type": "quantitative"}}
    point = {"mark": {"type": "point", "filled": True, "size": 90, "opacity": 1, "color": _BLUE}, "encoding": at}
    label = {
        "mark": {"type": "text", "align": "right", "dx": -12, "dy": -9, "fontSize": 13},
        "encoding": {**at, "text": {"field": "label"}},
    }
    layers = [{"data": {"name": "marks"}, **layer} for layer in (point, label)]
    return chart | {
        "datasets": {**chart["datasets"], "marks": [*marks]},
        "layer": [*chart["layer"], *layers],
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
        subtitle=f"{SETTING}, {day(episode)}: {numbers(episode)}",
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
            f" {signed(error['max'])} s in {len(episode.windows)} windows, {day(episode)}"
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
        subtitle=f"Seconds of the run, by what became of the packet that was due, {day(episode)}",
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
            f" {len(skipped)} skipped seconds, {day(episode)}"
        ),
        datasets={
            "gaps": rows.gaps(skipped),
            "levels": [{"gap_s": spacing["p50"], "label": f"median {spacing['p50']:.0f} s"}],
        },
    )


def day(episode: Episode) -> str:
    """When it began, in UTC."""
    return rows.instant(due_at(episode.ledger.first, RATE)).partition("T")[0]
