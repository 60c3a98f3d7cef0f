"""The sender and the target as SSM runs them, on a real network."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import scapy

import flowlag
import sender
from flowlag.capture import parse_capture
from flowlag.ledger import SENT, Ledger, parse_ledger
from flowlag.stamp import encode
from sender.packets import build
from sender.processes import has_ended, lock_of
from tests.sender.waiting import TIMEOUT_S, until

pytestmark = pytest.mark.slow


def shipped(buckets: Path, run_id: str) -> Ledger:
    return parse_ledger((buckets / "results" / "control" / run_id / "ledger.csv").read_text())


def probes_sent(instance) -> int:
    entries = parse_ledger(instance.order.ledger.read_text()).entries
    return sum(entry.outcome == SENT for entry in entries)


def old_python() -> str | None:
    """A Python 3.9, which Amazon Linux 2023 has."""
    installed = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob("versions/3.9.*/bin/python3.9")
    for candidate in (shutil.which("python3.9"), *installed):
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    return None


@pytest.fixture(params=["this Python", "Python 3.9"])
def bundle(request, tmp_path) -> tuple[str, Path]:
    """An interpreter and the directory in which the SSM document unpacks what it runs."""
    python = sys.executable if request.param == "this Python" else old_python()
    if python is None:
        pytest.skip("there is no Python 3.9 here, as Amazon Linux 2023 has it")
    directory = tmp_path / "bundle"
    for package in (sender, flowlag, scapy):
        source = Path(package.__file__).parent
        shutil.copytree(source, directory / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return python, directory


def test_every_probe_arrives_with_its_port_and_both_files_are_shipped(instances, bundle, buckets):
    source, target = (replace(each, python=bundle[0], directory=bundle[1]) for each in instances())
    assert (target.run("start-capture").returncode, source.run("start-sending").returncode) == (0, 0)
    until(lambda: probes_sent(source) >= 8)
    sent = source.answer("stop-sending")
    seen = target.answer("stop-capture")

    ledger = shipped(buckets, "run-1")
    capture = parse_capture((buckets / "results/control/run-1/capture.csv").read_text(), source.order.rate).seen
    left = {entry.tick: entry for entry in ledger.entries if entry.outcome == SENT}
    assert ledger.closed
    assert sent["sent"] == seen["seen"] == len(left) >= 8
    assert all(entry.srcport == encode(tick) for tick, entry in left.items())
    assert set(capture) == set(left)
    assert all(abs(capture[tick] - entry.sent_ns // 1_000) < 50_000 for tick, entry in left.items())
    assert all(source.worker(action) is None for action in ("send", "ship-ledger", "capture", "ship-capture"))


def test_start_returns_only_after_a_probe_has_left(instances):
    source, _ = instances()
    assert source.run("start-sending").returncode == 0
    assert probes_sent(source) >= 1


def test_the_capture_takes_no_stray_traffic(instances, network):
    source, target = instances()
    target.run("start-capture")
    order = source.order
    strays = [
        build(replace(order, port=7778), 1),
        build(replace(order, payload_bytes=501), 2),
        build(replace(order, source="10.99.0.11"), 3),
    ]
    with network.sender.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as wire:
        for packet in (*strays, build(order, 4)):
            wire.sendto(packet, (order.target, 0))
    until(lambda: "\n4," in order.capture.read_text())
    assert target.answer("stop-capture")["seen"] == 1


def test_a_killed_sender_leaves_its_ledger_in_the_bucket(instances, buckets):
    source, _ = instances()
    source.run("start-sending")
    until(lambda: probes_sent(source) >= 3)
    os.kill(source.worker("send"), signal.SIGKILL)
    assert has_ended(lock_of("ship-ledger", source.order), TIMEOUT_S)

    ledger = shipped(buckets, "run-1")
    assert not ledger.closed
    assert len(ledger.entries) >= 3
    assert source.answer("stop-sending")["sent"] == len(ledger.entries)


def test_a_killed_shipper_is_made_up_for_by_the_stop(instances, buckets):
    source, _ = instances()
    source.run("start-sending")
    os.kill(source.worker("ship-ledger"), signal.SIGKILL)
    sent = source.answer("stop-sending")
    assert sent["sent"] == len(shipped(buckets, "run-1").entries)


def test_the_second_start_finds_the_first_running(instances):
    source, _ = instances()
    said = source.run("start-sending").stdout
    first = source.worker("send"), source.worker("ship-ledger")
    again = source.run("start-sending")
    assert (again.returncode, again.stdout, again.stderr) == (0, said, "")
    assert said == "'send' of run 'run-1' is under way\n"
    assert (source.worker("send"), source.worker("ship-ledger")) == first


def test_a_sender_ends_what_another_run_left_sending(instances, buckets):
    lost, _ = instances(run_id="run-0")
    assert lost.run("start-sending").returncode == 0
    following, _ = instances(run_id="run-1")
    started = following.run("start-sending")
    assert started.returncode == 0, started.stderr
    assert started.stdout.splitlines() == [
        "ended 'send' of run 'run-0', which nobody had stopped",
        "'send' of run 'run-1' is under way",
    ]
    assert lost.worker("send") is None
    assert following.worker("send")
    assert has_ended(lock_of("ship-ledger", lost.order), TIMEOUT_S)
    assert shipped(buckets, "run-0").closed


def test_a_target_captures_for_two_runs_at_once(instances):
    one, _ = instances(run_id="run-0")
    other, _ = instances(run_id="run-1")
    assert [each.run("start-capture").returncode for each in (one, other)] == [0, 0]
    assert one.worker("capture")
    assert other.worker("capture")


def test_a_start_leaves_alone_what_ships_for_another_run(instances):
    lost, _ = instances(run_id="run-0")
    lost.run("start-sending")
    shipper = lost.worker("ship-ledger")
    os.kill(shipper, signal.SIGSTOP)  # or it might be done by itself before anybody looks
    try:
        following, _ = instances(run_id="run-1")
        assert "ended 'send' of run 'run-0'" in following.run("start-sending").stdout
        assert lost.worker("ship-ledger") == shipper
    finally:
        os.kill(shipper, signal.SIGCONT)


def test_a_late_start_of_a_run_that_has_ended_ends_nothing(instances):
    ended, _ = instances(run_id="run-0")
    ended.run("start-sending")
    ended.run("stop-sending")
    living, _ = instances(run_id="run-1")
    living.run("start-sending")
    sending = living.worker("send")
    assert ended.run("start-sending").returncode == 2
    assert living.worker("send") == sending


def test_two_starts_at_once_make_one_sender(instances, network):
    source, _ = instances()
    argv = [sys.executable, "-m", "sender", "start-sending", *source.order.arguments()]
    both = [network.sender.popen(argv, env=source.environment) for _ in range(2)]
    assert [process.wait(TIMEOUT_S) for process in both] == [0, 0]
    assert source.answer("stop-sending")["sent"] >= 1
    ticks = [entry.tick for entry in parse_ledger(source.order.ledger.read_text()).entries]
    assert ticks == sorted(set(ticks))


def test_stop_twice_answers_the_same(instances):
    source, target = instances()
    target.run("start-capture")
    source.run("start-sending")
    assert source.answer("stop-sending") == source.answer("stop-sending")
    assert target.answer("stop-capture") == target.answer("stop-capture")


def test_a_run_that_has_ended_is_not_sent_again(instances):
    source, _ = instances()
    source.run("start-sending")
    source.run("stop-sending")
    before = source.order.ledger.read_bytes()
    again = source.run("start-sending")
    assert again.returncode == 2
    assert "a run happens once" in again.stderr
    assert source.order.ledger.read_bytes() == before


def test_it_stops_by_itself_after_its_duration(instances, buckets):
    source, _ = instances(duration_s=1)
    source.run("start-sending")
    assert has_ended(lock_of("send", source.order), TIMEOUT_S)
    until(lambda: (source.order.directory / "ledger.shipped").exists() and not source.worker("ship-ledger"))
    ledger = shipped(buckets, "run-1")
    assert ledger.closed
    assert len(ledger.entries) == source.order.rate


def test_a_target_without_a_route_fails_the_start_with_the_reason(instances):
    source, _ = instances(target="192.168.0.1")
    done = source.run("start-sending")
    assert done.returncode == 1
    assert "Network is unreachable" in done.stderr
    assert done.stderr.count("\n") == 1
    assert source.worker("send") is None


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can give its rights up")
def test_a_process_without_the_right_to_raw_packets_says_so(instance):
    argv = [sys.executable, "-m", "sender", "send", *instance.order.arguments()]
    done = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *argv],
        env=instance.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "sender: raw packets need root or CAP_NET_RAW, which this process has not\n"
    assert not instance.order.ledger.exists()
