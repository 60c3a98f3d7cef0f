"""Metrics: a run's verdict and its arms' delays in CloudWatch, by the embedded metric format.

Few, because each costs by the hour in which it is published: the tables have everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from flowlag.reconcile import NOT_RECORDED
from flowlag.verdict import COMPLETE, PARTIAL, VOID

if TYPE_CHECKING:
    from flowlag.summary import ArmSummary, RunSummary

NAMESPACE = "flowlag"
VERDICTS = {COMPLETE: "CompleteRuns", PARTIAL: "PartialRuns", VOID: "VoidRuns"}
"""Verdict to its metric. A run counts 1 for its own and 0 for the others, so that their sums are known."""


def publish(summary: RunSummary) -> None:
    """Publish a run, and each of its arms; the dimension `service` is the stack."""
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    for verdict, name in VERDICTS.items():
        metrics.add_metric(name, MetricUnit.Count, int(verdict == summary.verdict))
    metrics.flush_metrics()
    for arm in summary.arms:
        _publish_arm(arm)


def _publish_arm(arm: ArmSummary) -> None:
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension("arm", arm.arm)
    metrics.add_metric("NotRecorded", MetricUnit.Count, arm.counts.missing.get(NOT_RECORDED, 0))
    if arm.delay_s is not None:
        metrics.add_metric("DelayP50", MetricUnit.Seconds, arm.delay_s.p50)
        metrics.add_metric("DelayP95", MetricUnit.Seconds, arm.delay_s.p95)
        metrics.add_metric("DelayMax", MetricUnit.Seconds, arm.delay_s.max)
    if arm.first_delivery_s is not None:
        metrics.add_metric("FirstDelivery", MetricUnit.Seconds, arm.first_delivery_s)
    metrics.flush_metrics()
