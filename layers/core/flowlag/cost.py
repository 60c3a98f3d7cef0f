"""What a run and a campaign cost at list prices, item by item, before they run.

Quantities follow the run's own design: its states, its functions, its records, its objects. What the design leaves
open is in `Assumptions`, by name. Free tiers are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from flowlag.errors import InvalidRequest
from flowlag.first_delivery import FirstDelivery
from flowlag.plan import AWS, CLOUDWATCH, INTERFACE, PARQUET, S3, place
from flowlag.prices import HOURS_A_MONTH, INSTANCE_TYPES, REGIONS, Price, price

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flowlag.plan import Arm, RunPlan, RunRequest

HOURS_A_DAY: Final = 24
DAYS_A_MONTH: Final = HOURS_A_MONTH / HOURS_A_DAY
_GB: Final = 1e9
_TB: Final = 1e12

RUN_TRANSITIONS: Final = 17
"""The start of an execution, and the states of one that ends well, without those of its arms."""
ARM_TRANSITIONS: Final = 2
LOOK_TRANSITIONS: Final = 3
"""Wait, look, decide."""


class Function(NamedTuple):
    """A function: its memory in MB, and how many seconds of an invocation are billed."""

    memory_mb: int
    seconds: float


FUNCTIONS: Final[Mapping[str, Function]] = {
    "PlanRun": Function(256, 3),
    "StartTraffic": Function(512, 40),
    "CreateFlowLog": Function(256, 4),
    "CheckFirstDelivery": Function(512, 3),
    "StopTraffic": Function(256, 20),
    "DeleteFlowLogs": Function(256, 4),
    "ReconcileRun": Function(1024, 30),
    "SummarizeRun": Function(1024, 6),
    "PublishReport": Function(1024, 6),
    "DecodeRecords": Function(512, 1),
    "Sweep": Function(512, 4),
}
"""Memory is the template's; seconds are assumed: most begin cold, and two wait for commands on the instances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What the design leaves open, and what is assumed of it.

    Attributes:
        first_delivery_s: how long an arm waits for its first delivery; AWS says ten minutes or more.
        setup_s: from the beginning of a run to its first flow log.
        closing_s: from the deletion of the flow logs to the end of the run.
        record_bytes: a line of a flow log. S3 is taken to be billed by the same bytes, before compression.
        event_overhead_bytes: what CloudWatch Logs bills on top of each.
        records_a_probe: on each interface: the SYN, and the target's RST,ACK.
        other_records_a_minute: on each interface: SSM and S3.
        delivery_every_s: to CloudWatch Logs, for each interface; each is one invocation of DecodeRecords.
        file_every_s: to S3, for each interface.
        landing_bytes: a delivery as Parquet.
        file_bytes_a_record: of a flow-log file in S3.
        result_bytes_a_probe: of an arm in the final Parquet.
        reported_runs: of how many runs a report is made, on average: half of a month's with four a day.
        profile_bytes: of an arm in one of them.
        report_bytes: the page and its data.
        function_log_bytes: of an invocation.
        function_log_days: how long they are kept.
        flow_log_days: how long an arm's log group keeps its events.
        upload_every_s: the ledger and the capture, while they grow.
        disk_gb: of each instance: the root volume of Amazon Linux 2023.
        run_metrics: custom metrics that a run publishes to.
        arm_metrics: those that each of its arms publishes to.
        metric_hours: for how many hours a run has such a metric billed.
        alarm_metrics: what the alarms of a region watch; each is billed as an alarm.
        dashboards: in the home region.
        sweeps_a_day: by schedule, in each region.
        queries_a_day: of Athena, in the home region.
        query_bytes: what a query is billed for: Athena's minimum.
    """

    first_delivery_s: float = 600
    setup_s: float = 60
    closing_s: float = 60
    record_bytes: float = 170
    event_overhead_bytes: float = 26
    records_a_probe: float = 2
    other_records_a_minute: float = 12
    delivery_every_s: float = 60
    file_every_s: float = 300
    landing_bytes: float = 6_000
    file_bytes_a_record: float = 15
    result_bytes_a_probe: float = 30
    reported_runs: float = 60
    profile_bytes: float = 16_000
    report_bytes: float = 2_000_000
    function_log_bytes: float = 2_000
    function_log_days: float = 30
    flow_log_days: float = 7
    upload_every_s: float = 60
    disk_gb: float = 8
    run_metrics: float = 3
    arm_metrics: float = 5
    metric_hours: float = 1
    alarm_metrics: float = 9
    dashboards: float = 1
    sweeps_a_day: float = 24
    queries_a_day: float = 20
    query_bytes: float = 10_000_000


_ASSUMED: Final = Assumptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What stands in each region from deployment to deletion.

    Attributes:
        senders: their instance types.
        target: its instance type; None for somebody's own.
        processor: of the functions: `arm64` or `x86_64`.

    Raises:
        InvalidRequest: no price is known of an instance type.
    """

    senders: tuple[str, ...] = ("t3.micro",)
    target: str | None = "t4g.nano"
    processor: str = "arm64"

    def __post_init__(self) -> None:
        for _, each in self.machines:
            if each not in INSTANCE_TYPES:
                raise InvalidRequest(
                    f"no price is known of an instance type '{each}': known are {', '.join(INSTANCE_TYPES)}"
                )

    @property
    def machines(self) -> Sequence[tuple[str, str]]:
        """What each instance is for, and its type."""
        senders = [("sender", each) for each in self.senders]
        return senders if self.target is None else [*senders, ("target", self.target)]


