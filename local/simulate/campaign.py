"""A campaign in virtual time: which runs there are, when and where each begins, and what chance it has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import numpy as np

from flowlag.plan import NITRO, SIMULATED, XEN, RunRequest, Site, plan_run
from local.instants import of_iso
from local.simulate.flow_log import SECOND
from local.simulate.run import longest_course_s, simulate_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.random import Generator

    from flowlag.delivery import Preset
    from flowlag.instants import Micros
    from flowlag.plan import RunPlan
    from local.simulate.run import SimulatedRun, Trouble

BEGIN: Final = of_iso("2026-01-01T00:00:00Z")
"""When virtual time begins."""

FLEXIBLE_S: Final = 3_600
"""A run begins at any time within this of the one that it is scheduled for, as by the template's default."""

_DAY_S: Final = 86_400
_INSTANCE_TYPES: Final[Mapping[str, str]] = {XEN: "t2.micro", NITRO: "t3.micro"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What is to be simulated.

    Attributes:
        preset: the habits of the flow-log service.
        request: what every run does.
        regions: where; a region's name changes chance and nothing else.
        runs: how many in each region.
        runs_per_day: for how many a day there is a schedule. One that falls into the run before it is left out.
        trouble: what befalls the runs.
        seed: of chance. The same campaign gives the same runs, and one with more runs the same ones first.
    """

    preset: Preset
    request: RunRequest
    regions: Sequence[str]
    runs: int
    runs_per_day: int
    trouble: Trouble
    seed: int

    def simulate(self) -> Iterator[SimulatedRun]:
        """Every run, region by region, in order of time."""
        for plan in self.plans():
            yield simulate_run(plan, self.preset, self.trouble, partial(self.chance, plan.run_id))

    def plans(self) -> Iterator[RunPlan]:
        """What is decided of every run before it begins."""
        slot_s = _DAY_S / self.runs_per_day
        every_s = slot_s * math.ceil((longest_course_s(self.request) + FLEXIBLE_S) / slot_s)
        for region in self.regions:
            for number in range(self.runs):
                jitter_s = FLEXIBLE_S * self.chance(region, f"begin of {number}").random()
                yield self._plan(region, BEGIN + round((number * every_s + jitter_s) * SECOND))

    def chance(self, *what: str) -> Generator:
        """Chance, by what it decides: losses, say, change nothing about phases."""
        return np.random.default_rng([self.seed, *" ".join(what).encode()])

    def _plan(self, region: str, at: Micros) -> RunPlan:
        began = datetime.fromtimestamp(at // SECOND, UTC)
        return plan_run(
            f"sim-{region}-{began:%Y%m%dT%H%M%SZ}",
            self.request,
            _site(region, self.preset),
            execution=SIMULATED,
            now=at,
            code_version=version("flowlag"),
        )


def _site(region: str, preset: Preset) -> Site:
    """A place that is nowhere: ids are made up, and those of a region are always the same."""
    made_up = sha256(region.encode()).hexdigest()[:17]
    return Site(
        source=SIMULATED,
        region=region,
        az_id=None,
        instance_type=_INSTANCE_TYPES[preset.hypervisor],
        hypervisor=preset.hypervisor,
        sender_instance_id=f"i-{made_up}",
        interface_id=f"eni-{made_up}",
        subnet_id=f"subnet-{made_up}",
        vpc_id=f"vpc-{made_up}",
        sender_address="10.0.0.10",
        target_instance_id=f"i-{made_up[::-1]}",
        target_address="10.0.0.20",
        target_port=7_777,
    )
