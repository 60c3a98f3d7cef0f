"""Deployed beside the functions: what a state calls in place of its own, for a run in which that goes wrong.

`FUNCTION` is the module that it stands in for. A crash happens once, as crashes do, so that a state which tries
again finds its function healed; the file `ALREADY_CRASHED` remembers.
"""

import os
from importlib import import_module
from pathlib import Path


class Crashed(Exception):
    """What a crash is recognized by."""


def crash_before(event, context):
    """Crash before the function did anything."""
    _crash_once("before its work")
    return _work(event, context)


def crash_after(event, context):
    """Crash after the function did its work: the effect is there, the answer is lost."""
    answer = _work(event, context)
    _crash_once("after its work")
    return answer


def crash_always(_event, _context):
    """Crash before the function did anything, every time."""
    raise Crashed(f"{os.environ['FUNCTION']} crashed, as always")


def refused_by_ec2(event, context):
    """Have the function talk to an EC2 that refuses everything: it answers where Systems Manager does."""
    os.environ["AWS_ENDPOINT_URL_EC2"] = os.environ["AWS_ENDPOINT_URL_SSM"]
    return _work(event, context)


def _work(event, context):
    return import_module(os.environ["FUNCTION"]).handler(event, context)


def _crash_once(when):
    try:
        Path(os.environ["ALREADY_CRASHED"]).touch(exist_ok=False)
    except FileExistsError:
        return
    raise Crashed(f"{os.environ['FUNCTION']} crashed {when}")