_STACK: Final = Stack()


@dataclass(frozen=True, slots=True)
class Item:
    """One line of an estimate: so much of a product, at its price."""

    name: str
    quantity: float
    price: Price

    @property
    def usd(self) -> float:
        """What it costs."""
        return self.quantity * self.price.usd

    @property
    def is_machine(self) -> bool:
        """Whether it is paid by the hour for an instance: itself, its address or its disk."""
        return self.ends_with_a_stop or self.price.product == "gp3"

    @property
    def ends_with_a_stop(self) -> bool:
        """Whether it is not paid while the instance is stopped."""
        return self.price.product == "public-ipv4" or self.price.product.startswith("ec2-")


class _Usage(NamedTuple):
    """So much of a product, wherever it is bought."""

    name: str
    product: str
    quantity: float


def _priced(usage: Iterable[_Usage], region: str) -> tuple[Item, ...]:
    return tuple(Item(each.name, each.quantity, price(each.product, region)) for each in usage)


def total_usd(items: Iterable[Item]) -> float:
    """What some items cost together."""
    return sum(item.usd for item in items)


# ---------------------------------------------------------------- how a run goes
@dataclass(frozen=True, slots=True)
class _Course:
    """How a run goes: durations in seconds, and how often each thing happens."""

    request: RunRequest
    arms: tuple[Arm, ...]
    assumed: Assumptions
    wait_s: float
    looks: int

    @classmethod
    def of(cls, request: RunRequest, assumed: Assumptions) -> _Course:
        """The course of a run whose arms all wait as long for their first delivery."""
        wanted_s = min(assumed.first_delivery_s, request.first_delivery_timeout_s)
        waited_s, looks = 0, 0
        while waited_s < wanted_s:
            waited_s += FirstDelivery(polls=looks).next_look_s(request)
            looks += 1
        return cls(request, place(request.arms), assumed, waited_s, looks)

    @property
    def watched_s(self) -> float:
        """How long there are probes and flow logs that see them."""
        return self.wait_s + self.request.traffic_s

    @property
    def sending_s(self) -> float:
        return self.assumed.setup_s + self.watched_s

    @property
    def flow_log_s(self) -> float:
        return self.watched_s + self.request.drain_s

    @property
    def hours(self) -> float:
        return (self.assumed.setup_s + self.flow_log_s + self.assumed.closing_s) / 3_600

    @property
    def transitions(self) -> float:
        return RUN_TRANSITIONS + len(self.arms) * (ARM_TRANSITIONS + LOOK_TRANSITIONS * self.looks)

    @property
    def invocations(self) -> Mapping[str, float]:
        """How often each function is invoked."""
        once = ("PlanRun", "StartTraffic", "StopTraffic", "DeleteFlowLogs")
        after = ("ReconcileRun", "SummarizeRun", "PublishReport")
        return {
            **dict.fromkeys((*once, *after), 1),
            "CreateFlowLog": len(self.arms),
            "CheckFirstDelivery": len(self.arms) * self.looks,
            "DecodeRecords": self.deliveries,
        }

    @property
    def deliveries(self) -> float:
        """Deliveries to CloudWatch Logs."""
        return self._interfaces(CLOUDWATCH) * self.flow_log_s / self.assumed.delivery_every_s

    @property
    def files(self) -> float:
        """Flow-log files in S3."""
        return self._interfaces(S3) * self.flow_log_s / self.assumed.file_every_s

    def records(self, destination: str, file_format: str | None = None) -> float:
        """Flow records of the arms to a destination: of probes, and of what else the instances do."""
        of_probes = self.assumed.records_a_probe * self.request.rate * self.watched_s
        of_others = self.assumed.other_records_a_minute * self.flow_log_s / 60
        return self._interfaces(destination, file_format) * (of_probes + of_others)

    def _interfaces(self, destination: str, file_format: str | None = None) -> int:
        """How many interfaces the arms to a destination see: above the sender's own, the target's too."""
        return sum(
            1 if arm.level == INTERFACE else 2
            for arm in self.arms
            if arm.destination == destination and file_format in (None, arm.file_format)
        )


