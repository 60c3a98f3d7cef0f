"""The page: data, charts, style and script in one HTML file that asks nobody for anything."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any, Final

from flowlag_report import charts
from flowlag_report.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER: Final = files("flowlag_report")
_SCRIPTS: Final = ("words.js", "statistics.js", "state.js", "parts.js", "views.js", "main.js")
"""In this order, inside one function: names of one are known to the others, and to nothing else."""


def page(data: Mapping[str, Any]) -> str:
    """The page of what `data.data_of` told."""
    answer = data["answer"]
    numbers = (counted(answer[f"n_{noun}s"], noun) for noun in ("packet", "burst", "run"))
    return Template(_read("page/page.html")).substitute(
        title=escape(answer["sentence"]),
        source=escape(data["source"]),
        source_in_words=escape(data["source_in_words"]),
        numbers=escape(", ".join(numbers)),
        slo=escape(answer["slo"]),
        style=_read("page/page.css"),
        data=in_script(data),
        charts=in_script({"files": charts.files(), "themes": charts.page_themes()}),
        vega=f"(() => {{{vega()}}})();",
        script="\n".join(_read(f"page/{name}") for name in _SCRIPTS),
    )


def in_script(value: object) -> str:
    """JSON that may stand inside a script element, whatever its texts are."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed, as vl-convert bundles them: a megabyte, which only who makes a page reads."""
    return _read("vendor/vega.js")


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
