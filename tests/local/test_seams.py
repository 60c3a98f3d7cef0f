"""The seams of MiniStack: that each name they replace is still where it was. The tests beside try what they do."""

import ast
import importlib.util
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest


def test_ministack_is_the_version_that_the_seams_were_made_for():
    assert metadata.version("ministack") == "1.5.33"


@pytest.mark.parametrize(
    ("replaced", "used_by"),
    [
        ("services.lambda_svc:_provided_worker_env", "core.lambda_runtime:ProvidedWorker._spawn"),
        ("services.lambda_svc:_provided_runtime_code_dir", "core.lambda_runtime:ProvidedWorker._spawn"),
        ("services.lambda_svc:_execute_function_warm", "services.lambda_svc:_execute_function_dispatch"),
        ("core.lambda_runtime:ProvidedWorker._await_init", "core.lambda_runtime:ProvidedWorker._spawn"),
        ("core.lambda_runtime:_worker_class_for", "core.lambda_runtime:acquire_worker"),
        ("services.stepfunctions:_run_execution", "services.stepfunctions:_start_execution"),
        ("services.stepfunctions:_call_lambda", "services.stepfunctions:_invoke_resource"),
        ("services.stepfunctions:_fail_execution", "services.stepfunctions:_run_execution"),
        ("services.eventbridge:_invoke_target", "services.eventbridge:_dispatch_event"),
        ("services.eventbridge:_dispatch_to_lambda", "services.eventbridge:_invoke_target"),
        ("services.eventbridge:_parse_cron_fields", "services.eventbridge:_tick_scheduled_rules"),
        ("services.eventbridge:_cron_next_fire", "services.eventbridge:_tick_scheduled_rules"),
        ("services.scheduler:_tick_schedules", "services.scheduler:_ticker_loop"),
        ("services.scheduler:_SCHEDULE_TICK_INTERVAL", "services.scheduler:_ticker_loop"),
        ("services.scheduler:_create_schedule", "services.scheduler:handle_request"),
        ("services.scheduler:_update_schedule", "services.scheduler:handle_request"),
        ("services.cloudwatch_logs:_put_subscription_filter", "services.cloudwatch_logs:handle_request"),
        ("services.cloudwatch_logs:_fanout_to_subscription_filters", "services.cloudwatch_logs:_put_log_events"),
        ("services.cloudwatch_logs:_fanout_to_live_tail_sessions", "services.cloudwatch_logs:_put_log_events"),
        ("services.ec2:_ACTION_MAP", "services.ec2:handle_request"),
        ("services.ec2:_instance_xml", "services.ec2:_describe_instances"),
        ("services.ec2:instance_is_managed", "services.ssm:_managed_instance_ids"),
        ("services.ec2:exec_in_instance_blocking", "services.ssm:_finish_invocation"),
        ("services.ssm:_send_command", "services.ssm:handle_request"),
        ("services.ssm:_shell_argv", "services.ssm:_send_command"),
        ("services.ssm:_SHELL_DOCUMENTS", "services.ssm:_send_command"),
        ("services.ssm:_PUBLIC_AMI_PARAMETERS", "services.ssm:_public_parameter"),
        (
            "services.cloudformation.provisioners:_RESOURCE_HANDLERS",
            "services.cloudformation.provisioners:_provision_resource",
        ),
        (
            "services.cloudformation.provisioners:_STACK_TAG_PROPERTY",
            "services.cloudformation.provisioners:_with_stack_tags",
        ),
        (
            "services.cloudformation.provisioners:_physical_name",
            "services.cloudformation.provisioners:_cw_metric_alarm_create",
        ),
        (
            "services.cloudformation.provisioners:_cw_metric_alarm_record",
            "services.cloudformation.provisioners:_cw_metric_alarm_put",
        ),
        ("services.cloudformation.stacks:_delete_resource", "services.cloudformation.stacks:_delete_stack_async"),
        ("services.cloudformation.engine:_extract_deps", "services.cloudformation.engine:_topological_sort"),
        ("services.s3:now_iso", "services.s3:_build_object_record"),
        ("services.athena:_start_query_execution", "services.athena:handle_request"),
        ("services.athena:_rewrite_data_paths", "services.athena:_run_duckdb"),
        ("services.athena:_table_relation", "services.athena:_rewrite_data_paths"),
        ("services.athena:_empty_relation", "services.athena:_rewrite_data_paths"),
        ("services.athena:_run_duckdb", "services.athena:_execute_query"),
        ("services.athena:_DUCKDB_TYPE_MAP", "services.athena:_run_duckdb"),
        ("core.iam_evaluator:enforce", "app:_dispatch_service_request"),
        ("core.iam_evaluator:evaluate_trust_policy", "services.sts:handle_request"),
        ("app:pin_request_origin", "app:app"),
        ("app:_dispatch_service_request", "app:app"),
        ("core.iam_actions:access_denied_response", "app:_dispatch_service_request"),
    ],
)
def test_what_a_seam_replaces_is_still_used_where_it_was(replaced, used_by):
    assert definition(replaced)
    assert replaced.rpartition(":")[2].rpartition(".")[2] in definition(used_by)


def test_athena_comes_to_duckdb_as_the_seam_expects():
    assert 'duckdb.connect(":memory:")' in definition("services.athena:_run_duckdb")


def definition(path):
    """The source of what a module of MiniStack defines, without importing it."""
    module, _, name = path.partition(":")
    source, definitions = parsed(module)
    first, *rest = name.split(".")
    node = definitions[first]
    for each in rest:
        (node,) = (child for child in node.body if getattr(child, "name", None) == each)
    return ast.get_source_segment(source, node)


@cache
def parsed(module):
    source = Path(importlib.util.find_spec(f"ministack.{module}").origin).read_text()
    definitions = {}
    for node in ast.parse(source).body:
        names = [*getattr(node, "names", []), *getattr(node, "targets", []), getattr(node, "target", node)]
        for target in [node, *names]:
            definitions[getattr(target, "name", getattr(target, "id", None))] = node
    return source, definitions
