"""The signature: which run sent a probe, carried in the length of its payload.

A flow record shows no payload but counts its bytes. Every run pads its probes to a length of its own, so that
stray traffic and another run's probes are told apart. `bytes` counts IP packets: 40 bytes of IPv4 and TCP header
plus the payload. Where the target listens, the sender's kernel answers its SYN-ACK with an RST on the same
5-tuple; each such packet adds 40 bytes and no payload.

This module also runs on the sender, under the system Python (3.9) of Amazon Linux 2023.
"""

from __future__ import annotations

import re
from hashlib import sha256

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a run may be called: safe in a shell, an S3 key, a tag and the name of a log group."""

HEADERS_BYTES = 40
"""An IPv4 header and a TCP header without options."""

SHORTEST = 64
LONGEST = 1_087
"""Payload lengths in bytes: a probe stays under 1,280 bytes, so no path on the Internet fragments it."""


def payload_bytes(run_id: str) -> int:
    """The payload length of the probes of `run_id`: one of 1,024, the same wherever it is computed."""
    digest = sha256(run_id.encode()).digest()
    return SHORTEST + int.from_bytes(digest[:2], "big") % (LONGEST - SHORTEST + 1)


def is_signed(record_bytes: int, packets: int, payload: int) -> bool:
    """Whether a record of `packets` packets and `record_bytes` bytes holds one probe with `payload` bytes."""
    return record_bytes - HEADERS_BYTES * packets == payload
