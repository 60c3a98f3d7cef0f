"""The clock of this machine: how far it is from NTP time, as chrony knows it."""

from __future__ import annotations

import math
import subprocess

TIMEOUT_S = 5.0

# What `chronyc -c tracking` prints: 14 values on one line, in the order of the report that people get.
# https://chrony-project.org/doc/4.6/chronyc.html
_REFERENCE_ID, _CORRECTION, _LEAP_STATUS = 0, 4, 13
_LOCAL_REFERENCE = "7F7F0101"
"""chronyd serves its own time: there is no NTP time to be ahead of."""
_UNSYNCHRONISED = "Not synchronised"


def offset_s() -> float | None:
    """By how many seconds this machine's clock is ahead of NTP time now; negative: behind.

    It is the correction that chronyd has still to make; how well chronyd itself knows NTP time is another matter.
    None where there is no chrony, or it is not synchronised, or does not answer.
    """
    try:
        tracking = subprocess.run(
            ["chronyc", "-c", "tracking"],  # noqa: S607 - where it is differs by system
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return _offset_s(tracking.stdout.strip().split(","))


def _offset_s(values: list[str]) -> float | None:
    try:
        reference_id, leap_status = values[_REFERENCE_ID], values[_LEAP_STATUS]
        correction_s = float(values[_CORRECTION])
    except (IndexError, ValueError):
        return None
    if leap_status == _UNSYNCHRONISED or reference_id == _LOCAL_REFERENCE or not math.isfinite(correction_s):
        return None
    # That report calls a positive correction "slow of NTP time": the clock is behind by it. CSV keeps the sign.
    # https://github.com/mlichvar/chrony/blob/master/client.c, `print_report`, as of 2026-11
    return -correction_s
