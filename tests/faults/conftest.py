"""What the runs with planted faults need: whole ones, on the embedded AWS, and those in virtual time, on moto."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowlag.plan import RunPlan, RunRequest
from local.cloud.region import Region
from local.flow_logs.faults import NONE, Faults
from tests.faults.runs import OPTIONS, Stack
from tests.faults.virtual import VirtualRun
from tests.functions.conftest import (
    cloud,
    decoder,
    guard,
    guarded_clients,
    on_an_interface,
    parameters,
    template,
)
from tests.functions.stack import Cloud

__all__ = ["cloud", "decoder", "guard", "guarded_clients", "on_an_interface", "parameters", "template"]


@pytest.fixture(scope="module")
def faults() -> Faults:
    """What goes wrong: each module says it."""
    return NONE


@pytest.fixture(scope="module")
def stack(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack in a region with these faults."""
    state = tmp_path_factory.mktemp("state")
    with Region(preset=OPTIONS.preset, time_scale=OPTIONS.time_scale, faults=faults, state_dir=state) as region:
        yield Stack(region)


@pytest.fixture
def take_place(
    cloud: Cloud, decoder: str, on_an_interface: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., VirtualRun]:
    """A run in virtual time that has taken place."""
    assert decoder  # it is there

    def take_place(request: RunRequest, *, began_at: int, traffic_s: int, faults: Faults = NONE) -> VirtualRun:
        run = VirtualRun(
            cloud,
            on_an_interface,
            request,
            began_at=began_at,
            traffic_s=traffic_s,
            home=tmp_path,
            monkeypatch=monkeypatch,
            faults=faults,
        )
        return run.take_place()

    return take_place
