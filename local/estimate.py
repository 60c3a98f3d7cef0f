"""`flowlag estimate`: what a campaign will cost at list prices, and how sure that is."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowlag.cost import Assumptions, Campaign, Item, RegionEstimate, estimate_campaign
from flowlag.errors import InvalidRequest
from flowlag.experiment import read_experiment
from flowlag.prices import COLLECTED_ON, REGIONS
from local.checkout import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flowlag.cost import Stack
    from flowlag.plan import RunRequest

EXPERIMENTS: Final = CHECKOUT / "functions" / "experiments"
_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+)+-[1-9]")


def regions_of(text: str) -> tuple[str, ...]:
    """Read the names of regions, separated by commas.

    Raises:
        InvalidRequest: one of them cannot be a region's name.
    """
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not _REGION.fullmatch(name):
            raise InvalidRequest(f"'{name}' is no region: give names as in eu-west-1,us-east-1")
    return names


def experiment_of(name: str) -> RunRequest:
    """Read an experiment, by its name or by the path of a TOML file.

    Raises:
        InvalidRequest: there is none of this name, or it is not one.
        OSError: the file cannot be read.
    """
    known = {path.stem: path for path in sorted(EXPERIMENTS.glob("*.toml"))}
    if name not in known and not name.endswith(".toml"):
        raise InvalidRequest(
            f"there is no experiment '{name:.80}': there are {', '.join(known)}, or give the path of a .toml file"
        )
    path = known.get(name, Path(name))
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest(f"'{path}' is not an experiment: it is not text") from None
    return read_experiment(path.stem, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A campaign, estimated."""

    request: RunRequest
    stack: Stack
    campaign: Campaign

    @classmethod
    def of(
        cls, request: RunRequest, regions: Sequence[str], *, runs_per_day: int, days: int, stack: Stack
    ) -> Estimate:
        """Estimate a campaign; the first region is home.

        Raises:
            InvalidRequest: it cannot be carried out.
        """
        campaign = estimate_campaign(request, regions, runs_per_day=runs_per_day, days=days, stack=stack)
        return cls(request=request, stack=stack, campaign=campaign)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before one relies on it, a sentence each."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        yield f"List prices in USD, collected on {COLLECTED_ON}, without taxes, discounts and free tiers."
        unknown = [each.region for each in self.campaign.regions if each.region not in REGIONS]
        if unknown:
            yield f"No prices are known of {', '.join(unknown)}: those of us-east-1 were taken."
        borrowed = _named(
            (item, each.region)
            for each, item in self._bought()
            if each.region in REGIONS and item.price.region != each.region
        )
        if borrowed:
            yield f"At the price of us-east-1, as none of the region's own is known: {borrowed}."
        unverified = _named(
            (item, each.region) for each, item in self._bought() if not item.price.source.is_verified
        )
        if unverified:
            yield f"Unverified, as no source was found for the price: {unverified}."
        standing = sum(
            item.usd for each in self.campaign.regions for item in each.standing if item.ends_with_a_stop
        )
        yield (
            f"Instances and their addresses are {standing:,.2f} USD of it, and stand idle for "
            f"{self.campaign.idle_share:.0%} of the time: stop them when there are no runs for a while, and delete "
            "the stack when the campaign is over."
        )

    def _bought(self) -> Iterator[tuple[RegionEstimate, Item]]:
        """Every item that costs something, with where it does."""
        for each in self.campaign.regions:
            for item in (*(each.run if each.runs else ()), *each.standing):
                if item.quantity:
                    yield each, item

    def as_json(self) -> dict[str, Any]:
        """The estimate as plain JSON values."""
        campaign = self.campaign
        return {
            "experiment": self.request.experiment,
            "arms": [arm.name for arm in self.request.arms],
            "senders": list(self.stack.senders),
            "target": self.stack.target,
            "runs_per_day": campaign.runs_per_day,
            "days": campaign.days,
            "regions": [_region_json(each) for each in campaign.regions],
            "usd_per_day": campaign.usd / campaign.days,
            "usd": campaign.usd,
            "prices_collected_on": COLLECTED_ON,
            "assumptions": asdict(Assumptions()),
            "notes": list(self.notes),
        }


def _region_json(estimate: RegionEstimate) -> dict[str, Any]:
    return {
        "region": estimate.region,
        "runs": estimate.runs,
        "run": [_item_json(item) for item in estimate.run],
        "machines_of_a_run": [_item_json(item) for item in estimate.machines],
        "standing": [_item_json(item) for item in estimate.standing],
        "usd_per_run": estimate.run_usd,
        "usd_per_run_with_machines": estimate.run_with_machines_usd,
        "usd": estimate.usd,
    }


def _item_json(item: Item) -> dict[str, Any]:
    price = item.price
    return {
        "item": item.name,
        "quantity": item.quantity,
        "unit": price.unit,
        "usd_per_unit": price.usd,
        "usd": item.usd,
        "priced_in": price.region,
        "verified": price.source.is_verified,
        "source": asdict(price.source),
    }


def _named(items: Iterable[tuple[Item, str]]) -> str:
    """Items by name, each with its regions."""
    regions: dict[str, dict[str, None]] = {}
    for item, region in items:
        regions.setdefault(item.name, {})[region] = None
    return "; ".join(f"{name} ({', '.join(where)})" for name, where in regions.items())
