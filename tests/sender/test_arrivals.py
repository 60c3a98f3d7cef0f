"""What the target captures with: tcpdump, and scapy where tcpdump cannot."""

import os
import shutil
import signal
import socket
from dataclasses import replace

import psutil
import pytest

from flowlag.capture import HEADER, Seen, parse_capture
from sender.packets import build
from sender.processes import has_ended, lock_of
from tests.sender.waiting import TIMEOUT_S, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("tcpdump"), reason="there is no tcpdump: `make system-deps` brings it"),
]

PORTS = range(1, 201)


def tcpdump_of(instance) -> psutil.Process:
    (tcpdump,) = psutil.Process(instance.worker("capture")).children()
    assert tcpdump.name() == "tcpdump"
    return tcpdump


def captured(instance) -> list[Seen]:
    """The whole lines of the capture, as they stand in the file."""
    lines = instance.order.capture.read_text().split("\n")[1:-1]
    return [Seen(*map(int, line.split(","))) for line in lines if "," in line]


def is_closed(instance) -> bool:
    """Whether the capture was stopped in good order."""
    return parse_capture(instance.order.capture.read_text(), instance.order.rate).closed


def said(instance) -> str:
    """What the worker of the capture has said."""
    return (instance.order.directory / "capture.log").read_text()


@pytest.fixture
def transmit(network, order):
    """Send probes from these source ports at once, without a sender."""
    with network.sender.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as wire:
        yield lambda ports: [wire.sendto(build(order, port), (order.target, 0)) for port in ports]


@pytest.fixture
def target(instances):
    return instances()[1]


@pytest.fixture
def sniffing_target(instances, without_tcpdump, tmp_path):
    """The same target, without tcpdump and with a home of its own."""
    home = tmp_path / "another home"
    _, target = instances(home=home)
    return replace(target, environment=without_tcpdump | {"FLOWLAG_HOME": str(home)})


def test_both_ways_to_capture_see_the_same(target, sniffing_target, transmit):
    for each in (target, sniffing_target):
        assert each.run("start-capture").returncode == 0
    assert tcpdump_of(target)
    assert psutil.Process(sniffing_target.worker("capture")).children() == []
    transmit(PORTS)
    until(lambda: len(captured(target)) == len(captured(sniffing_target)) == len(PORTS))
    assert [each.answer("stop-capture")["seen"] for each in (target, sniffing_target)] == [len(PORTS)] * 2
    for by_tcpdump, by_scapy in zip(captured(target), captured(sniffing_target), strict=True):
        assert by_tcpdump.srcport == by_scapy.srcport
        assert abs(by_tcpdump.seen_ns - by_scapy.seen_ns) < 5_000_000
    assert all(is_closed(each) for each in (target, sniffing_target))


def test_a_target_without_tcpdump_says_so(sniffing_target):
    sniffing_target.run("start-capture")
    reason = "no tcpdump can be started (No such file or directory)"
    assert said(sniffing_target) == f"sender: {reason}; scapy captures from here on\n"


def test_tcpdump_ends_with_its_worker_and_says_what_it_dropped(target, transmit):
    target.run("start-capture")
    tcpdump = tcpdump_of(target)
    transmit(PORTS)
    until(lambda: len(captured(target)) == len(PORTS))
    target.answer("stop-capture")
    assert not tcpdump.is_running()
    assert f"; {len(PORTS)} packets captured; " in said(target)
    assert "; 0 packets dropped by kernel\n" in said(target)


def test_no_tcpdump_outlives_a_killed_worker(target):
    target.run("start-capture")
    tcpdump = tcpdump_of(target)
    os.kill(target.worker("capture"), signal.SIGKILL)
    tcpdump.wait(TIMEOUT_S)
    assert has_ended(lock_of("ship-capture", target.order), TIMEOUT_S)
    assert not is_closed(target)
    assert target.answer("stop-capture")["seen"] == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_capture_goes_on_without_a_killed_tcpdump(target, transmit, how):
    target.run("start-capture")
    tcpdump = tcpdump_of(target)
    transmit(PORTS[:100])
    until(lambda: len(captured(target)) == 100)
    tcpdump.send_signal(how)
    until(lambda: "scapy captures from here on" in said(target))
    transmit(PORTS[100:])
    until(lambda: len(captured(target)) == len(PORTS))
    assert target.answer("stop-capture")["seen"] == len(PORTS)
    assert [seen.srcport for seen in captured(target)] == list(PORTS)
    assert is_closed(target)
    assert "sender: tcpdump ended with status " in said(target)


def test_a_tcpdump_that_refuses_is_done_without(target, tmp_path, transmit):
    refusing = tmp_path / "bin" / "tcpdump"
    refusing.write_text("#!/bin/sh\necho \"tcpdump: Couldn't change to 'tcpdump' uid=102 gid=105\" >&2\nexit 1\n")
    refusing.chmod(0o755)
    target.run("start-capture")
    transmit(PORTS)
    until(lambda: len(captured(target)) == len(PORTS))
    reason = "tcpdump ended with status 1: tcpdump: Couldn't change to 'tcpdump' uid=102 gid=105"
    assert f"sender: {reason}; scapy captures from here on\n" in said(target)


def test_tcpdump_sees_no_stray_traffic(target, network, order):
    target.run("start-capture")
    assert tcpdump_of(target)
    strays = [
        build(replace(order, port=7778), 1),
        build(replace(order, payload_bytes=501), 2),
        build(replace(order, source="10.99.0.11"), 3),
    ]
    answer = bytearray(build(order, 4))
    answer[33] |= 0x10  # ACK: whoever answers a probe is none
    with network.sender.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as wire:
        for packet in (*strays, bytes(answer), build(order, 5)):
            wire.sendto(packet, (order.target, 0))
    until(lambda: captured(target))
    assert target.answer("stop-capture")["seen"] == 1
    assert parse_capture(target.order.capture.read_text(), order.rate).seen
    assert target.order.capture.read_text().startswith(f"{HEADER}\n5,")
