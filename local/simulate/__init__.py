"""`flowlag simulate`: a campaign in virtual time, as the tables that AWS would have, and its truth beside them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from flowlag.delivery import PRESETS
from flowlag.errors import InvalidRequest
from flowlag.plan import NITRO, SIMULATED, Arm, RunRequest
from local.estimate import experiment_of, regions_of
from local.progress import UNWATCHED
from local.simulate import output
from local.simulate.campaign import Campaign
from local.simulate.run import Trouble, clock_of, habits_of
from local.simulate.tables import objects
from local.simulate.truth import FLOW_LOGS, Truth, population

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.progress import Work

__all__ = ["SimulateOptions", "simulate"]

HOURS_A_DAY: Final = 24
SECONDS_AN_HOUR: Final = 3_600
SCHEMA_VERSION: Final = 1
"""Of `truth.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateOptions:
    """What a simulation may be asked to do.

    Attributes:
        preset: whose habits the flow-log service has.
        runs: how many in each region.
        hours: length of the traffic window; None leaves it to the experiment.
        seed: of chance.
        experiment: name or file of what a run does; None is the one arm that the preset is known by.
        regions: where, separated by commas.
        runs_per_day: for how many there is a schedule.
        loss, late, twice, wire_loss, missed: as of `Trouble`.
    """

    preset: str
    runs: int
    hours: float | None
    seed: int
    experiment: str | None
    regions: str
    runs_per_day: int
    loss: float
    late: float
    twice: float
    wire_loss: float
    missed: float

    @property
    def campaign(self) -> Campaign:
        """The campaign that is meant.

        Raises:
            InvalidRequest: there is none such.
        """
        regions = regions_of(self.regions)
        if len(set(regions)) != len(regions):
            raise InvalidRequest("a campaign has no region twice")
        return Campaign(
            preset=PRESETS[self.preset],
            request=self._request(),
            regions=regions,
            runs=self.runs,
            runs_per_day=self.runs_per_day,
            trouble=Trouble(
                loss=self.loss, late=self.late, twice=self.twice, wire_loss=self.wire_loss, missed=self.missed
            ),
            seed=self.seed,
        )

    def _request(self) -> RunRequest:
        request = experiment_of(self.experiment) if self.experiment else _measured(self.preset)
        if self.hours is None:
            return request
        if not 0 < self.hours <= HOURS_A_DAY:
            raise InvalidRequest(f"a run has more than 0 and at most {HOURS_A_DAY} hours, not {self.hours:g}")
        return replace(request, traffic_s=max(1, round(self.hours * SECONDS_AN_HOUR)))


def _measured(preset: str) -> RunRequest:
    """A run of the one arm that a preset is known by, or assumed for."""
    interval_s = 60 if PRESETS[preset].hypervisor == NITRO else 600
    return RunRequest(experiment=preset, arms=(Arm(aggregation_interval_s=interval_s),))


def simulate(options: SimulateOptions, out: Path, work: Work = UNWATCHED) -> Mapping[str, Any]:
    """Simulate a campaign, leave it in a folder, and return the truth of it but for that of single runs.

    Args:
        options: what is to be simulated.
        out: the folder, which is made, or replaced.
        work: who is told how far it is.

    Raises:
        InvalidRequest: there is no such campaign.
        NotOurs: the folder holds something else.
    """
    campaign = options.campaign
    truth = Truth(campaign.request.arms)
    with output.put_in_place(out) as folder:
        work.now("simulating runs", len(campaign.regions) * campaign.runs)
        for run in campaign.simulate():
            for key, data in objects(run):
                output.put(folder, key, data)
            truth.add(run)
            work.step()
        work.now("telling what is true of them")
        over_runs = truth.over_runs()
        arms = {arm.name: {**over_runs[arm.name], **_model(campaign, arm)} for arm in campaign.request.arms}
        told = {
            "schema_version": SCHEMA_VERSION,
            "source": SIMULATED,
            "arguments": asdict(options),
            "n_runs": len(truth.runs),
            "arms": arms,
        }
        output.put_truth(folder, {**told, "runs": truth.runs})
    return told


def _model(campaign: Campaign, arm: Arm) -> Mapping[str, Any]:
    """What the model says of an arm, whatever its runs were."""
    habits = habits_of(arm, campaign.preset)
    delay = population(
        habits,
        campaign.trouble,
        rate=campaign.request.rate,
        clock=clock_of(arm),
        chance=campaign.chance("population", arm.name),
    )
    return {"habits": asdict(habits), "population": {"flow_logs": FLOW_LOGS, "delay_with_missing_s": delay}}
