"""Boxes: where an instance's commands run."""

import json
import sys
import time
from pathlib import Path

import pytest

from flowlag.capture import parse_capture
from flowlag.ledger import SENT, parse_ledger
from flowlag.signature import payload_bytes
from local.cloud.boxes import HostBox, InMemoryBox
from local.cloud.region import Region
from local.network.virtual import InMemoryNetwork, Network, unavailable

pytestmark = pytest.mark.slow

RATE = 10
ENVIRONMENT = {
    "SSM_RunId": "run",
    "SSM_Bucket": "results",
    "SSM_SourceAddress": "10.99.0.10",
    "SSM_TargetAddress": "10.99.0.20",
    "SSM_TargetPort": "7777",
    "SSM_Rate": str(RATE),
    "SSM_PayloadBytes": str(payload_bytes("run")),
    "SSM_DurationSeconds": "60",
    "AWS_SSM_REGION_NAME": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_SESSION_TOKEN": "",
}


class TestInMemory:
    @pytest.fixture(scope="class")
    @classmethod
    def region(cls):
        with Region() as region:
            region.client("s3").create_bucket(Bucket="results")
            yield region

    @pytest.fixture
    def boxes(self, tmp_path):
        network = InMemoryNetwork()
        homes = [tmp_path / name for name in ("sender", "target")]
        for home in homes:
            home.mkdir()
        return [InMemoryBox(network, home) for home in homes]

    @pytest.fixture
    def do(self, region, boxes):
        """Do an action on the box that it is for; what it said, or its complaint."""

        def do(action, **changes):
            environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": region.endpoint, "SSM_Action": action, **changes}
            box = boxes[0] if action.endswith("sending") else boxes[1]
            exit_code, stdout, stderr = box.run("", environment, 60)
            return stdout if exit_code == 0 else stderr

        yield do
        for action in ("stop-sending", "stop-capture"):
            do(action)

    @staticmethod
    def uploaded(region, name):
        return region.client("s3").get_object(Bucket="results", Key=f"control/run/{name}")["Body"].read().decode()

    def test_what_is_sent_is_captured_and_both_are_uploaded(self, region, do):
        assert do("start-capture") == ""
        assert do("start-sending") == ""
        sent = json.loads(do("stop-sending"))
        seen = json.loads(do("stop-capture"))
        assert sent["sent"] == seen["seen"] >= 1
        ledger = parse_ledger(self.uploaded(region, "ledger.csv"))
        assert ledger.closed
        assert {entry.tick for entry in ledger.entries if entry.outcome == SENT} == set(
            parse_capture(self.uploaded(region, "capture.csv"), RATE).seen
        )

    def test_starting_twice_starts_once(self, do):
        assert [do("start-sending"), do("start-sending")] == ["", ""]

    def test_a_run_happens_once(self, do):
        do("start-sending")
        do("stop-sending")
        assert "run 'run' was here before" in do("start-sending")

    def test_stopping_what_does_not_run_is_harmless(self, do):
        assert json.loads(do("stop-capture")) == {"seen": 0}

    def test_an_order_that_makes_no_sense_is_refused(self, do):
        assert (
            do("start-sending", SSM_TargetPort="70000") == "sender: port is a number from 1 to 65535, not 70000\n"
        )

    def test_another_script_is_not_done(self, do):
        assert "only the TrafficDocument's actions" in do("reboot")


@pytest.fixture(scope="module")
def host_box(tmp_path_factory):
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Network() as network:
        yield HostBox(network.sender, tmp_path_factory.mktemp("home"))


class TestOnAHost:
    def test_its_tools_are_the_workspaces(self, host_box):
        python, aws = host_box.run("command -v python3; command -v aws", {}, 10).stdout.split()
        assert Path(python).parent == Path(aws).parent == Path(sys.executable).parent

    def test_it_is_the_host_and_leads_nowhere_else(self, host_box):
        script = "python3 -c \"import socket; socket.create_connection(('192.0.2.1', 9), 2)\""
        outcome = host_box.run(script, {}, 10)
        assert outcome.exit_code == 1
        assert "Network is unreachable" in outcome.stderr

    def test_only_what_it_is_given_is_in_its_environment(self, host_box, monkeypatch):
        monkeypatch.setenv("SECRET", "of the machine")
        outcome = host_box.run("env", {"SSM_Given": "yes"}, 10)
        names = {line.partition("=")[0] for line in outcome.stdout.splitlines()}
        assert names - {"PWD", "SHLVL", "_"} == {"PATH", "HOME", "TMPDIR", "LANG", "FLOWLAG_HOME", "SSM_Given"}

    def test_what_a_script_says_and_how_it_ends(self, host_box):
        assert host_box.run("echo out; echo err >&2; exit 7", {}, 10) == (7, "out\n", "err\n")

    def test_a_script_that_takes_too_long_is_killed_with_all_that_it_started(self, host_box):
        began = time.monotonic()
        outcome = host_box.run("sleep 60 & sleep 60", {}, 0.5)
        assert outcome.exit_code != 0
        assert "killed after 0.5 s" in outcome.stderr
        assert time.monotonic() - began < 30