# ---------------------------------------------------------------- what a run uses
def estimate_run(
    request: RunRequest,
    region: str,
    stack: Stack = _STACK,
    *,
    home: str | None = None,
    assumed: Assumptions = _ASSUMED,
) -> tuple[Item, ...]:
    """What one run costs: what it uses, and its machines while it lasts.

    Args:
        request: what is asked of the run.
        region: where it runs.
        stack: what stands there; the run has its first sender.
        home: the region of the results; None where it is the run's own.
        assumed: what the design leaves open.
    """
    course = _Course.of(request, assumed)
    its_own = replace(stack, senders=stack.senders[:1])
    usage = _usage_of_run(course, stack, is_home=home in (None, region))
    return _priced((*_machines(its_own, course.hours, assumed), *usage), region)


def _usage_of_run(course: _Course, stack: Stack, *, is_home: bool) -> Iterator[_Usage]:
    yield _Usage("state transitions", "step-functions", course.transitions)
    yield _Usage("schedule", "scheduler", 1)
    yield from _functions(course.invocations, stack)
    yield from _flow_logs(course)
    yield from _objects(course, stack, is_home=is_home)
    yield from _watching(course)


def _machines(stack: Stack, hours: float, assumed: Assumptions) -> Iterator[_Usage]:
    for role, instance_type in stack.machines:
        yield _Usage(f"{role} {instance_type}", f"ec2-{instance_type}", hours)
    number = len(stack.machines)
    yield _Usage("public IPv4 addresses", "public-ipv4", number * hours)
    yield _Usage("disks", "gp3", number * assumed.disk_gb * hours / HOURS_A_MONTH)


def _functions(invocations: Mapping[str, float], stack: Stack) -> Iterator[_Usage]:
    gb_seconds = sum(
        number * FUNCTIONS[name].memory_mb / 1_024 * FUNCTIONS[name].seconds for name, number in invocations.items()
    )
    yield _Usage("function time", f"lambda-{stack.processor}", gb_seconds)
    yield _Usage("function requests", "lambda-request", sum(invocations.values()))
    yield _Usage("dead-letter queues", "sqs", 0)  # requests come with failures only


