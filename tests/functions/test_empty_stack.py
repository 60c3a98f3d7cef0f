import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from flowlag_aws import clients, store
from tests.functions.events import load
from tests.functions.remains import Remains, left
from tests.functions.run import ARM, MACHINE, PLAN, STACK, Json, execution
from tests.functions.stack import Cloud

type Control = Callable[[str], str]


@dataclass
class CloudFormation:
    """What waits for the answer: a signed URL, here on this machine."""

    url: str = ""
    answers: list[Json] = field(default_factory=list)
    content_types: list[str | None] = field(default_factory=list)


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    waiting = CloudFormation()

    class Answered(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            waiting.content_types.append(self.headers["Content-Type"])
            waiting.answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answered)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    waiting.url = f"http://127.0.0.1:{server.server_port}/answer?signature=x"
    yield waiting
    server.shutdown()
    thread.join()
    server.server_close()


def ask(cloud: Cloud, cloudformation: CloudFormation, request_type: str = "Delete") -> None:
    """Have CloudFormation ask for this; on creation it knows no physical id yet."""
    event = load("empty_stack") | {"RequestType": request_type, "ResponseURL": cloudformation.url}
    if request_type == "Create":
        del event["PhysicalResourceId"]
    cloud.invoke("empty_stack", event)


def answer(status: str, reason: str = "") -> Json:
    event = load("empty_stack")
    same = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    return same | {"Status": status, "Reason": reason, "PhysicalResourceId": "EmptiedStack"}


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_while_the_stack_stays_nothing_is_done_but_to_answer(
    cloud: Cloud, cloudformation: CloudFormation, remains: Remains, request_type: str
) -> None:
    remains.everything()
    objects, there = cloud.objects(), left(cloud)
    ask(cloud, cloudformation, request_type)
    assert cloudformation.answers == [answer("SUCCESS")]
    assert cloudformation.content_types == [""]  # which the URL is signed for
    assert (cloud.objects(), left(cloud)) == (objects, there)
    assert cloud.calls == []


def test_when_the_stack_goes_its_runs_end_and_nothing_remains_but_results(
    cloud: Cloud, cloudformation: CloudFormation, remains: Remains, start: Control, abort: Control
) -> None:
    for run_id in ("one", "two", "three"):
        remains.everything(run_id)
    for run_id in ("one", "two"):
        start(run_id)
    abort("three")
    cloud.results.put("runs/x.parquet", b"a result")
    ask(cloud, cloudformation)
    assert cloudformation.answers == [answer("SUCCESS")]
    for run_id in ("one", "two", "three"):
        described = clients.stepfunctions().describe_execution(executionArn=execution(run_id))
        assert described["status"] == "ABORTED"
    assert left(cloud) == (set(), set(), set())
    assert cloud.objects() == {"runs/x.parquet": b"a result"}


def test_executions_end_before_flow_logs_go_and_the_bucket_is_emptied_last(
    cloud: Cloud, cloudformation: CloudFormation, remains: Remains, start: Control
) -> None:
    start(PLAN.run_id)
    remains.everything()
    ask(cloud, cloudformation)
    removals = {"StopExecution", "DeleteFlowLogs", "DeleteLogGroup", "DeleteObjects"}
    in_order = [operation for operation, _ in cloud.calls if operation in removals]
    assert in_order == ["StopExecution", "DeleteFlowLogs", "DeleteLogGroup", "DeleteObjects"]


def test_a_stack_that_is_empty_and_without_its_state_machine_is_emptied_again(
    cloud: Cloud, cloudformation: CloudFormation, remains: Remains, start: Control
) -> None:
    start(PLAN.run_id)
    remains.everything()
    ask(cloud, cloudformation)
    clients.stepfunctions().delete_state_machine(stateMachineArn=MACHINE)
    ask(cloud, cloudformation)
    assert cloudformation.answers == [answer("SUCCESS")] * 2


@pytest.mark.usefixtures("start")
def test_more_objects_than_one_call_deletes_go_too(
    cloud: Cloud, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_KEYS_PER_DELETE", 3)
    for number in range(7):
        cloud.store.put(f"landing/run/arm/{number}.parquet", b"")
    ask(cloud, cloudformation)
    deleted = [params["Delete"]["Objects"] for operation, params in cloud.calls if operation == "DeleteObjects"]
    assert [len(each) for each in deleted] == [3, 3, 1]
    assert cloud.objects() == {}


@pytest.mark.usefixtures("start")
def test_another_stack_keeps_what_it_has(cloud: Cloud, cloudformation: CloudFormation, remains: Remains) -> None:
    remains.everything()
    theirs = remains.flow_log(PLAN.run_id, owner=f"{PLAN.execution.replace('flowlag-', 'flowlag-2-')}")
    group = f"/flowlag/{STACK}-2/{PLAN.run_id}/{ARM}"
    clients.logs().create_log_group(logGroupName=group)
    ask(cloud, cloudformation)
    assert left(cloud) == ({theirs}, {group}, set())


@pytest.mark.usefixtures("start")
def test_a_failure_is_answered_with_its_reason_and_is_one(
    cloud: Cloud, cloudformation: CloudFormation, remains: Remains, stub: Callable[..., Stubber]
) -> None:
    remains.everything()
    stub(clients.ec2()).add_client_error("describe_flow_logs", "UnauthorizedOperation", "x" * 5_000)
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ask(cloud, cloudformation)
    (failed,) = cloudformation.answers
    assert failed == answer("FAILED", failed["Reason"])
    assert failed["Reason"].startswith(
        "ClientError: An error occurred (UnauthorizedOperation) when calling the Des"
    )
    assert len(json.dumps(failed)) < 4_096
    assert cloud.objects()  # flow logs that remain go on delivering: the bucket comes last
