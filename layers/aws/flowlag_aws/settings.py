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
class Results(FromEnvironment):
    """Where results go."""

    results_bucket: str


@dataclass(frozen=True, slots=True)
class Planning(Results):
    """What PlanRun needs to know of the stack."""

    source: str
    sender_instance_id: str
    target_instance_id: str
    target_port: str
    code_version: str


@dataclass(frozen=True, slots=True)
class Traffic(Results):
    """What StartTraffic and StopTraffic need to know of the stack."""

    traffic_document: str


@dataclass(frozen=True, slots=True)
class LogGroups(Results):
    """Where the stack keeps the log groups of its arms."""

    log_group_prefix: str


@dataclass(frozen=True, slots=True)
class FlowLogCreation(LogGroups):
    """What CreateFlowLog needs to know of the stack."""

    decode_function_arn: str
    delivery_role_arn: str