def _flow_logs(course: _Course) -> Iterator[_Usage]:
    assumed = course.assumed
    line, event = assumed.record_bytes, assumed.record_bytes + assumed.event_overhead_bytes
    to_cloudwatch = course.records(CLOUDWATCH) * event / _GB
    yield _Usage("flow logs to CloudWatch Logs", "vended-logs-cloudwatch", to_cloudwatch)
    yield _Usage("flow logs to S3", "vended-logs-s3", course.records(S3) * line / _GB)
    yield _Usage("Parquet conversion", "parquet-conversion", course.records(S3, PARQUET) * line / _GB)
    yield _Usage("flow log storage", "logs-storage", to_cloudwatch * assumed.flow_log_days / DAYS_A_MONTH)


def _objects(course: _Course, stack: Stack, *, is_home: bool) -> Iterator[_Usage]:
    assumed, arms = course.assumed, len(course.arms)
    growing = 1 if stack.target is None else 2  # the ledger, and the capture
    results = arms * (course.request.rate * course.watched_s * assumed.result_bytes_a_probe + assumed.profile_bytes)
    profiles = arms * assumed.reported_runs
    stored = results + course.deliveries * assumed.landing_bytes + course.records(S3) * assumed.file_bytes_a_record
    looks = arms * course.looks
    uploads = growing * course.sending_s / assumed.upload_every_s
    rows = 2 + 3 * arms  # the run and its ledger; observations, first delivery and profile of each arm
    report = 3 + profiles / 1_000  # page, data and badge; the lists of the profiles
    documents = 6 + arms + looks  # plan, stop, claim and the like; creation; check
    lists = looks + 3 * arms
    yield _Usage(
        "S3 writes and lists",
        "s3-write",
        uploads + course.deliveries + course.files + rows + report + documents + lists,
    )
    yield _Usage(
        "S3 reads",
        "s3-read",
        sum(course.invocations.values()) + course.deliveries + 2 * course.files + 5 * arms + profiles,
    )
    yield _Usage("S3 storage, first month", "s3-storage", stored / _GB)
    reporting = profiles * assumed.profile_bytes + assumed.report_bytes  # from home, and back
    yield _Usage("results and report between regions", "transfer", 0 if is_home else (results + reporting) / _GB)


def _watching(course: _Course) -> Iterator[_Usage]:
    assumed = course.assumed
    metrics = assumed.run_metrics + assumed.arm_metrics * len(course.arms)
    yield _Usage("metrics", "metric", metrics * assumed.metric_hours / HOURS_A_MONTH)
    yield from _function_logs(sum(course.invocations.values()), assumed)


def _function_logs(invocations: float, assumed: Assumptions) -> Iterator[_Usage]:
    gb = invocations * assumed.function_log_bytes / _GB
    yield _Usage("function logs", "logs-ingestion", gb)
    yield _Usage("function log storage", "logs-storage", gb * assumed.function_log_days / DAYS_A_MONTH)


def cost_usd(plan: RunPlan) -> float | None:
    """What a planned run costs: what it uses, and its machines while it lasts; None where no price is known.

    A run on this machine, or a simulated one, has no price.
    """
    if plan.source != AWS or plan.region not in REGIONS or plan.instance_type not in INSTANCE_TYPES:
        return None
    stack = Stack(senders=(plan.instance_type,), target=_STACK.target if plan.target_instance_id else None)
    return total_usd(estimate_run(plan.request, plan.region, stack))


