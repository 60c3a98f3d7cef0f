"""Boxes: where the SSM commands of an instance run. Never on the machine itself.

The instance tagged `flowlag:role` = `sender` is the sender's host of the virtual network, the one tagged `target`
the target's. Where there is no network, a box does what the scripts of the template's TrafficDocument would do, in
this process; it understands nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from flowlag.capture import Seen
from flowlag.errors import FlowlagError, InvalidRequest
from flowlag.signature import HEADERS_BYTES
from local.flow_logs.records import INGRESS, parse_packet
from sender.capturing import capture
from sender.jobs import CAPTURE, SENDING, START_TIMEOUT_S, Job, NotStarted
from sender.order import Order
from sender.sending import send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.network.virtual import Host, InMemoryNetwork

ROLE_TAG: Final = "flowlag:role"
"""The tag that says which host of the network an instance is."""


type Boxes = Mapping[tuple[str, str], Box]
"""What stands for the instances, by their region and the value of that tag."""


class Outcome(NamedTuple):
    """How a script ended."""

    exit_code: int
    stdout: str
    stderr: str


class Box(Protocol):
    """What stands for an instance."""

    def run(self, script: str, environment: Mapping[str, str], timeout_s: float) -> Outcome:
        """Run a shell script as root of the instance and wait for its end, or its time to be up.

        Args:
            script: for /bin/sh.
            environment: what the SSM agent sets, credentials among it; the box adds what a login shell has.
            timeout_s: after so many seconds it is killed.
        """


def instance_environment(endpoint: str, region: str, instance_id: str, role_arn: str) -> dict[str, str]:
    """What makes a program on an instance find AWS, with the rights of its instance profile's role.

    On AWS the credentials come from the instance's metadata service and are renewed; these last an hour.
    """
    # A session of its own: boto3's default one is not for several threads.
    root = boto3.Session("test", "test", region_name=region)  # the embedded AWS's, which plays EC2 here
    sts = root.client("sts", endpoint_url=endpoint)
    credentials = sts.assume_role(RoleArn=role_arn, RoleSessionName=instance_id)["Credentials"]
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_SSM_REGION_NAME": region,
        "AWS_SSM_INSTANCE_ID": instance_id,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }


# ---------------------------------------------------------------- on the virtual network
@dataclass(frozen=True)
class HostBox:
    """A host of the virtual network.

    Attributes:
        home: its only directory for files that stay, FLOWLAG_HOME. Must exist.
    """

    host: Host
    home: Path

    def run(self, script: str, environment: Mapping[str, str], timeout_s: float) -> Outcome:
        """Run a script on the host, whose python3 and aws are the workspace's."""
        process = self.host.popen(
            ["/bin/sh", "-c", script],
            env={
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
                "HOME": str(self.home),
                "TMPDIR": str(self.home),
                "LANG": "C.UTF-8",
                "FLOWLAG_HOME": str(self.home),
                **environment,
            },
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,  # as the agent does: it waits for the last writer of the output, too
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            stderr += f"the command was killed after {timeout_s:g} s".encode()
        return Outcome(process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


# ---------------------------------------------------------------- without a network
_LOOK_S: Final = 0.2
_POLL_S: Final = 0.02


class InMemoryBox:
    """An instance on the network in memory: the sender's own code, in threads of this process."""

    def __init__(self, network: InMemoryNetwork, home: Path) -> None:
        self._network = network
        self._home = home
        self._works: dict[tuple[Job, str], _Work] = {}
        self._actions: Mapping[str, Callable[[Order, Mapping[str, str]], str]] = {
            "start-sending": partial(self._start, SENDING, self._send),
            "stop-sending": partial(self._stop, SENDING),
            "start-capture": partial(self._start, CAPTURE, self._capture),
            "stop-capture": partial(self._stop, CAPTURE),
        }

    def run(self, script: str, environment: Mapping[str, str], timeout_s: float) -> Outcome:
        """Do what the TrafficDocument's script would do with this environment."""
        del script, timeout_s
        action = self._actions.get(environment.get("SSM_Action", ""))
        if action is None:
            return Outcome(_NOT_UNDERSTOOD, "", "without a network, only the TrafficDocument's actions are done\n")
        try:
            return Outcome(0, action(_order(environment, self._home), environment), "")
        except (FlowlagError, OSError, BotoCoreError, ClientError) as reason:
            return Outcome(1, "", f"sender: {reason}\n")

    def _start(self, job: Job, work: _Worker, order: Order, _: Mapping[str, str]) -> str:
        file = job.file(order)
        running = self._works.get((job, order.run_id))
        if running is None:
            if file.exists():
                raise InvalidRequest(f"run '{order.run_id}' was here before: it left {file}")
            running = self._works[job, order.run_id] = _Work(partial(work, order))
        running.await_sign(lambda: job.is_under_way(_text(file)))
        return ""

    def _stop(self, job: Job, order: Order, environment: Mapping[str, str]) -> str:
        running = self._works.pop((job, order.run_id), None)
        if running is not None:
            running.end()
        file = job.file(order)
        if file.exists():
            _upload(order, file, environment)
        return f"{json.dumps(job.counts(_text(file), order))}\n"

    def _send(self, order: Order, stopping: threading.Event) -> None:
        from sender.packets import build  # noqa: PLC0415 - scapy takes a second

        send(order, build=partial(build, order), wire=self._network.transmit, wait=stopping.wait)

    def _capture(self, order: Order, stopping: threading.Event) -> None:
        arrived: SimpleQueue[Seen] = SimpleQueue()

        def take(packet: bytes, at_ns: int) -> None:
            seen = parse_packet(packet, at_ns, INGRESS)
            if seen and (seen.flow.dstport, seen.length) == (order.port, HEADERS_BYTES + order.payload_bytes):
                arrived.put(Seen(seen.flow.srcport, at_ns))

        def receive() -> Seen | None:
            try:
                return arrived.get(timeout=_LOOK_S)
            except Empty:
                return None

        self._network.subscribe_at_target(take)
        try:
            capture(order, receive=receive, wait=stopping.wait)
        finally:
            self._network.unsubscribe(take)


_NOT_UNDERSTOOD: Final = 2

type _Worker = Callable[[Order, threading.Event], None]


class _Work:
    """A thread of the sender's code, begun at once."""

    def __init__(self, work: Callable[[threading.Event], None]) -> None:
        self._stopping = threading.Event()
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._result = self._executor.submit(work, self._stopping)

    def await_sign(self, is_under_way: Callable[[], bool]) -> None:
        """Return when it is under way; raise why it ended before."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_under_way():
            if self._result.done():
                self._result.result()
            if self._result.done() or time.monotonic() > deadline:
                raise NotStarted("nothing happened")
            time.sleep(_POLL_S)

    def end(self) -> None:
        """Stop it and wait for its end."""
        self._stopping.set()
        self._executor.shutdown()


def _order(environment: Mapping[str, str], home: Path) -> Order:
    return Order(
        run_id=environment["SSM_RunId"],
        bucket=environment["SSM_Bucket"],
        source=environment["SSM_SourceAddress"],
        target=environment["SSM_TargetAddress"],
        port=int(environment["SSM_TargetPort"]),
        rate=int(environment["SSM_Rate"]),
        payload_bytes=int(environment["SSM_PayloadBytes"]),
        duration_s=int(environment["SSM_DurationSeconds"]),
        home=home,
    )


def _upload(order: Order, file: Path, environment: Mapping[str, str]) -> None:
    instance = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        environment["AWS_SESSION_TOKEN"],
        region_name=environment["AWS_SSM_REGION_NAME"],
    )
    s3 = instance.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"])
    key = order.uri(file).removeprefix(f"s3://{order.bucket}/")
    s3.put_object(Bucket=order.bucket, Key=key, Body=file.read_bytes())


def _text(file: Path) -> str:
    return file.read_text(encoding="ascii") if file.exists() else ""
