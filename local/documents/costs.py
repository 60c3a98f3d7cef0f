"""What documents say of costs: what `flowlag estimate` prints, and its totals in a few lines."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final

from rich.console import Console

from flowlag.cost import Stack
from flowlag.prices import COLLECTED_ON
from local import render_estimate
from local.estimate import Estimate, experiment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_PRINTED: Final = re.compile(r"(?s)(?<=<!-- flowlag estimate -->\n```\n).*?(?=```)")
_WIDTH: Final = 80
"""Columns of a printed answer."""


def default_campaign() -> Estimate:
    """What `flowlag estimate` says without being told anything."""
    request = experiment_of("default")
    return Estimate.of(request, ("us-east-1",), runs_per_day=4, days=30, stack=Stack(senders=("t3.micro",)))


def with_printed(document: str) -> str:
    """The document with what `flowlag estimate` prints in the block below a comment that says so."""
    screen = Console(file=io.StringIO(), width=_WIDTH, highlight=False)
    with screen.capture() as printed:
        screen.print(render_estimate.estimate(default_campaign()))
    lines = (line.rstrip() for line in printed.get().splitlines())
    return _PRINTED.sub(lambda _: "".join(f"{line}\n" for line in lines), document)


def totals() -> str:
    """The totals of the default campaign, as a table."""
    campaign = default_campaign().campaign
    (home,) = campaign.regions
    rows: Sequence[tuple[str, float]] = (
        ("what a run uses", home.run_usd),
        ("the same, with its two instances while it lasts", home.run_with_machines_usd),
        (f"a day with {campaign.runs_per_day} runs, with all that stands", campaign.usd / campaign.days),
        (f"{campaign.days} such days", campaign.usd),
    )
    lines = "\n".join(f"| {what} | {usd:,.2f} |" for what, usd in rows)
    head = f"| the default experiment: four arms, three hours of traffic, in {home.region} | USD |\n|---|--:|"
    return f"{head}\n{lines}\n\nList prices of {COLLECTED_ON}, by `flowlag estimate`."
