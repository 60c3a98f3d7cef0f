"""The experiment: a run's settings and its matrix of arms, declared in a file.

    rate = 1
    traffic_s = 10_800
    arms = [
      {destination = "cloud-watch-logs", aggregation_interval_s = 60},
      {destination = "s3", file_format = "parquet", aggregation_interval_s = 600},
    ]

The names are those of `RunRequest` and `Arm`, and so are the defaults. A new arm is one more line.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from flowlag.errors import InvalidRequest
from flowlag.plan import RunRequest

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_experiment(name: str, text: str, overrides: Mapping[str, Any] | None = None) -> RunRequest:
    """Read an experiment as TOML; `overrides` are settings that somebody asks for instead.

    Raises:
        InvalidRequest: it is no TOML, or no run that can be made of it. The message names the experiment.
    """
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"experiment '{name}' is not TOML: {error}") from None
    if "experiment" in settings:
        raise InvalidRequest(f"experiment '{name}' does not name itself: its file does")
    try:
        return RunRequest.of_json({**settings, **(overrides or {}), "experiment": name})
    except InvalidRequest as error:
        raise InvalidRequest(f"experiment '{name}': {error}") from None
