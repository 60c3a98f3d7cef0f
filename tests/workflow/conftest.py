"""Every run of a cloud starts at once, a few at a time; each test then awaits its own."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.workflow.clouds import CLOUDS, running
from tests.workflow.stack import Run, Scenario, Stack
from tests.workflow.world import World

AT_ONCE = 4

type Runs = dict[Scenario, Future[Run]]


@pytest.fixture(scope="session", params=CLOUDS)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """The runs of a cloud that the selected tests ask for, under way."""
    name = request.param
    selected = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    scenarios = dict.fromkeys(params["run"] for params in selected if params.get("runs") == name)
    folder = tmp_path_factory.mktemp(name)
    with (
        running(name, folder) as cloud,
        World(cloud) as world,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        stack = Stack(cloud, world, folder)
        yield {scenario: pool.submit(stack.run, scenario) for scenario in scenarios}
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def run(request: pytest.FixtureRequest, runs: Runs) -> Run:
    """The run of a scenario, ended."""
    return runs[request.param].result()
