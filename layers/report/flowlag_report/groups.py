"""Groups: the flow logs that the report speaks of as one, an arm on one hypervisor, over all its runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from flowlag.plan import CLOUDWATCH, NITRO, PARQUET, S3, XEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flowlag_report.profile import Profile
    from flowlag_stats.samples import RunSample

_FORMATS: Final = {PARQUET: "Parquet"}
_HYPERVISORS: Final = {XEN: "Xen", NITRO: "Nitro"}
_HEADLINE_INTERVAL_S: Final = 600
"""What a flow log has if nothing else is asked for."""


@dataclass(frozen=True, eq=False)
class Group:
    """One arm on one hypervisor.

    Attributes:
        name: unique among groups.
        label: the same for people.
        profiles: of its runs, in order of time; at least one.
    """

    name: str
    label: str
    profiles: Sequence[Profile]

    @cached_property
    def samples(self) -> list[RunSample]:
        """What its runs measured."""
        return samples_of(self.profiles)


def samples_of(profiles: Iterable[Profile]) -> list[RunSample]:
    """A sample for each profile that has a probe, delivered or missing."""
    return [sample for profile in profiles if (sample := profile.sample)]


def groups_of(profiles: Iterable[Profile]) -> list[Group]:
    """The groups, CloudWatch Logs before S3 and short intervals before long ones; runs in order of time."""
    by_key: dict[tuple[str, str | None], list[Profile]] = defaultdict(list)
    for profile in profiles:
        by_key[profile.arm, profile.hypervisor].append(profile)
    several = len({hypervisor for _, hypervisor in by_key}) > 1
    plain = Counter(_label(members[0], with_hypervisor=several) for members in by_key.values())
    found = []
    for (arm, hypervisor), members in sorted(by_key.items(), key=lambda each: _rank(each[1][0])):
        name = ".".join(filter(None, (arm or "flow-log", hypervisor if several else None)))
        label = _label(members[0], with_hypervisor=several)
        if plain[label] > 1:
            label = _label(members[0], with_hypervisor=several, also=arm)
        found.append(Group(name, label, sorted(members, key=lambda each: (each.started_at, each.run_id))))
    return found


def headline(groups: Sequence[Group]) -> Group:
    """The group that the first sentence is about: CloudWatch Logs at the default interval, if there is one."""
    first = (group for group in groups if _is_default(group.profiles[0]))
    return next(first, groups[0])


def _is_default(profile: Profile) -> bool:
    return (profile.destination, profile.aggregation_interval_s) == (CLOUDWATCH, _HEADLINE_INTERVAL_S)


def _rank(profile: Profile) -> tuple[bool, int, str, str]:
    interval_s = profile.aggregation_interval_s or 0
    return profile.destination != CLOUDWATCH, interval_s, profile.arm, profile.hypervisor or ""


def _label(profile: Profile, *, with_hypervisor: bool, also: str | None = None) -> str:
    kind = _FORMATS.get(profile.file_format or "", "text")
    where = {CLOUDWATCH: "CloudWatch Logs", S3: f"S3 {kind}"}.get(
        profile.destination or "", profile.arm or "flow log"
    )
    interval_s = profile.aggregation_interval_s
    hypervisor = _HYPERVISORS.get(profile.hypervisor or "", profile.hypervisor) if with_hypervisor else None
    details = ", ".join(filter(None, (f"{interval_s} s" if interval_s else None, hypervisor, also)))
    return f"{where} ({details})" if details else where
