"""Charts: Vega-Lite specifications kept as files in `charts/`, and the one way to fill them with data.

A file says what is drawn and how. It names the datasets that it draws, and has them empty. `theme.json` is the look
that all have in common. What draws the result is up to the caller: a browser, or vl-convert.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

type Chart = dict[str, Any]
"""A whole Vega-Lite specification, its data in it."""

type Rows = Sequence[Mapping[str, str | float]]

_FILES: Final = resources.files("flowlag_report") / "charts"
_SUFFIX: Final = ".vl.json"


def names() -> list[str]:
    """The charts that there are."""
    found = (each.name for each in _FILES.iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))


def filled(name: str, *, title: str, subtitle: str, datasets: Mapping[str, Rows]) -> Chart:
    """A chart with its data.

    Args:
        name: of the file, without its suffix.
        title: what the data shows, in one line.
        subtitle: the line below it.
        datasets: rows for each dataset that the file names.

    Raises:
        ValueError: these are not the datasets that the file names.
    """
    chart = _read(f"{name}{_SUFFIX}")
    if set(datasets) != set(chart["datasets"]):
        raise ValueError(f"the chart '{name}' draws {sorted(chart['datasets'])}, not {sorted(datasets)}")
    chart["title"] |= {"text": title, "subtitle": subtitle}
    chart["datasets"] = {each: [*rows] for each, rows in datasets.items()}
    return chart | {"config": _read("theme.json")}


def files() -> dict[str, Chart]:
    """Every chart as its file has it, for who fills it elsewhere."""
    return {name: _read(f"{name}{_SUFFIX}") for name in names()}


def page_themes() -> list[Chart]:
    """The look, and what of it is different in the page: colours that its style sheet decides, day and night."""
    return [_read("theme.json"), _read("theme-page.json")]


def _read(name: str) -> Chart:
    content: Chart = json.loads((_FILES / name).read_text(encoding="utf-8"))
    return content
