"""One run in virtual time, in the order of the state machine: traffic, flow logs, first deliveries, closing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from flowlag.delivery import Disturbance, Schedule
from flowlag.distribution import Distribution, burst_period_s, bursts
from flowlag.errors import InvalidRequest
from flowlag.first_delivery import EXPIRED, WAITING, FirstDelivery, t0
from flowlag.instants import seconds_between
from flowlag.plan import CLOUDWATCH, S3
from flowlag.probe import Event, Probe, Sifted
from flowlag.reconcile import EXPECTED_MISSING, LOST_ON_WIRE, NEVER_SENT, NOT_RECORDED, Counts
from flowlag.record import OK
from flowlag.signature import HEADERS_BYTES
from flowlag.stamp import PORTS, UNSENDABLE_PORT, due_at, due_ns, tick_at
from flowlag.summary import ArmSummary, RunSummary
from flowlag.verdict import judge
from local.simulate.flow_log import MILLISECOND, NEVER, SECOND, happens, record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.random import Generator

    from flowlag.delivery import Preset
    from flowlag.instants import Micros
    from flowlag.plan import Arm, RunPlan, RunRequest
    from local.simulate.flow_log import Flags, Records, Whole

    type Chance = Callable[[str], Generator]
    """Chance, by what it decides: so that losses, say, change nothing about phases."""

type Range = tuple[float, float]

# How long the steps of a run take, in seconds: the least and the longest. Assumed; delays hardly depend on it.
_TO_TRAFFIC_S: Final[Range] = (15, 40)
_TO_CREATION_S: Final[Range] = (2, 6)
_CALL_S: Final[Range] = (0.2, 0.8)
_TO_LAST_PROBE_S: Final[Range] = (2, 8)

# A sender wakes up this late, half of the time, and reaches the target so much later: docs/performance.md.
_LATENESS_NS: Final = 150_000
_ON_THE_WIRE_NS: Final = 120_000
_SPREAD: Final = 0.3
_MOST_NS: Final = 900_000

SYN: Final = 2
"""`tcp-flags` of a probe's record: nothing listens at the target's port, so that the SYN is all that it sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble(Disturbance):
    """What befalls a run, in shares from 0 to 1; nothing, if nothing is said.

    Attributes:
        loss: share of the records that are never delivered.
        twice: share of the deliveries that happen again soon after.
        late: share of the deliveries that are held back, by a quarter of an hour on average.
        wire_loss: share of the probes that never reach the target.
        missed: share of the ticks that the sender misses.
    """

    wire_loss: float = 0.0
    missed: float = 0.0

    def __post_init__(self) -> None:
        Disturbance.__post_init__(self)  # in a class with slots, `super()` is not this one's
        for name in ("wire_loss", "missed"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidRequest(f"{name} is a share from 0 to 1, not {getattr(self, name)}")


def longest_course_s(request: RunRequest) -> float:
    """How long a run lasts at most, from its plan to its closing."""
    return _TO_TRAFFIC_S[1] + _longest_sending_s(request) + request.drain_s


def _longest_sending_s(request: RunRequest) -> float:
    to_up_s = request.first_delivery_timeout_s + request.longest_poll_interval_s + 2 * _CALL_S[1]
    return _TO_CREATION_S[1] + to_up_s + request.traffic_s + _TO_LAST_PROBE_S[1]


def _within(limits: Range, chance: Generator) -> Micros:
    return round(chance.uniform(*limits) * SECOND)


# ---------------------------------------------------------------- traffic
@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """What the sender did and the target saw: aligned columns, one row a tick, in order.

    Attributes:
        ticks: every tick of the traffic.
        due_ns: when it is due, in nanoseconds since the epoch.
        sent_ns: when its probe left, in nanoseconds; NEVER if it did not.
        sent_at: the same in microseconds.
        seen_at: when the target captured it; NEVER if it did not.
    """

    ticks: Whole
    due_ns: Whole
    sent_ns: Whole
    sent_at: Whole
    seen_at: Whole

    @classmethod
    def of(cls, ticks: Whole, rate: int, trouble: Trouble, chance: Generator) -> Self:
        """Send the probes of `ticks`, late by well below a millisecond."""
        is_sent = (chance.random(len(ticks)) >= trouble.missed) & (ticks % PORTS != UNSENDABLE_PORT)
        is_seen = is_sent & (chance.random(len(ticks)) >= trouble.wire_loss)
        due = _due_ns(ticks, rate)
        sent_ns = due + _short(_LATENESS_NS, len(ticks), chance)
        seen_ns = sent_ns + _short(_ON_THE_WIRE_NS, len(ticks), chance)
        return cls(
            ticks,
            due,
            np.where(is_sent, sent_ns, NEVER),
            np.where(is_sent, sent_ns // 1_000, NEVER),
            np.where(is_seen, seen_ns // 1_000, NEVER),
        )

    @property
    def is_skipped(self) -> Flags:
        """Which ticks have the source port that is not sent."""
        return np.equal(self.ticks % PORTS, UNSENDABLE_PORT, dtype=np.bool_)

    @property
    def is_sent(self) -> Flags:
        """Which probes left."""
        return happens(self.sent_at)

    @property
    def is_seen(self) -> Flags:
        """Which probes arrived."""
        return happens(self.seen_at)

    def first(self, ticks: int) -> Traffic:
        """The first so many ticks."""
        return replace(self, **{name: getattr(self, name)[:ticks] for name in self.__slots__})


def _due_ns(ticks: Whole, rate: int) -> Whole:
    """`flowlag.stamp.due_ns`, of many. Seconds apart from the rest, as their product would overflow."""
    part = np.array([due_ns(each, rate) for each in range(rate)], np.int64)
    due: Whole = ticks // rate * 1_000_000_000 + part[ticks % rate]
    return due


def _short(median_ns: int, number: int, chance: Generator) -> Whole:
    """Times around a median, none of them as long as a millisecond: what a log-normal distribution gives."""
    times = median_ns * np.exp(_SPREAD * chance.standard_normal(number))
    return np.asarray(np.minimum(times, _MOST_NS), np.int64)


# ---------------------------------------------------------------- arms
class _Created(NamedTuple):
    """An arm's flow log, created: its schedule, what CreateFlowLog wrote down, and what it will record."""

    arm: Arm
    schedule: Schedule
    creation: Mapping[str, Any]
    records: Records
    check: FirstDelivery
    is_up_at: Micros


@dataclass(frozen=True, eq=False)
class SimulatedArm:
    """One flow log of a run, closed.

    Attributes:
        arm: the arm.
        schedule: how the flow log delivered.
        creation: what CreateFlowLog wrote down.
        check: what the looks for a first delivery showed.
        records: what had been delivered when the run was closed, a row a tick of `traffic`.
        traffic: the run's.
    """

    arm: Arm
    schedule: Schedule
    creation: Mapping[str, Any]
    check: FirstDelivery
    records: Records
    traffic: Traffic

    @cached_property
    def observed(self) -> Whole:
        """Which ticks have an observation: their rows."""
        return np.flatnonzero(self.records.is_delivered)

    @property
    def first(self) -> int:
        """The row of the first tick that counts: the first one that was recorded."""
        return int(self.observed[0]) if len(self.observed) else 0

    @cached_property
    def counts(self) -> Counts:
        """What became of the ticks, as `flowlag.reconcile.reconcile` counts them."""
        range_ = slice(self.first, None)
        is_missing = ~self.records.is_delivered[range_]
        is_skipped = self.traffic.is_skipped[range_]
        is_sent, is_seen = self.traffic.is_sent[range_], self.traffic.is_seen[range_]
        missing = {
            EXPECTED_MISSING: is_missing & is_skipped,
            LOST_ON_WIRE: is_missing & is_sent & ~is_seen,
            NEVER_SENT: is_missing & ~is_sent & ~is_skipped,
            NOT_RECORDED: is_missing & is_seen,
        }
        numbers = {reason: int(np.count_nonzero(rows)) for reason, rows in missing.items()}
        return Counts(
            ledger_ticks=len(is_missing),
            observed=len(self.observed),
            missing={reason: number for reason, number in numbers.items() if number},
            before_first_record=self.first,
            duplicates=int(np.count_nonzero(happens(self.records.again_at))),
            not_in_ledger=0,
            stale=0,
            foreign=0,
            nodata=0,
            skipdata=0,
            unparsable=0,
        )

    def summary(self, burst_gap_s: float) -> ArmSummary:
        """The arm's part of the run's row."""
        rows = self.observed
        sent_at, started_at = self.traffic.sent_at[rows], self.records.window_start[rows]
        ingested_at = self.records.ingested_at[rows]
        groups = bursts(np.unique(ingested_at).tolist(), burst_gap_s)
        return ArmSummary(
            arm=self.arm.name,
            counts=self.counts,
            n_bursts=len(groups),
            burst_period_s=burst_period_s(groups),
            capture_windows=len(np.unique(started_at)),
            first_delivery_s=seconds_between(self.check.first_record_at, t0(self.creation)),
            delay_s=_distribution(ingested_at - sent_at),
            ingest_delay_s=_distribution(ingested_at - started_at),
            timestamp_error_s=_distribution(started_at - sent_at),
        )


def _distribution(micros: Whole) -> Distribution | None:
    """`Distribution.of`, in an instant."""
    if not len(micros):
        return None
    found = np.quantile(micros / SECOND, (0, 0.5, 0.9, 0.95, 0.99, 1))
    return Distribution(*(round(value, 6) for value in found.tolist()))


def habits_of(arm: Arm, preset: Preset) -> Preset:
    """The habits of a service towards a flow log with the settings of an arm."""
    return preset.to_s3 if arm.destination == S3 else preset.under(arm.aggregation_interval_s)


def clock_of(arm: Arm) -> Micros:
    """The resolution of the clock by which an arm's destination dates deliveries."""
    return MILLISECOND if arm.destination == CLOUDWATCH else SECOND


# ---------------------------------------------------------------- the run
@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """A run, closed."""

    plan: RunPlan
    traffic: Traffic
    arms: Sequence[SimulatedArm]
    closed_at: Micros

    @cached_property
    def summary(self) -> RunSummary:
        """The run in one value, with its verdict."""
        verdict = judge(
            {each.arm.name: each.counts for each in self.arms},
            censored=[each.arm.name for each in self.arms if each.check.status == EXPIRED],
        )
        arms = [each.summary(self.plan.request.burst_gap_s) for each in self.arms]
        return RunSummary.of(self.plan.run_id, self.plan.source, verdict, arms)


def simulate_run(plan: RunPlan, preset: Preset, trouble: Trouble, chance: Chance) -> SimulatedRun:
    """Carry out a planned run.

    Args:
        plan: the run; it begins at `planned_at`.
        preset: the habits of the flow-log service.
        trouble: what befalls the run.
        chance: chance, by what it decides.
    """
    request, course = plan.request, chance("course")
    began_at = plan.planned_at + _within(_TO_TRAFFIC_S, course)
    ticks = np.arange(
        tick_at(began_at * 1_000, plan.rate) + 1,
        tick_at((began_at + round(_longest_sending_s(request) * SECOND)) * 1_000, plan.rate),
    )
    traffic = Traffic.of(ticks, plan.rate, trouble, chance("sender"))
    created = [_create(plan, arm, preset, trouble, traffic, began_at, chance) for arm in plan.arms]
    stopped_at = (
        max(each.is_up_at for each in created) + request.traffic_s * SECOND + _within(_TO_LAST_PROBE_S, course)
    )
    traffic = traffic.first(int(np.searchsorted(ticks, tick_at(stopped_at * 1_000, plan.rate), side="right")))
    # ReconcileRun closes a run at the end of the last whole second: S3 dates objects by the second.
    closed_at = (stopped_at // SECOND + request.drain_s) * SECOND - 1
    arms = [
        SimulatedArm(
            each.arm,
            each.schedule,
            each.creation,
            each.check,
            each.records.known(len(traffic.ticks), closed_at),
            traffic,
        )
        for each in created
    ]
    return SimulatedRun(plan, traffic, arms, closed_at)


def _create(
    plan: RunPlan, arm: Arm, preset: Preset, trouble: Trouble, traffic: Traffic, began_at: Micros, chance: Chance
) -> _Created:
    """Create an arm's flow log while probes are leaving, and look for its first delivery."""
    course = chance(f"{arm.name} course")
    creation = _creation(plan, arm, began_at + _within(_TO_CREATION_S, course), course)
    chosen = chance(f"{arm.name} schedule")
    schedule = Schedule.drawn(habits_of(arm, preset), chosen.random(), chosen.random())
    records = record(
        schedule,
        traffic.sent_at,
        since=creation["t0_service"],
        until=plan.planned_at + round(longest_course_s(plan.request) * SECOND),
        chance=chance(f"{arm.name} records"),
        disturbance=trouble,
        clock=clock_of(arm),
    )
    check, is_up_at = _look(plan, creation, records, traffic, course)
    return _Created(arm, schedule, creation, records, check, is_up_at)


def _creation(plan: RunPlan, arm: Arm, before: Micros, chance: Generator) -> Mapping[str, Any]:
    after = before + _within(_CALL_S, chance)
    service = int(chance.integers(-(-before // MILLISECOND), after // MILLISECOND))
    return {
        "flow_log_id": f"fl-{sha256(f'{plan.run_id}.{arm.name}'.encode()).hexdigest()[:17]}",
        "t0_before_call": before,
        "t0_after_call": after,
        "t0_service": service * MILLISECOND,
    }


def _look(
    plan: RunPlan, creation: Mapping[str, Any], records: Records, traffic: Traffic, chance: Generator
) -> tuple[FirstDelivery, Micros]:
    """Look for the first delivery as CheckFirstDelivery does; also say when the looking ended."""
    probe = _first_probe(plan, traffic, records)
    check, answered_at = FirstDelivery(), creation["t0_after_call"]
    while check.status == WAITING:
        asked_at = answered_at + check.next_look_s(plan.request) * SECOND
        answered_at = asked_at + _within(_CALL_S, chance)
        found = Sifted(
            probes=[probe] if probe[0].delivered_at <= asked_at else [],
            first_record_at=records.first_at if records.first_at <= asked_at else None,
        )
        check = check.looked(plan.request, t0(creation), found, asked_at=asked_at, answered_at=answered_at)
    return check, answered_at


def _first_probe(plan: RunPlan, traffic: Traffic, records: Records) -> tuple[Event, Probe]:
    """The first probe that the flow log delivers, as a look finds it."""
    row = int(records.ingested_at.argmin())
    tick = int(traffic.ticks[row])
    probe = Probe(
        tick=tick,
        srcport=tick % PORTS,
        due_at=due_at(tick, plan.rate),
        window_start=int(records.window_start[row]),
        window_end=int(records.window_end[row]),
        packets=1,
        bytes=HEADERS_BYTES + plan.payload_bytes,
        tcp_flags=SYN,
        action="ACCEPT",
        log_status=OK,
    )
    return Event("", "", int(records.ingested_at[row])), probe
