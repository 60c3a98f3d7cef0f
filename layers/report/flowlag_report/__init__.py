"""The report: a campaign's profiles as one page that needs nothing else, as data, as a badge and as charts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowlag_report.badge import badge
from flowlag_report.data import data_of
from flowlag_report.page import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowlag.instants import Micros
    from flowlag_report.profile import Profile


@dataclass(frozen=True, slots=True)
class Report:
    """A report in its three forms.

    Attributes:
        data: what `data.json` holds.
        html: the page.
        badge: an SVG picture of the answer.
    """

    data: dict[str, Any]
    html: str
    badge: str

    @property
    def data_json(self) -> str:
        """The data as `data.json` has it, on AWS and here."""
        return json.dumps(self.data, separators=(",", ":"), allow_nan=False)


def build(profiles: Sequence[Profile], built_at: Micros) -> Report:
    """Report of a campaign. The same profiles, in whatever order, and `built_at` give the same bytes.

    Args:
        profiles: of its runs, void ones too.
        built_at: when the report is made.

    Raises:
        NoReport: there is no profile, or they are of several sources.
    """
    data = data_of(profiles, built_at)
    return Report(data, page(data), badge(data))
