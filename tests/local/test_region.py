"""The region's process: what it says when it is up, and that it leaves nothing when it ends."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from local.cloud.region import Region, RegionFailed
from tests.ports import port_of_ours

pytestmark = pytest.mark.slow

FUNCTION = b"import time\ndef handler(event, context):\n    time.sleep(event)\n"


@pytest.fixture(autouse=True)
def scratch_of_the_test(tmp_path, monkeypatch):
    """All temporary files of this test and its regions, to look for leftovers in."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return directory


def family(pid):
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def survivors(processes, within_s=20):
    """Those of the processes that are there after so many seconds, zombies aside."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        alive = [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
        if not alive:
            return []
        time.sleep(0.05)
    return alive


def make_busy(region):
    """Have a Lambda worker and commands' hosts running, so that there is something to leave behind."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("busy.py", FUNCTION)
    role = region.client("iam").create_role(RoleName="busy", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    functions = region.client("lambda")
    functions.create_function(
        FunctionName="busy",
        Runtime="python3.13",
        Handler="busy.handler",
        Role=role,
        Code={"ZipFile": code.getvalue()},
    )
    functions.invoke(FunctionName="busy", Payload=b"0")
    functions.invoke(FunctionName="busy", Payload=b"600", InvocationType="Event")


@pytest.fixture(scope="module")
def region():
    with Region(region="eu-central-1", time_scale=60) as region:
        yield region


class TestUp:
    def test_it_answers_where_it_says(self, region):
        assert region.client("sts").get_caller_identity()["Account"] == "000000000000"

    def test_it_plays_the_region_that_was_asked_for(self, region):
        zones = region.client("ec2").describe_availability_zones()["AvailabilityZones"]
        assert {zone["RegionName"] for zone in zones} == {"eu-central-1"}

    def test_it_says_what_the_network_is(self, region):
        assert (region.network, region.reason == "") in {("namespaces", True), ("in-memory", False)}

    def test_it_listens_on_the_loopback_only(self, region):
        listening = {
            connection.laddr.ip
            for process in family(region.pid)
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}

    def test_ministack_keeps_its_files_with_the_regions_own(self, region):
        """It makes this one when it starts, in a place that is the same for all unless it is told another."""
        assert list(region.service_log.parent.rglob("cognito-rsa-key.pem"))

    def test_the_flow_log_service_writes_its_log_there(self, region):
        assert region.service_log.exists()


class TestEnd:
    def test_leaving_it_ends_everything(self, scratch_of_the_test):
        with Region() as region:
            make_busy(region)
            processes = family(region.pid)
            assert len(processes) > 1
            assert list(scratch_of_the_test.iterdir())
        assert survivors(processes) == []
        assert list(scratch_of_the_test.iterdir()) == []

    def test_its_log_stays_where_it_was_asked_to(self, tmp_path):
        with Region(state_dir=tmp_path / "state") as region:
            log = region.service_log
        assert log.parent == tmp_path / "state"
        assert log.exists()
        assert [path.name for path in log.parent.iterdir()] == [log.name]

    def test_an_error_inside_ends_it(self, scratch_of_the_test):
        processes = []
        with pytest.raises(ZeroDivisionError), Region() as region:  # noqa: PT012 - what happens before it, too
            processes += family(region.pid)
            _ = 1 / 0
        assert survivors(processes) == []
        assert list(scratch_of_the_test.iterdir()) == []

    def test_a_killed_region_is_cleaned_up_after(self, scratch_of_the_test):
        with Region() as region:
            make_busy(region)
            processes = family(region.pid)
            os.kill(region.pid, signal.SIGKILL)
        assert survivors(processes) == []
        assert list(scratch_of_the_test.iterdir()) == []

    @pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
    def test_a_region_of_its_own_ends_on_a_signal(self, end, scratch_of_the_test):
        process = subprocess.Popen([sys.executable, "-m", "local.cloud.region"], stdout=subprocess.PIPE)
        facts = json.loads(process.stdout.readline())
        processes = family(process.pid)
        process.send_signal(end)
        assert process.wait(20) == 0
        assert facts["endpoint"].startswith("http://127.0.0.1:")
        assert survivors(processes) == []
        assert list(scratch_of_the_test.iterdir()) == []
        process.stdout.close()


class TestParent:
    """A program that has a region, and dies or is interrupted."""

    PROGRAM = textwrap.dedent("""
        import time
        from local.cloud.region import Region
        with Region() as region:
            print(region.pid, flush=True)
            time.sleep(600)
    """)

    @pytest.fixture
    def parent(self):
        process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        yield process
        process.kill()
        process.wait()
        process.stdout.close()

    def test_the_region_ends_with_a_parent_that_is_killed(self, parent, scratch_of_the_test):
        processes = family(int(parent.stdout.readline()))
        parent.kill()
        assert survivors(processes) == []
        assert list(scratch_of_the_test.iterdir()) == []

    def test_ctrl_c_twice_ends_it_as_once(self, parent, scratch_of_the_test):
        processes = family(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGINT)
        parent.send_signal(signal.SIGINT)
        parent.wait(30)
        assert survivors(processes) == []
        assert list(scratch_of_the_test.iterdir()) == []

    def test_ctrl_c_while_it_starts_ends_it(self, parent, scratch_of_the_test):
        deadline = time.monotonic() + 20
        while not (children := psutil.Process(parent.pid).children()) and time.monotonic() < deadline:
            time.sleep(0.01)
        parent.send_signal(signal.SIGINT)
        parent.wait(30)
        assert survivors(children) == []
        assert list(scratch_of_the_test.iterdir()) == []


class TestFailure:
    def test_a_port_in_use_is_told_in_one_sentence(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            with pytest.raises(RegionFailed) as failure, Region(port=port):
                pass
        assert f"port {port} of 127.0.0.1 cannot be used: Address already in use" in str(failure.value)
        assert "Traceback" not in str(failure.value)

    def test_a_given_port_is_used(self):
        with port_of_ours() as port, Region(port=port) as region:
            assert region.endpoint == f"http://127.0.0.1:{port}"

    def test_an_unknown_preset_is_told(self):
        with pytest.raises(RegionFailed, match="invalid choice: 'xen-7'"), Region(preset="xen-7"):
            pass


def test_nobodys_aws_settings_reach_it(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASOMEBODYELSES")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Region() as region:
        assert region.client("sts").get_caller_identity()["Arn"].endswith(":root")
        make_busy(region)
        (worker,) = (each for each in family(region.pid) if "awslambdaric" in each.cmdline())
        environment = worker.environ()
    assert environment["AWS_ENDPOINT_URL"] == region.endpoint
    assert environment["AWS_ACCESS_KEY_ID"] != "AKIASOMEBODYELSES"
    assert "HTTP_PROXY" not in environment


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1) to forbid network namespaces")
def test_where_no_network_can_be_made_it_is_in_memory(scratch_of_the_test):
    forbid = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$0" -m local.cloud.region'
    process = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, sys.executable], stdout=subprocess.PIPE
    )
    line = process.stdout.readline()
    process.terminate()
    process.wait(20)
    process.stdout.close()
    if not line:
        pytest.skip("the kernel grants no user namespace to forbid them in")
    facts = json.loads(line)
    assert facts["network"] == "in-memory"
    assert "network namespace" in facts["reason"]
    assert not Path(facts["scratch"]).exists()
    assert list(scratch_of_the_test.iterdir()) == []
