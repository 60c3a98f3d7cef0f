"""What the tests of the sender share: an order, a stand-in for the AWS CLI, and an instance on a real network."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from local.network.virtual import Host, Network, unavailable
from sender.order import Order
from sender.processes import end, holder, lock_of

WORKERS = ("send", "capture", "ship-ledger", "ship-capture")

AWS_STAND_IN = """#!/bin/sh
# aws s3 cp --only-show-errors FILE s3://BUCKET/KEY
test "$1 $2 $3" = "s3 cp --only-show-errors" || exit 64
to="$BUCKETS/${5#s3://}"
mkdir -p "${to%/*}"
echo "$to" >> "$BUCKETS/uploads"
cp "$4" "$to"
"""

CHRONYC_STAND_IN = """#!/bin/sh
# chronyc -c tracking, of a clock that is 12 us behind
test "$*" = "-c tracking" || exit 64
echo A9FEA97B,169.254.169.123,4,1795420800.5,0.000012,0.000001,0.000009,-6.2,0.001,0.02,0.0004,0.0002,16.1,Normal
"""


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order(
        run_id="run-1",
        bucket="results",
        source="10.99.0.10",
        target="10.99.0.20",
        port=7777,
        rate=10,
        payload_bytes=500,
        duration_s=60,
        home=tmp_path / "home",
    )


@dataclass
class Instance:
    """Runs `python -m sender` as the SSM document does, on a host of the network or on none."""

    order: Order
    environment: dict[str, str]
    host: Host | None = None
    python: str = sys.executable
    directory: Path = field(default_factory=Path.cwd)

    def run(self, action: str, *more: str) -> subprocess.CompletedProcess[str]:
        argv = [self.python, "-m", "sender", action, *self.order.arguments(), *more]
        options = {"cwd": self.directory, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        if self.host is None:
            process = subprocess.Popen(argv, env=self.environment, **options)
        else:
            process = self.host.popen(argv, env=self.environment, **options)
        # Reads until the last writer is gone, as SSM does: a worker that kept a pipe open would make this fail.
        stdout, stderr = process.communicate(timeout=50)
        return subprocess.CompletedProcess(argv, process.returncode, stdout.decode(), stderr.decode())

    def answer(self, action: str) -> dict[str, float | None]:
        """What a successful `action` printed."""
        done = self.run(action)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def worker(self, action: str) -> int | None:
        """The id of the process that does `action` now."""
        return holder(lock_of(action, self.order))


@pytest.fixture
def buckets(tmp_path: Path) -> Path:
    path = tmp_path / "buckets"
    path.mkdir()
    return path


@pytest.fixture
def environment(order: Order, buckets: Path, tmp_path: Path) -> dict[str, str]:
    """All that an instance gives to the sender: a stand-in for chronyc, and for an AWS CLI that fills `buckets`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("aws", AWS_STAND_IN), ("chronyc", CHRONYC_STAND_IN)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path / "nobody"),
        "FLOWLAG_HOME": str(order.home),
        "BUCKETS": str(buckets),
    }


@pytest.fixture
def without_tcpdump(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The same, on an instance that has no tcpdump."""
    programs = tmp_path / "few"
    programs.mkdir()
    for name in ("cp", "mkdir"):
        (programs / name).symlink_to(shutil.which(name))
    return environment | {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{programs}"}


@pytest.fixture
def instance(order: Order, environment: dict[str, str]) -> Instance:
    """An instance without a network: enough for all that neither sends nor captures."""
    return Instance(order, environment)


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Network() as network:
        yield network


@pytest.fixture
def instances(
    network: Network, order: Order, environment: dict[str, str]
) -> Iterator[Callable[..., tuple[Instance, Instance]]]:
    """Make the sender and the target of a run; nothing of them outlives the test."""
    made: list[Order] = []

    def make(**changed: object) -> tuple[Instance, Instance]:
        made.append(replace(order, **changed))
        hosts = (network.sender, network.target)
        return tuple(Instance(made[-1], environment, host) for host in hosts)

    yield make
    for each in made:
        for action in WORKERS:
            end(lock_of(action, each), patience_s=10)
