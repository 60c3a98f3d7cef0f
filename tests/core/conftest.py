"""What the tests of the core share: one run, and the flow records that its probes leave.

The fixtures are values and functions without state, so that property tests may use them.
"""

from collections.abc import Callable

import pytest

from flowlag.plan import RunPlan, RunRequest, Site, plan_run
from flowlag.record import FlowRecord, RecordFormat
from flowlag.stamp import due_at, encode

NOW = 1_646_334_000_000_000
EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:flowlag-benchmark:run-1"


@pytest.fixture(scope="session")
def site() -> Site:
    return Site(
        source="local",
        region="eu-west-1",
        az_id="euw1-az1",
        instance_type="t2.micro",
        hypervisor="xen",
        sender_instance_id="i-0aaaaaaaaaaaaaaaa",
        interface_id="eni-0123456789abcdef0",
        subnet_id="subnet-0123456789abcdef0",
        vpc_id="vpc-0123456789abcdef0",
        sender_address="10.0.0.10",
        target_instance_id="i-0bbbbbbbbbbbbbbbb",
        target_address="10.0.0.20",
        target_port=7777,
    )


@pytest.fixture(scope="session")
def plan(site: Site) -> RunPlan:
    return plan_run("run-1", RunRequest(), site, execution=EXECUTION, now=NOW, code_version="abc1234")


@pytest.fixture(scope="session")
def flow_line(plan: RunPlan) -> Callable[..., str]:
    """Write the line that a probe leaves; fields by their AWS names with `_`, in any format."""

    def write(tick: int, *, record_format: RecordFormat | None = None, rate: int = 1, **changed: object) -> str:
        minute = due_at(tick, rate) // 60_000_000 * 60
        fields = {
            "version": 5,
            "account-id": "012345678901",
            "interface-id": plan.interface_id,
            "srcaddr": plan.sender_address,
            "dstaddr": plan.target_address,
            "srcport": encode(tick),
            "dstport": plan.target_port,
            "protocol": 6,
            "packets": 1,
            "bytes": 40 + plan.payload_bytes,
            "start": minute,
            "end": minute + 60,
            "action": "ACCEPT",
            "tcp-flags": 2,
            "flow-direction": "egress",
            "log-status": "OK",
        } | {name.replace("_", "-"): value for name, value in changed.items()}
        return (record_format or RecordFormat.of_string(plan.log_format)).format(FlowRecord(fields))

    return write
