"""What `flowlag estimate` prints for people: what a run uses, what stands besides, and what it all comes to."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flowlag.cost import Item, RegionEstimate
    from local.estimate import Estimate

_WHOLE_FROM: Final = 100
_SMALLEST_USD: Final = 0.0001


def estimate(answer: Estimate) -> Group:
    """The answer of `flowlag estimate`."""
    campaign = answer.campaign
    regions = campaign.regions
    return Group(
        Text(_campaign(answer), style="bold"),
        _items("A run uses", regions, lambda each: each.run),
        _items(f"What stands for {_counted(campaign.days, 'day')}", regions, lambda each: each.standing),
        _totals(answer),
        *(Text(note) for note in answer.notes),
    )


def _campaign(answer: Estimate) -> str:
    campaign = answer.campaign
    name = f"experiment '{answer.request.experiment}'"
    return (
        f"{_counted(campaign.runs_per_day, 'run')} a day of {name} ({_counted(len(answer.request.arms), 'arm')}) "
        f"for {_counted(campaign.days, 'day')} in {_counted(len(campaign.regions), 'region')}: "
        f"{campaign.usd:,.2f} USD."
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _items(
    title: str, regions: Sequence[RegionEstimate], items_of: Callable[[RegionEstimate], Sequence[Item]]
) -> Table:
    """A row for each item that costs something anywhere, a column for each region."""
    table = _table(title, "how much", regions)
    for same in zip(*map(items_of, regions), strict=True):
        most = max(same, key=lambda item: item.quantity)
        if most.quantity:
            table.add_row(most.name, _quantity(most), *(_usd(item.usd) for item in same))
    table.add_row(
        "together", "", *(_usd(sum(item.usd for item in items_of(each))) for each in regions), style="bold"
    )
    return table


def _totals(answer: Estimate) -> Table:
    campaign = answer.campaign
    regions = campaign.regions
    table = _table("Altogether", "all regions", regions)
    for name, totals in (
        ("a run in each", [each.run_usd for each in regions]),
        ("with its machines while it lasts", [each.run_with_machines_usd for each in regions]),
        ("a day", [each.usd / campaign.days for each in regions]),
        (_counted(campaign.days, "day"), [each.usd for each in regions]),
    ):
        table.add_row(name, _usd(sum(totals)), *map(_usd, totals))
    return table


def _table(title: str, second: str, regions: Sequence[RegionEstimate]) -> Table:
    table = Table(title, box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (second, *(f"USD in\n{each.region}" for each in regions)):
        table.add_column(name, justify="right", overflow="fold")
    return table


def _quantity(item: Item) -> str:
    number, unit = _number(item.quantity), item.price.unit
    return f"{number} {unit}" if number == "1" or unit in ("GB", "TB") else f"{number} {unit}s"


def _number(value: float) -> str:
    """Three digits, or all of them before the point."""
    return f"{value:,.0f}" if value >= _WHOLE_FROM else f"{Decimal(f'{value:.3g}'):f}"


def _usd(value: float) -> str:
    """Cents where there are dollars, and else four decimals."""
    if 0 < value < _SMALLEST_USD:
        return f"<{_SMALLEST_USD}"
    return f"{value:,.2f}" if value >= 1 else f"{value:.4f}"
