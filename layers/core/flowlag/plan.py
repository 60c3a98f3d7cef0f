"""The plan of a run: what was asked for, joined to what the region looks like. Everything later reads it.

A plan is written once, by PlanRun, as JSON; the functions of the run and the decoder get `run_id` and load it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from flowlag.errors import InvalidRequest
from flowlag.record import PROBE_FORMAT
from flowlag.signature import RUN_ID, payload_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import UnionType

    from flowlag.instants import Micros

CLOUDWATCH: Final = "cloud-watch-logs"
"""A destination, as `LogDestinationType` of CreateFlowLogs names it."""

AWS: Final = "aws"
LOCAL: Final = "local"
SIMULATED: Final = "simulated"
SOURCES: Final = (AWS, LOCAL, SIMULATED)
"""Where data comes from. Never mixed in one statistic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One flow log of a run: destination x file format x aggregation interval, on one sender."""

    destination: str = CLOUDWATCH
    aggregation_interval_s: int = 600
    file_format: str | None = None

    def __post_init__(self) -> None:
        if self.destination != CLOUDWATCH:
            raise InvalidRequest(f"an arm's destination is '{CLOUDWATCH}', not '{self.destination}'")
        if self.file_format is not None:
            raise InvalidRequest(f"an arm to '{CLOUDWATCH}' has no file_format, not '{self.file_format}'")
        # 60.0 equals 60, but would be part of the arm's name and refused by CreateFlowLogs.
        if type(self.aggregation_interval_s) is not int or self.aggregation_interval_s not in (60, 600):
            raise InvalidRequest(
                f"an arm's aggregation_interval_s is 60 or 600, not {self.aggregation_interval_s!r}"
            )

    @property
    def name(self) -> str:
        """The arm in one word, unique within a run."""
        return f"cloudwatch-{self.aggregation_interval_s}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What somebody may ask of a run; the defaults are a three-hour run on AWS. Durations in seconds."""

    rate: int = 1
    traffic_s: int = 10_800
    first_delivery_timeout_s: int = 2_700
    poll_interval_s: int = 30
    drain_s: int = 1_500
    burst_gap_s: float = 30.0
    arms: tuple[Arm, ...] = (Arm(),)

    def __post_init__(self) -> None:
        for name, (kind, low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
                number = "whole number" if kind is int else "number"
                raise InvalidRequest(f"{name} is a {number} from {low} to {high}, not {value!r}")
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) != len(names):
            raise InvalidRequest("a run has one arm or more, and no two alike")

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
                raise InvalidRequest(
                    "arms is a list of objects with destination and aggregation_interval_s"
                ) from None
        return cls(**settings)

    @property
    def longest_traffic_s(self) -> int:
        """After how long the sender stops by itself, should nobody stop it."""
        return self.first_delivery_timeout_s + self.traffic_s + _STOP_GRACE_S


_STOP_GRACE_S = 600

_BOUNDS: Final[Mapping[str, tuple[type[int] | UnionType, float, float]]] = {
    "rate": (int, 1, 10),
    "traffic_s": (int, 1, 86_400),
    "first_delivery_timeout_s": (int, 1, 7_200),
    "poll_interval_s": (int, 1, 600),
    "drain_s": (int, 1, 7_200),
    "burst_gap_s": (int | float, 0.01, 600),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The place a run is measured in: one region, its sender and its target."""

    source: str
    region: str
    az_id: str | None
    instance_type: str | None
    hypervisor: str | None
    sender_instance_id: str
    interface_id: str
    sender_address: str
    target_instance_id: str
    target_address: str
    target_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan(Site):
    """A run, fully decided."""

    run_id: str
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
    def arms(self) -> tuple[Arm, ...]:
        """The flow logs of the run."""
        return self.request.arms

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


def plan_run(run_id: str, request: RunRequest, site: Site, *, now: Micros, code_version: str) -> RunPlan:
    """Decide a run.

    Raises:
        InvalidRequest: the run's name is not usable everywhere it goes.
    """
    if not RUN_ID.fullmatch(run_id):
        raise InvalidRequest(f"a run id is 1 to 64 letters, digits, '-' or '_', not '{run_id[:80]}'")
    return RunPlan(
        **asdict(site),
        run_id=run_id,
        planned_at=now,
        code_version=code_version,
        request=request,
        payload_bytes=payload_bytes(run_id),
        log_format=PROBE_FORMAT.log_format,
    )
