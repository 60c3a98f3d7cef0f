"""Every command of docs/sam-local.md, run."""

import json
import re
import socket
import subprocess
import time
from contextlib import closing

import pytest

from local.checkout import CHECKOUT

pytestmark = pytest.mark.slow

MANUAL = (CHECKOUT / "docs" / "sam-local.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", MANUAL, re.DOTALL | re.MULTILINE)
OF_MAKE = [each for each in BLOCKS if each.startswith("make ")]
(OF_THE_DEBUGGER,) = (each for each in BLOCKS if "--debug-port" in each)
(BEFORE,) = (each for each in BLOCKS if each.startswith(".uv/bin/uv "))
IN_THE_SHELL = [each for each in BLOCKS if each not in (*OF_MAKE, BEFORE, OF_THE_DEBUGGER)]


def run(session, script, **options):
    return session.start(
        ["bash", "-euo", "pipefail", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


@pytest.mark.parametrize("command", OF_MAKE, ids=str.strip)
def test_make_does_what_is_run_here(command):
    """The programs themselves are run by the other tests, and by `make arm64`, which takes minutes."""
    said = subprocess.run(
        [*command.split(), "--dry-run"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    assert ".venv/bin/python -m local.sam_local" in said


@pytest.mark.usefixtures("engine")
def test_the_shell_s_commands_do_what_the_manual_says(session):
    process = run(session, "\n".join(IN_THE_SHELL))
    stdout, stderr = (each.decode() for each in process.communicate())
    assert process.returncode == 0, stderr[-3_000:]
    first, plan, second, answered, decoded = answers(stdout)
    assert (first["arms"], first["traffic_s"]) == (["cloudwatch-600"], 60)
    assert plan["run_id"] == "first-light"
    assert second["traffic_s"] == 90
    assert answered["StatusCode"] == 200
    assert (CHECKOUT / ".build/sam-local/answer.json").read_text() == "{}"
    assert decoded["probes"] == 3


def answers(stdout):
    """The JSON documents in what was printed."""
    found, decoder = [], json.JSONDecoder()
    while (at := stdout.find("{")) >= 0:
        document, end = decoder.raw_decode(stdout[at:])
        found.append(document)
        stdout = stdout[at + end :]
    return found


@pytest.mark.usefixtures("engine")
def test_a_debugger_stops_a_function_where_it_is_told(session):
    source = (CHECKOUT / "functions" / "plan_run.py").read_text().splitlines()
    line = 1 + next(number for number, each in enumerate(source) if "Planning.read()" in each)
    subprocess.run(["bash", "-euo", "pipefail", "-c", BEFORE], cwd=CHECKOUT, check=True)
    process = run(session, OF_THE_DEBUGGER)
    with session.debugger() as port, attached(port, process) as debugger:
        debugger.ask("initialize", adapterID="flowlag", pathFormat="path", linesStartAt1=True)
        debugger.say("attach", justMyCode=False)
        debugger.await_("event", "initialized")
        debugger.ask("setBreakpoints", source={"path": "/var/task/plan_run.py"}, breakpoints=[{"line": line}])
        debugger.ask("configurationDone")
        stopped = debugger.await_("event", "stopped")
        frames = debugger.ask("stackTrace", threadId=stopped["body"]["threadId"])["body"]["stackFrames"]
        assert (frames[0]["name"], frames[0]["line"]) == ("handler", line)
        debugger.ask("continue", threadId=stopped["body"]["threadId"])
        stdout, stderr = (each.decode() for each in process.communicate())
    assert answers(stdout)[-1]["arms"] == ["cloudwatch-600"], stderr[-3_000:]


class Debugger:
    """The debug adapter protocol, as far as this goes: https://microsoft.github.io/debug-adapter-protocol."""

    def __init__(self, connection):
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._number = 0

    def close(self):
        self._stream.close()
        self._connection.close()

    def say(self, command, **arguments):
        self._number += 1
        body = json.dumps({"seq": self._number, "type": "request", "command": command, "arguments": arguments})
        self._connection.sendall(f"Content-Length: {len(body)}\r\n\r\n{body}".encode())

    def ask(self, command, **arguments):
        self.say(command, **arguments)
        return self.await_("command", command)

    def await_(self, kind, name):
        while True:
            header = self._stream.readline()
            if not header:
                raise ConnectionError
            self._stream.readline()
            message = json.loads(self._stream.read(int(header.partition(b":")[2])))
            if message.get(kind) == name:
                assert message.get("success", True), message
                return message


def attached(port, process):
    """A debugger, as soon as the function waits for one: until then the container drops every connection."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        debugger = Debugger(connection)
        try:
            debugger.await_("event", "output")  # the adapter's first word
        except ConnectionError:
            debugger.close()
            assert process.poll() is None, process.stderr.read().decode()[-2_000:]
            time.sleep(0.2)
        else:
            return closing(debugger)
    raise AssertionError("nothing listens for a debugger")
