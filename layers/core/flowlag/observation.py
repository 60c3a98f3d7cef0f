"""The observation: a probe joined to the flow record that reported it, and the four delays of that record."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flowlag.instants import Micros, seconds_between

if TYPE_CHECKING:
    from flowlag.plan import Arm, RunPlan
    from flowlag.probe import Probe


class Observation(NamedTuple):
    """One row of the `observations` table but for its delays, which follow from it.

    `sent_at` is when the ledger says that the probe left, or the tick's instant where there is no ledger yet.
    `seen_at` is the target's capture, `ingested_at` AWS's own time of delivery, `received_at` our Lambda's.
    """

    run_id: str
    arm: str
    source: str
    region: str
    az_id: str | None
    instance_type: str | None
    hypervisor: str | None
    destination: str
    file_format: str | None
    aggregation_interval_s: int
    flow_log_id: str | None
    interface_id: str
    tick: int
    srcport: int
    sent_at: Micros
    seen_at: Micros | None
    window_start: Micros
    window_end: Micros | None
    ingested_at: Micros | None
    received_at: Micros | None
    event_id: str
    packets: int
    bytes: int
    tcp_flags: int | None
    action: str | None
    log_status: str | None

    @property
    def delay_s(self) -> float | None:
        """The headline: from the send to AWS's delivery."""
        return seconds_between(self.ingested_at, self.sent_at)

    @property
    def ingest_delay_s(self) -> float | None:
        """From the capture window's label to delivery: what Episode 18 called ingest delay."""
        return seconds_between(self.ingested_at, self.window_start)

    @property
    def timestamp_error_s(self) -> float | None:
        """From the send to the capture window's label: why `start` cannot measure a delay."""
        return seconds_between(self.window_start, self.sent_at)

    @property
    def subscription_delay_s(self) -> float | None:
        """From AWS's delivery to our Lambda: the hop of the subscription."""
        return seconds_between(self.received_at, self.ingested_at)


def observe(  # noqa: PLR0913 - each argument is a column that comes from somewhere else
    probe: Probe,
    plan: RunPlan,
    arm: Arm,
    *,
    event_id: str,
    flow_log_id: str | None = None,
    sent_at: Micros | None = None,
    seen_at: Micros | None = None,
    ingested_at: Micros | None = None,
    received_at: Micros | None = None,
) -> Observation:
    """Join a probe to what is known about it so far."""
    return Observation(
        run_id=plan.run_id,
        arm=arm.name,
        source=plan.source,
        region=plan.region,
        az_id=plan.az_id,
        instance_type=plan.instance_type,
        hypervisor=plan.hypervisor,
        destination=arm.destination,
        file_format=arm.file_format,
        aggregation_interval_s=arm.aggregation_interval_s,
        flow_log_id=flow_log_id,
        interface_id=plan.interface_id,
        tick=probe.tick,
        srcport=probe.srcport,
        sent_at=probe.due_at if sent_at is None else sent_at,
        seen_at=seen_at,
        window_start=probe.window_start,
        window_end=probe.window_end,
        ingested_at=ingested_at,
        received_at=received_at,
        event_id=event_id,
        packets=probe.packets,
        bytes=probe.bytes,
        tcp_flags=probe.tcp_flags,
        action=probe.action,
        log_status=probe.log_status,
    )
