"""Whatever ends it: afterwards the machine is as it was before."""

import os
import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from local.sam_local import debian
from local.sam_local.engine import NoEngine, PrivateDocker
from local.sam_local.places import CACHE, WORK
from tests.local.stacks import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or platform.system() != "Linux", reason="only root starts an engine of its own, on Linux"
    ),
]

UP = "engine"

ENGINE = """
import os, sys
from local.sam_local.engine import PrivateDocker
from local.sam_local.image import image_name
from local.sam_local.sam import PYTHON_OF_SAM
with PrivateDocker() as engine:
    engine.provide(image_name())
    ask = [str(PYTHON_OF_SAM), "-I", "local/sam_local/ask_engine.py", "about", image_name()]  # runs a container
    assert engine.popen(ask, env={{**os.environ, **engine.environment}}, stdout=2).wait() == 0
    sleeper = engine.popen(["sleep", "1000"], env=dict())
    print("engine", flush=True)
    input()
    {then}
"""


def machine():
    """What anybody may see of an engine: links, named namespaces, mounts, files of the system."""
    mounts = Path("/proc/mounts").read_text().splitlines()
    places = ("/etc/docker", "/opt/containerd", "/run/containerd", "/run/docker", "/run/docker.sock")
    return {
        "links": {each.name for each in Path("/sys/class/net").iterdir()},
        "namespaces": {each.name for each in Path("/run/netns").glob("*")},
        "mounts": {line for line in mounts if "docker" in line or str(WORK) in line},
        "files": {place for place in places if Path(place).exists()},
    }


@dataclass
class Engine:
    """What an engine's owner has started, and the folder that its control groups are called like."""

    processes: list
    folder: Path

    @classmethod
    def of(cls, owner):
        processes = psutil.Process(owner.pid).children(recursive=True)
        words = [Path(word) for each in processes for word in each.cmdline()]
        (folder,) = {word for word in words if word.parent == WORK / "engines"}
        return cls(processes, folder)

    def cgroups(self):
        return [
            *Path("/sys/fs/cgroup").glob(self.folder.name),
            *Path("/sys/fs/cgroup").glob(f"*/{self.folder.name}"),
        ]

    def is_up(self):
        names = {each.name() for each in self.processes}
        return {"containerd", "dockerd"} <= names and self.folder.exists() and self.cgroups() != []

    def remains(self):
        _, alive = psutil.wait_procs(self.processes, timeout=60)
        eventually(lambda: (self.folder.exists(), self.cgroups()), lambda found: found == (False, []))
        return alive, self.folder.exists(), self.cgroups()


NOTHING = ([], False, [])


@pytest.fixture
def before():
    try:
        debian.unpacked(("docker.io",), CACHE / "docker")
    except debian.NoPackages as reason:
        pytest.skip(str(reason))
    return machine()


def start(*argv):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, *argv], **pipes, text=True, start_new_session=True)


def await_engine(process):
    for line in process.stdout:
        if UP in line:
            return
    pytest.fail(process.stderr.read())


@pytest.mark.parametrize("then", ["sys.exit(0)", "raise LookupError"], ids=["end", "failure"])
def test_an_engine_that_ends(before, then):
    with start("-c", ENGINE.format(then=then)) as process:
        await_engine(process)
        engine = Engine.of(process)
        assert engine.is_up()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(60) == ("raise" in then)
    assert engine.remains() == NOTHING
    assert machine() == before


def test_an_engine_whose_owner_is_killed(before):
    with start("-c", ENGINE.format(then="")) as process:
        await_engine(process)
        engine = Engine.of(process)
        process.kill()
    assert engine.remains() == NOTHING
    assert machine() == before


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_the_program_when_it_is_stopped(before, ending):
    """Where it is then: with its engine up, and about to build, or to wait for whoever builds now."""
    with start("-m", "local.sam_local") as process:
        await_engine(process)
        engine = Engine.of(process)
        process.send_signal(ending)
        assert process.wait(120) == 128 + ending
        assert process.stderr.read() == ""
    assert engine.remains() == NOTHING
    assert machine() == before


def test_nobody_but_root_is_told_why(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    with pytest.raises(NoEngine, match="only root can start one"), PrivateDocker():
        pass
