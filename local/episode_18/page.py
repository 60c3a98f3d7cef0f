"""The page, and its part of README.md: their prose are templates, every number in them is computed here."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from flowlag.stamp import due_at, encode
from flowlag_report.rows import instant
from local.episode_18.data import BY_HAND, MATCHED, RATE, ROW_LIMIT, SECOND
from local.episode_18.plots import day, numbers
from local.episode_18.words import duration, percent, signed
from local.lookback import Rule, lookback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowlag.instants import Micros
    from local.episode_18.data import Episode

_PAGE: Final = Path(__file__).with_name("page.md")
_README: Final = Path(__file__).with_name("readme.md")
_RULE_EVERY_S: Final = 300
_WITHIN_S: Final = (360, 600, 900)


def page(episode: Episode) -> str:
    """The whole page.

    Raises:
        KeyError: the template has a field that nothing here fills.
    """
    fields = _delays(episode) | _windows(episode) | _losses(episode) | _rule(episode) | _fit(episode)
    return _filled(_PAGE, fields)


def readme(episode: Episode) -> str:
    """What README.md tells of it.

    Raises:
        KeyError: the template has a field that nothing here fills.
    """
    return _filled(_README, _delays(episode) | {"day": day(episode)})


def _filled(template: Path, fields: Mapping[str, str]) -> str:
    return Template(template.read_text(encoding="utf-8")).substitute(fields)


def _delays(episode: Episode) -> dict[str, str]:
    delay, ingest = episode.analysis["delay_s"], episode.analysis["ingest_delay_s"]
    least = min(episode.windows, key=lambda window: window["ingest_delay_s"])
    return {
        "delay_min": duration(delay["min"]),
        "delay_p50": duration(delay["p50"]),
        "delay_p95": duration(delay["p95"]),
        "delay_max": duration(delay["max"]),
        "ingest_min": f"{ingest['min'] / 60:.2f} min",
        "ingest_max": f"{ingest['max'] / 60:.2f} min",
        "ingest_min_s": f"{ingest['min']:.0f}",
        "least_oldest": duration(float(least["delay_first_s"])),
        "least_newest": duration(float(least["delay_last_s"])),
        "numbers": numbers(episode),
    }


def _windows(episode: Episode) -> dict[str, str]:
    error, spacing = (episode.analysis[name] for name in ("timestamp_error_s", "capture_window_spacing_s"))
    from_first = [float(window["error_first_s"]) for window in episode.windows]
    errors = (episode.records.window_start - episode.records.sent_at) / SECOND
    return {
        "windows": f"{episode.analysis['capture_windows']}",
        "window": f"{episode.window_s:.3f}",
        "window_min": f"{spacing['min']:.0f}",
        "window_max": f"{spacing['max']:.0f}",
        "label_from_first": f"{max(map(abs, from_first)):.0f}",
        "error_min": signed(error["min"]),
        "error_mean": signed(error["mean"], 1),
        "error_max": signed(error["max"]),
        "start_before_send": percent(float((errors < 0).mean())),
    }


def _losses(episode: Episode) -> dict[str, str]:
    loss, fates, ledger = episode.analysis["loss"], episode.fates, episode.ledger
    spacing = loss["never_sent_spacing_s"]
    unlisted = sorted(fates.never_sent.difference(episode.skipped_in_export))
    first_label = int(episode.records.window_start.min())
    return {
        "ticks": f"{ledger.last - ledger.first + 1:,}",
        "began": _time(due_at(ledger.first, RATE)),
        "ended": _time(due_at(ledger.last, RATE)),
        "sent": f"{loss['sent']:,}",
        "seen": f"{loss['seen']:,}",
        "lost": f"{loss['missing_in_range']}",
        "rows": f"{loss['recorded']:,}",
        "before": f"{len(fates.before)}",
        "label_before": _time(first_label - round(episode.window_s) * SECOND),
        "beyond": f"{len(fates.beyond)}",
        "row_limit": f"{ROW_LIMIT:,}",
        "matched": f"{MATCHED:,}",
        "by_hand": f"{BY_HAND}",
        "never_sent": f"{len(fates.never_sent)}",
        "listed": f"{len(episode.listed)}",
        "unlisted": f"{len(unlisted)}",
        "unlisted_ports": _and([f"{encode(tick)}" for tick in unlisted]),
        "last_port": f"{encode(max(fates.recorded))}",
        "turn": f"{(ledger.last - ledger.first) / RATE / (len(ledger.sent) - 1):.4f}",
        "skip_p50": f"{spacing['p50']:.0f}",
        "skip_min": f"{spacing['min']:.0f}",
        "skip_max": f"{spacing['max']:.0f}",
    }


def _rule(episode: Episode) -> dict[str, str]:
    asked = {
        within: lookback(episode.dataset, Rule(every_s=_RULE_EVERY_S, within_s=within)) for within in _WITHIN_S
    }
    answers = {within: answer.as_json() for within, answer in asked.items()}
    cells = (
        (duration(within), percent(answer["missed_share"]), percent(answer["from_start"]["missed_share"]))
        for within, answer in answers.items()
    )
    return {
        "rule_every": duration(_RULE_EVERY_S),
        "rule_misses": "\n".join(f"| {' | '.join(row)} |" for row in cells),
        "rule_needs": duration(ceil(answers[_WITHIN_S[0]]["within_for_zero_misses_s"])),
    }


def _fit(episode: Episode) -> dict[str, str]:
    (fit,) = episode.analysis["sawtooth"]
    spacing, per_burst = episode.analysis["burst_spacing_s"], episode.analysis["deliveries_per_burst"]
    per_period = round(fit["period_s"] / episode.window_s)
    return {
        "bursts": f"{fit['n_bursts']}",
        "deliveries_per_burst": f"{per_burst['p50']:.0f}",
        "burst_spacing_min": f"{spacing['min']:.0f}",
        "burst_spacing_max": f"{spacing['max']:.0f}",
        "period": f"{fit['period_s']:.1f}",
        "jitter": f"{fit['jitter_s']:.2f}",
        "phase": duration(fit["phase_s"]),
        "lag_first": f"{fit['lag_first_s']:.1f}",
        "lag_last": f"{fit['lag_last_s']:.1f}",
        "drift": signed(fit["drift_s_per_h"], 1),
        "windows_per_period": f"{per_period}",
        "windows_longer": f"{per_period * episode.window_s - fit['period_s']:.1f}",
        "shape_distance": f"{fit['shape_distance_s']:.1f}",
    }


def _time(at: Micros) -> str:
    return instant(at)[11:19]


def _and(several: Sequence[str]) -> str:
    return f"{', '.join(several[:-1])} and {several[-1]}"
