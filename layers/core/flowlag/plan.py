"""The plan of a run: what was asked for, joined to what the region looks like. Everything later reads it.

A plan is written once, by PlanRun, as JSON; the functions of the run and the decoder get `run_id` and load it.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from flowlag.address import check_private
from flowlag.errors import InvalidRequest
from flowlag.record import PROBE_FORMAT
from flowlag.signature import RUN_ID, payload_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import UnionType

    from flowlag.instants import Micros

CLOUDWATCH: Final = "cloud-watch-logs"
S3: Final = "s3"
DESTINATIONS: Final = (CLOUDWATCH, S3)
"""Destinations, as `LogDestinationType` of CreateFlowLogs names them."""

PLAIN_TEXT: Final = "plain-text"
PARQUET: Final = "parquet"
FILE_FORMATS: Final = (PLAIN_TEXT, PARQUET)
"""File formats in S3, as `DestinationOptions` of CreateFlowLogs names them."""

INTERFACE: Final = "interface"
SUBNET: Final = "subnet"
VPC: Final = "vpc"
LEVELS: Final = (INTERFACE, SUBNET, VPC)
"""What a flow log can be created on, from near to far: the sender's network interface, its subnet, its VPC."""

FLOW_LOGS_PER_RESOURCE: Final = 2
"""A VPC quota until its row was taken out of the documentation on 2019-06-27; whether it still holds is unknown."""

XEN: Final = "xen"
NITRO: Final = "nitro"
HYPERVISORS: Final = (XEN, NITRO)