# ---------------------------------------------------------------- a campaign
@dataclass(frozen=True, slots=True, kw_only=True)
class RegionEstimate:
    """What a campaign costs in one region.

    Attributes:
        region: its name.
        runs: how many.
        run: what each of them uses.
        machines: those of a run, while it lasts.
        standing: what the stack costs over the whole campaign, its machines by day and night.
    """

    region: str
    runs: int
    run: tuple[Item, ...]
    machines: tuple[Item, ...]
    standing: tuple[Item, ...]

    @property
    def run_usd(self) -> float:
        """What a run adds to the bill."""
        return total_usd(self.run)

    @property
    def run_with_machines_usd(self) -> float:
        """What a run costs if its machines stood for it alone."""
        return self.run_usd + total_usd(self.machines)

    @property
    def usd(self) -> float:
        """The campaign."""
        return self.runs * self.run_usd + total_usd(self.standing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What the runs of one experiment cost, over days and regions.

    Attributes:
        runs_per_day: on each sender.
        days: how long the stacks stand.
        run_hours: how long a run takes.
        regions: the first is home.
    """

    runs_per_day: int
    days: int
    run_hours: float
    regions: tuple[RegionEstimate, ...]

    @property
    def usd(self) -> float:
        """All of it."""
        return sum(each.usd for each in self.regions)

    @property
    def idle_share(self) -> float:
        """For what share of the time the machines stand idle."""
        return 1 - self.runs_per_day * self.run_hours / HOURS_A_DAY


def estimate_campaign(
    request: RunRequest,
    regions: Sequence[str],
    *,
    runs_per_day: int,
    days: int,
    stack: Stack = _STACK,
    assumed: Assumptions = _ASSUMED,
) -> Campaign:
    """What a campaign costs: its runs, and what stands by day and night.

    Args:
        request: what is asked of each run.
        regions: where it runs; the first one is home.
        runs_per_day: on each sender; 0 is a stack that only waits.
        days: how long the stacks stand.
        stack: what stands in each region.
        assumed: what the design leaves open.

    Raises:
        InvalidRequest: no region, one twice, no whole day, or more runs than fit a day one after the other.
    """
    if not regions or len(set(regions)) != len(regions):
        raise InvalidRequest("a campaign has one region or more, and none twice")
    if runs_per_day < 0 or days < 1:
        raise InvalidRequest("a campaign has 0 runs a day or more, and one day or more")
    run_hours = _Course.of(request, assumed).hours
    if runs_per_day * run_hours > HOURS_A_DAY:
        raise InvalidRequest(
            f"{runs_per_day} runs of {run_hours:.1f} hours, one after the other, do not fit a day: "
            f"have {int(HOURS_A_DAY / run_hours)} or fewer, or shorter ones"
        )
    home = regions[0]

    def estimate(region: str) -> RegionEstimate:
        items = estimate_run(request, region, stack, home=home, assumed=assumed)
        return RegionEstimate(
            region=region,
            runs=runs_per_day * days * len(stack.senders),
            run=tuple(item for item in items if not item.is_machine),
            machines=tuple(item for item in items if item.is_machine),
            standing=_priced(_standing(stack, days, assumed, is_home=region == home), region),
        )

    return Campaign(
        runs_per_day=runs_per_day, days=days, run_hours=run_hours, regions=tuple(map(estimate, regions))
    )


def _standing(stack: Stack, days: int, assumed: Assumptions, *, is_home: bool) -> Iterator[_Usage]:
    months = days / DAYS_A_MONTH
    sweeps = days * assumed.sweeps_a_day
    queries = days * assumed.queries_a_day if is_home else 0
    yield from _machines(stack, days * HOURS_A_DAY, assumed)
    yield _Usage("alarms", "alarm", assumed.alarm_metrics * months)
    yield _Usage("dashboard", "dashboard", assumed.dashboards * months if is_home else 0)
    yield from _functions({"Sweep": sweeps}, stack)
    yield _Usage("schedule of sweeps", "scheduler", sweeps)
    yield from _function_logs(sweeps, assumed)
    yield _Usage("queries", "athena", queries * assumed.query_bytes / _TB)
