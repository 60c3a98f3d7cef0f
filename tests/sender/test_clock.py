"""The clock of an instance, as chrony knows it."""

import os
from pathlib import Path

import pytest

from sender import clock

REPORT = (
    "A9FEA97B,169.254.169.123,4,1795420800.5,{correction},0.000001,0.000009,-6.2,0.001,0.02,0.0004,0.0002,16.1,"
)


@pytest.fixture
def chronyc(tmp_path, monkeypatch):
    """Put a chronyc on the PATH that does what a line of shell says."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def install(line: str) -> None:
        path = tmp_path / "chronyc"
        path.write_text(f'#!/bin/sh\ntest "$*" = "-c tracking" || exit 64\n{line}\n')
        path.chmod(0o755)

    return install


@pytest.mark.parametrize(
    ("correction", "offset_s"),
    [("0.000012345", -0.000012345), ("-0.250000000", 0.25), ("0.000000000", 0.0)],
    ids=["slow of NTP time", "fast of NTP time", "on it"],
)
@pytest.mark.parametrize("leap_status", ["Normal", "Insert second", "Delete second"])
def test_ahead_is_positive(chronyc, correction, offset_s, leap_status):
    chronyc(f"echo '{REPORT.format(correction=correction)}{leap_status}'")
    assert clock.offset_s() == offset_s


UNKNOWN = {
    "not synchronised": "echo 00000000,,0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised",
    "synchronised once": f"echo '{REPORT.format(correction='0.1')}Not synchronised'",
    "its own reference": "echo 7F7F0101,,10,1795420800.5,0.0,0.0,0.0,-6.2,0.0,0.0,0.0,0.0,0.0,Normal",
    "no daemon": "echo '506 Cannot talk to daemon'; exit 1",
    "a failure after a report": f"echo '{REPORT.format(correction='0.1')}Normal'; exit 1",
    "a report for people": "echo 'System time     : 0.000001501 seconds slow of NTP time'",
    "no number": f"echo '{REPORT.format(correction='soon')}Normal'",
    "an infinite number": f"echo '{REPORT.format(correction='nan')}Normal'",
    "too few values": "echo A9FEA97B,169.254.169.123,4,1795420800.5,0.1",
    "not a word": ":",
    "bytes that are no text": "printf '\\377\\376'",
}


@pytest.mark.parametrize("line", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_chrony_does_not_know_is_none(chronyc, line):
    chronyc(line)
    assert clock.offset_s() is None


def test_a_chronyc_that_hangs_is_given_up(chronyc, monkeypatch):
    chronyc("exec sleep 60")
    monkeypatch.setattr(clock, "TIMEOUT_S", 0.1)
    assert clock.offset_s() is None


def test_a_machine_without_chrony_does_not_know(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert clock.offset_s() is None
