"""CloudWatch Logs: one fresh log group an arm, subscribed before its flow log exists; and its events.

A fresh group, because a deleted flow log goes on delivering for minutes, and its stream would be taken for a
first delivery; subscribed first, because a flow log that finds no group may make one that nobody listens to.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from flowlag.probe import Event
from flowlag_aws import clients
from flowlag_aws.flow_logs import RUN_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowlag.instants import Micros

RETENTION_DAYS = 7
"""Long enough to reconcile a run again by hand."""

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


def delivered(log_group: str, since: Micros) -> Iterator[Event]:
    """The events of a log group whose capture window may have begun at `since` or later, each with its ingestion.

    A page may be empty and yet not the last; the paginator goes on until there is no token.
    """
    pages = (
        clients.logs()
        .get_paginator("filter_log_events")
        .paginate(logGroupName=log_group, startTime=(since - PADDING_US) // 1_000)
    )
    for page in pages:
        for event in page["events"]:
            yield Event(str(event["eventId"]), event["message"], event["ingestionTime"] * 1_000)