AWS: Final = "aws"
LOCAL: Final = "local"
SIMULATED: Final = "simulated"
SOURCES: Final = (AWS, LOCAL, SIMULATED)
"""Where data comes from. Never mixed in one statistic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One flow log of a run: destination x file format x aggregation interval, on one sender.

    Attributes:
        destination: of `DESTINATIONS`.
        aggregation_interval_s: the longest, in seconds: 60 or 600.
        file_format: of `FILE_FORMATS` in S3, where it is plain text if not said; None in CloudWatch Logs.
        hive_compatible: S3 keys as Hive partitions.
        per_hour: S3 keys by the hour.
        level: of `LEVELS`; None leaves it to the plan, which has at most two flow logs on one resource.
    """

    destination: str = CLOUDWATCH
    aggregation_interval_s: int = 600
    file_format: str | None = None
    hive_compatible: bool = False
    per_hour: bool = False
    level: str | None = None

    def __post_init__(self) -> None:
        _one_of(DESTINATIONS, "destination", self.destination)
        # 60.0 equals 60, but would be part of the arm's name and refused by CreateFlowLogs.
        if type(self.aggregation_interval_s) is not int or self.aggregation_interval_s not in (60, 600):
            raise InvalidRequest(
                f"an arm's aggregation_interval_s is 60 or 600, not {self.aggregation_interval_s!r}"
            )
        for name in ("hive_compatible", "per_hour"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidRequest(f"an arm's {name} is true or false, not {getattr(self, name)!r}")
        if self.destination == S3:
            if self.file_format is None:
                object.__setattr__(self, "file_format", PLAIN_TEXT)
            _one_of(FILE_FORMATS, "file_format", self.file_format)
        elif self.file_format is not None or self.hive_compatible or self.per_hour:
            raise InvalidRequest(
                f"an arm to '{CLOUDWATCH}' has no file_format, hive_compatible or per_hour: they shape files in S3"
            )
        if self.level is not None:
            _one_of(LEVELS, "level", self.level)

    @property
    def name(self) -> str:
        """The arm in one word, unique within a run."""
        parts = ["cloudwatch"] if self.destination == CLOUDWATCH else ["s3", _FORMAT_NAMES[str(self.file_format)]]
        parts.append(str(self.aggregation_interval_s))
        parts += ["hive"] if self.hive_compatible else []
        parts += ["hourly"] if self.per_hour else []
        parts += [self.level] if self.level else []
        return "-".join(parts)


_FORMAT_NAMES: Final = {PLAIN_TEXT: "text", PARQUET: "parquet"}


def _one_of(known: Sequence[str], name: str, value: object) -> None:
    if value not in known:
        raise InvalidRequest(f"an arm's {name} is one of {', '.join(known)}, not {value!r}")


def place(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Give each arm its level: the one it asks for, else the nearest with room for another flow log.

    Raises:
        InvalidRequest: more arms than a run has room for at once, in all or on one level.
    """
    room = {level: FLOW_LOGS_PER_RESOURCE - sum(arm.level == level for arm in arms) for level in LEVELS}
    for level, left in room.items():
        if left < 0:
            raise InvalidRequest(
                f"a resource has at most {FLOW_LOGS_PER_RESOURCE} flow logs at once, and this run wants "
                f"{FLOW_LOGS_PER_RESOURCE - left} on level '{level}': name another level, or none"
            )
    if len(arms) > len(LEVELS) * FLOW_LOGS_PER_RESOURCE:
        raise InvalidRequest(
            f"a run has at most {len(LEVELS) * FLOW_LOGS_PER_RESOURCE} arms at once, not {len(arms)}: "
            "put the others into an experiment of their own, to follow this one"
        )
    free = iter([level for level, left in room.items() for _ in range(left)])
    return tuple(replace(arm, level=arm.level or next(free)) for arm in arms)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What somebody may ask of a run; the defaults are a three-hour run on AWS. Durations in seconds.

    Attributes:
        experiment: the name of the experiment that asks; empty for a request of one's own.
        sender: the hypervisor of the sender that is to send, where a stack has two; None takes the first.
        rate: probes a second.
        traffic_s: how long traffic is measured, once every arm has had its first delivery.
        first_delivery_timeout_s: how long a first delivery is waited for.
        poll_interval_s: time before the first look for a first delivery; it grows from look to look.
        longest_poll_interval_s: what it grows to. The looks decide only when to stop looking.
        drain_s: how long records are waited for after the last probe.
        burst_gap_s: deliveries that are nearer together are one burst.
        arms: the flow logs that watch.
    """

    experiment: str = ""
    sender: str | None = None
    rate: int = 1
    traffic_s: int = 10_800
    first_delivery_timeout_s: int = 2_700
    poll_interval_s: int = 30
    longest_poll_interval_s: int = 240
    drain_s: int = 1_500
    burst_gap_s: float = 30.0
    arms: tuple[Arm, ...] = (Arm(),)

    def __post_init__(self) -> None:
        for name, (kind, low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
                number = "whole number" if kind is int else "number"
                raise InvalidRequest(f"{name} is a {number} from {low} to {high}, not {value!r}")
        experiment: object = self.experiment
        if not (isinstance(experiment, str) and _EXPERIMENT.fullmatch(experiment)):
            raise InvalidRequest(f"an experiment's name is up to 40 of a-z, 0-9 and '-', not {experiment!r:.60}")
        if self.sender is not None and self.sender not in HYPERVISORS:
            raise InvalidRequest(f"sender is one of {', '.join(HYPERVISORS)}, not {self.sender!r:.40}")
        if self.poll_interval_s > self.longest_poll_interval_s:
            raise InvalidRequest("poll_interval_s is not longer than longest_poll_interval_s")
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) != len(names):
            raise InvalidRequest("a run has one arm or more, and no two alike")
        place(self.arms)

    @classmethod
    def of_json(cls, request: object) -> RunRequest:
        """Read a request as it comes from a schedule or a person.

        Raises:
            InvalidRequest: it is no object, a name is unknown, or a value is out of its bounds.
        """
        if not isinstance(request, dict):
            raise InvalidRequest(f"a request is an object of settings, not {request!r:.40}")
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(request) - known)
        if unknown:
            raise InvalidRequest(f"a run has no setting '{unknown[0]}'; it has {', '.join(sorted(known))}")
        settings: dict[str, Any] = dict(request)
        if "arms" in settings:
            try:
                settings["arms"] = tuple(Arm(**arm) for arm in settings["arms"])
            except TypeError:
                known_of_arm = ", ".join(field.name for field in fields(Arm))
                raise InvalidRequest(f"arms is a list of objects with {known_of_arm}") from None
        return cls(**settings)

    @property
    def longest_traffic_s(self) -> int:
        """After how long the sender stops by itself, should nobody stop it."""
        return self.first_delivery_timeout_s + self.traffic_s + _STOP_GRACE_S


_STOP_GRACE_S = 600
_EXPERIMENT: Final = re.compile(r"[a-z0-9-]{0,40}")

_BOUNDS: Final[Mapping[str, tuple[type[int] | UnionType, float, float]]] = {
    "rate": (int, 1, 10),
    "traffic_s": (int, 1, 86_400),
    "first_delivery_timeout_s": (int, 1, 7_200),
    "poll_interval_s": (int, 1, 600),
    "longest_poll_interval_s": (int, 1, 600),
    "drain_s": (int, 1, 7_200),
    "burst_gap_s": (int | float, 0.01, 600),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The place a run is measured in: one region, its sender and its target.

    `target_instance_id` is None where the target is somebody's own, which nobody captures at.
    """

    source: str
    region: str
    az_id: str | None
    instance_type: str | None
    hypervisor: str | None
    sender_instance_id: str
    interface_id: str
    subnet_id: str
    vpc_id: str
    sender_address: str
    target_instance_id: str | None
    target_address: str
    target_port: int

    def __post_init__(self) -> None:
        check_private(self.target_address, "the target's address")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan(Site):
    """A run, fully decided. `execution` is the ARN of the execution that it belongs to."""

    run_id: str
    execution: str
    planned_at: Micros
    code_version: str
    request: RunRequest
    payload_bytes: int
    log_format: str

    @property
    def rate(self) -> int:
        """Probes a second."""
        return self.request.rate

    @property
    def is_captured(self) -> bool:
        """Whether somebody captures at the target."""
        return self.target_instance_id is not None

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The flow logs of the run."""
        return self.request.arms

    def level(self, arm: Arm) -> str:
        """What the flow log of an arm is created on, of `LEVELS`."""
        placed = dict(zip(self.arms, place(self.arms), strict=True))
        return str(placed[arm].level)

    def resource_id(self, arm: Arm) -> str:
        """The id of what the flow log of an arm is created on."""
        return {INTERFACE: self.interface_id, SUBNET: self.subnet_id, VPC: self.vpc_id}[self.level(arm)]

    def arm(self, name: str) -> Arm:
        """The arm called `name`."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise InvalidRequest(f"run '{self.run_id}' has no arm '{name}'")

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        return asdict(self)

    @classmethod
    def of_json(cls, plan: Mapping[str, Any]) -> RunPlan:
        """Read what `to_json` wrote."""
        return cls(**{**plan, "request": RunRequest.of_json(plan["request"])})


def plan_run(
    run_id: str, request: RunRequest, site: Site, *, execution: str, now: Micros, code_version: str
) -> RunPlan:
    """Decide a run.

    Raises:
        InvalidRequest: the run's name is not usable everywhere it goes.
    """
    if not RUN_ID.fullmatch(run_id):
        raise InvalidRequest(f"a run id is 1 to 64 letters, digits, '-' or '_', not '{run_id[:80]}'")
    return RunPlan(
        **asdict(site),
        run_id=run_id,
        execution=execution,
        planned_at=now,
        code_version=code_version,
        request=request,
        payload_bytes=payload_bytes(run_id),
        log_format=PROBE_FORMAT.log_format,
    )
