"""Settings: what the template tells a function through its environment, as one typed value."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Mapping


class MissingSetting(FlowlagError):
    """The template did not set a variable that the function needs."""


@dataclass(frozen=True, slots=True)
class FromEnvironment:
    """Base of settings: each field is the variable of its name in capitals."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings.

        Raises:
            MissingSetting: names the variable that is absent.
        """
        values = {field.name: environment.get(field.name.upper()) for field in fields(cls)}
        for name, value in values.items():
            if value is None:
                raise MissingSetting(f"the environment variable {name.upper()} is not set; the template sets it")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Work(FromEnvironment):
    """The bucket by which the functions of a run hand over."""

    work_bucket: str


@dataclass(frozen=True, slots=True)
class Results(Work):
    """Where results go: the home region's bucket."""

    results_bucket: str
    results_region: str


@dataclass(frozen=True, slots=True)
class Planning(Work):
    """What PlanRun needs to know of the stack.

    `sender_instance_ids` is a list with commas. `target_instance_id` is empty where the target is somebody's own.
    """

    source: str
    sender_instance_ids: str
    target_instance_id: str
    target_address: str
    target_port: str
    code_version: str


@dataclass(frozen=True, slots=True)
class Traffic(Work):
    """What StartTraffic and StopTraffic need to know of the stack."""

    traffic_document: str


@dataclass(frozen=True, slots=True)
class FlowLogCreation(Work):
    """What CreateFlowLog needs to know of the stack."""

    log_group_prefix: str
    decode_function_arn: str
    delivery_role_arn: str
    partition: str


@dataclass(frozen=True, slots=True)
class Sweeping(Results):
    """What Sweep needs to know of the stack."""

    traffic_document: str
    log_group_prefix: str
    state_machine_arn: str


@dataclass(frozen=True, slots=True)
class Emptying(Work):
    """What EmptyStack needs to know of the stack."""

    log_group_prefix: str
    state_machine_arn: str
