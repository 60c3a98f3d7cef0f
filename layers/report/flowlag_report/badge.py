"""The badge: the answer in a picture as small as a line of text."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from flowlag.plan import AWS
from flowlag_report.words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHARACTER: Final = 6.6
"""Wide, of 11 pixels high Verdana, on average; `textLength` makes it exact."""
_PADDING: Final = 9

_BADGE: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}: {text}">
<title>{label}: {text}</title>
<clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{middle}" height="20" fill="#3b4252"/>\
<rect x="{middle}" width="{right}" height="20" fill="{colour}"/></g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="{pad}" y="14" textLength="{label_length}">{label}</text>
<text x="{text_at}" y="14" textLength="{text_length}">{text}</text>
</g>
</svg>
"""


def badge(data: Mapping[str, Any]) -> str:
    """The badge of a report, as SVG."""
    label, text = "flow log delay", _text(data)
    label_length, text_length = (round(len(each) * _CHARACTER) for each in (label, text))
    middle, right = label_length + 2 * _PADDING, text_length + 2 * _PADDING
    return _BADGE.format(
        width=middle + right,
        middle=middle,
        right=right,
        colour="#0b6a9c" if data["source"] == AWS else "#6b5b00",
        pad=_PADDING,
        text_at=middle + _PADDING,
        label=escape(label),
        text=escape(text),
        label_length=label_length,
        text_length=text_length,
    )


def _text(data: Mapping[str, Any]) -> str:
    told = next((arm for arm in data["arms"] if arm["name"] == data["answer"]["arm"]), None)
    origin = "" if data["source"] == AWS else f"{data['source']}: "
    if told is None or told["delay_s"]["p50"] is None:
        return f"{origin}not known yet"
    p50, p95 = (told["delay_s"][name] for name in ("p50", "p95"))
    most = "95 % not by the deadline" if p95 is None else f"95 % in {duration(p95)}"
    return f"{origin}50 % in {duration(p50)}, {most} ({counted(told['n_runs'], 'run')})"
