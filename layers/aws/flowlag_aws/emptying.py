"""Emptying: everything that the runs of a stack made, gone, so that the stack can be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowlag_aws.executions import stop_all
from flowlag_aws.flow_logs import delete_flow_logs, owners_of_flow_logs
from flowlag_aws.log_groups import delete_log_group, log_groups
from flowlag_aws.store import Store

if TYPE_CHECKING:
    from flowlag_aws.settings import Emptying


def empty(settings: Emptying) -> dict[str, int]:
    """End every run, and remove flow logs, log groups and the work bucket's objects; returns how many of each.

    The instances go with the stack, and their traffic with them. The bucket comes last, for flow logs and the
    decoder write into it.
    """
    stopped = stop_all(settings.state_machine_arn)
    owners = owners_of_flow_logs(settings.state_machine_arn).values()
    flow_logs = sum(len(delete_flow_logs(execution)) for execution in owners)
    groups = list(log_groups(settings.log_group_prefix))
    for group in groups:
        delete_log_group(group)
    objects = Store(settings.work_bucket).delete("")
    return {"executions": stopped, "flow_logs": flow_logs, "log_groups": len(groups), "objects": objects}
