"""The records of a flow log as its reader meets them, and the filter that knows which are of its run's probes."""

from typing import Any

from flowlag.probe import ProbeFilter
from flowlag.record import PROBE_FORMAT

type Record = dict[str, Any]

PORT = 7777
TICK = 1_646_334_040
DELIVERED_AT = (TICK + 300) * 1_000_000
OURS = ProbeFilter(
    record_format=PROBE_FORMAT,
    interface_id="eni-0123456789abcdef0",
    target_port=PORT,
    payload_bytes=500,
    rate=1,
    since=(TICK - 200) * 1_000_000,
)
WITHOUT_TRAFFIC: Record = dict.fromkeys(
    ("srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes", "action", "tcp-flags")
)


def record(tick: int = TICK, **changed: Any) -> Record:
    """What a probe leaves; other fields by their AWS names with `_`, None for `-`."""
    return {
        "version": 5,
        "account-id": "012345678901",
        "interface-id": OURS.interface_id,
        "srcaddr": "10.0.0.10",
        "dstaddr": "10.0.0.20",
        "srcport": tick % 65_536,
        "dstport": PORT,
        "protocol": 6,
        "packets": 1,
        "bytes": 40 + OURS.payload_bytes,
        "start": tick // 60 * 60,
        "end": tick // 60 * 60 + 60,
        "action": "ACCEPT",
        "tcp-flags": 2,
        "flow-direction": "egress",
        "instance-id": "i-0aaaaaaaaaaaaaaaa",
        "pkt-srcaddr": "10.0.0.10",
        "pkt-dstaddr": "10.0.0.20",
        "az-id": "euw1-az1",
        "log-status": "OK",
    } | {name.replace("_", "-"): value for name, value in changed.items()}
