"""CloudWatch Logs: one fresh log group an arm, subscribed before its flow log exists; and its events.

A fresh group, because a deleted flow log goes on delivering for minutes, and its stream would be taken for a
first delivery; subscribed first, because a flow log that finds no group may make one that nobody listens to.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from flowlag.probe import Sifted
from flowlag_aws import clients
from flowlag_aws.flow_logs import RUN_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef

    from flowlag.instants import Micros
    from flowlag.probe import Delivered, ProbeFilter

RETENTION_DAYS = 14
"""Longer than a closed run keeps its evidence: of a group that has lost its oldest events another result would be
made. One that is swept in time costs the same."""

PADDING_US = 660 * 1_000_000
"""FilterLogEvents selects by `timestamp`, which is the label of a capture window and may lie before the packet by
a minute, and by a whole aggregation interval if AWS ever means what it documents. Episode 18 lost 40 packets to
an unpadded range."""


def log_group_name(prefix: str, run_id: str, arm: str) -> str:
    """The log group of an arm; `run_and_arm` reads it back."""
    return f"{prefix}/{run_id}/{arm}"


def run_and_arm(log_group: str) -> tuple[str, str]:
    """The run and the arm that a log group belongs to."""
    _, run_id, arm = log_group.rsplit("/", 2)
    return run_id, arm


def create_subscribed_group(name: str, run_id: str, function_arn: str) -> None:
    """Make the log group of an arm and subscribe the decoder to it. May be repeated.

    The empty pattern forwards everything: NODATA and SKIPDATA records have no destination port to select by.
    """
    client = clients.logs()
    with suppress(client.exceptions.ResourceAlreadyExistsException):  # a retried step
        client.create_log_group(logGroupName=name, logGroupClass="STANDARD", tags={RUN_TAG: run_id})
    client.put_retention_policy(logGroupName=name, retentionInDays=RETENTION_DAYS)
    client.put_subscription_filter(
        logGroupName=name, filterName="flowlag", filterPattern="", destinationArn=function_arn
    )


def log_groups(prefix: str) -> Iterator[str]:
    """The names of the log groups in the folder `prefix`, in order."""
    pages = clients.logs().get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"{prefix}/")
    for page in pages:
        for group in page["logGroups"]:
            yield group["logGroupName"]


def delete_log_group(name: str) -> None:
    """Delete a log group. May be repeated."""
    client = clients.logs()
    with suppress(client.exceptions.ResourceNotFoundException):
        client.delete_log_group(logGroupName=name)


def sift(log_group: str, probes: ProbeFilter, *, until: Micros | None = None) -> Sifted:
    """Tell the records of a log group apart, each with its ingestion time.

    Args:
        log_group: of an arm.
        probes: which records are ours; its `since` is when the flow log was created.
        until: records that came later are only counted: the run was closed by then.
    """
    outside = Sifted()

    def in_range() -> Iterator[Delivered]:
        for event in _events(log_group, probes.since or 0):
            ingested_at = event["ingestionTime"] * 1_000
            if until is not None and ingested_at > until:
                outside.late += 1
            elif probes.is_stale(event["timestamp"] * 1_000):  # a flow record's timestamp is its `start`
                outside.stale += 1
            else:
                first = outside.first_record_at
                outside.first_record_at = ingested_at if first is None else min(first, ingested_at)
                yield str(event["eventId"]), event["message"], ingested_at

    sifted = probes.sift(in_range())
    sifted.add(outside)
    return sifted


def _events(log_group: str, since: Micros) -> Iterator[FilteredLogEventTypeDef]:
    """The events of a log group whose capture window may have begun at `since` or later.

    A page may be empty and yet not the last; the paginator goes on until there is no token.
    """
    pages = (
        clients.logs()
        .get_paginator("filter_log_events")
        .paginate(logGroupName=log_group, startTime=max(0, since - PADDING_US) // 1_000)
    )
    for page in pages:
        yield from page["events"]
