"""Every scenario of a cloud is under way at once, a few at a time; each test then awaits its own."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import pytest

from tests.workflow.clouds import CLOUDS, running
from tests.workflow.stack import Run, Scenario, Stack, publish_layers
from tests.workflow.world import World

AT_ONCE = 3
"""Stacks of a cloud. Each has one sender, and so one run at a time."""

type Results = dict[Scenario, Future[Any]]


@pytest.fixture(scope="session", params=CLOUDS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    """The scenarios that the selected tests ask for, under way on a cloud."""
    name = request.param
    selected = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    scenarios = dict.fromkeys(params["result"] for params in selected if params.get("results") == name)
    folder = tmp_path_factory.mktemp(name)
    with (
        running(name, folder) as cloud,
        World(cloud) as world,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        layers = publish_layers(cloud)
        free: SimpleQueue[Stack] = SimpleQueue()
        for number in range(AT_ONCE):
            free.put(Stack(f"flowlag-{number}", cloud, world, layers, folder))
        yield {scenario: pool.submit(play, scenario, free) for scenario in scenarios}
        pool.shutdown(cancel_futures=True)


def play(scenario: Scenario, free: "SimpleQueue[Stack]") -> Any:
    """Play a scenario on a stack that is free."""
    stack = free.get()
    try:
        return scenario.story(stack, scenario)
    finally:
        free.put(stack)


@pytest.fixture
def result(request: pytest.FixtureRequest, results: Results) -> Any:
    """What came of a scenario."""
    return results[request.param].result()


@pytest.fixture
def run(result: Run) -> Run:
    """The run of a scenario that is one run, ended."""
    return result
