"""The seams: every change that flowlag makes to MiniStack, which plays AWS, in one place.

MiniStack is pinned to one version. Each seam is a function, in the module of its service, that replaces names of
MiniStack's modules and says what MiniStack does otherwise and why that matters. Each has a canary in
tests/local/test_seams.py, so that an upgrade which moves a seam fails there. Import this package only after
MiniStack's settings are in the environment: it reads them when it is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cloud.seams.athena import answer_athena_in_trino
from local.cloud.seams.commands import run_commands_in_boxes
from local.cloud.seams.events import invoke_functions_of_rules_as_eventbridge_does
from local.cloud.seams.functions import (
    invoke_tagged_functions_at_their_endpoint,
    run_python_functions_on_their_runtime,
)
from local.cloud.seams.instances import describe_ec2_as_aws_does, validate_flow_logs
from local.cloud.seams.logs import deliver_logs_as_cloudwatch_does
from local.cloud.seams.objects import know_when_objects_came_by_the_second
from local.cloud.seams.rights import authorize_every_resource, let_services_assume_roles, take_the_loopback_for_tls
from local.cloud.seams.scheduler import fire_schedules_as_aws_does, provision_schedules_whole
from local.cloud.seams.stacks import (
    keep_buckets_that_are_not_empty,
    keep_what_others_need,
    name_resources_by_region,
    provision_alarms_on_expressions,
    provision_missing_types,
)
from local.cloud.seams.states import (
    end_executions_for_good,
    invoke_functions_with_the_role_of_the_state_machine,
)
from local.cloud.seams.throttling import throttle_first_attempts

if TYPE_CHECKING:
    from pathlib import Path

    from local.cloud.boxes import Boxes


def install(boxes: Boxes, endpoint: str, state: Path, *, throttled: int = 0) -> None:
    """Apply every seam. To be called once in a process, before MiniStack serves its first request.

    Args:
        boxes: what stands for the instances.
        endpoint: URL that MiniStack will be found at.
        state: an existing directory for what the seams must keep in files.
        throttled: how many attempts of every call are refused.
    """
    run_python_functions_on_their_runtime(endpoint, state / "runtime")
    invoke_tagged_functions_at_their_endpoint()
    invoke_functions_with_the_role_of_the_state_machine()
    end_executions_for_good()
    invoke_functions_of_rules_as_eventbridge_does()
    fire_schedules_as_aws_does()
    deliver_logs_as_cloudwatch_does()
    validate_flow_logs()
    describe_ec2_as_aws_does()
    run_commands_in_boxes(boxes, endpoint)
    know_when_objects_came_by_the_second()
    name_resources_by_region()
    provision_missing_types()
    provision_schedules_whole()
    provision_alarms_on_expressions()
    keep_buckets_that_are_not_empty()
    keep_what_others_need()
    answer_athena_in_trino()
    authorize_every_resource()
    let_services_assume_roles()
    take_the_loopback_for_tls()
    throttle_first_attempts(throttled)
