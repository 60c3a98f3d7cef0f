"""Deployed beside the functions: what a state calls in place of its own, for a run in which that goes wrong.

`{what, function, arm, memory, event}`: `what` goes wrong with the function of that name when it gets the event; in
one arm only, or whenever it is called if `arm` is empty. A crash happens once, as crashes do, so that a state which
tries again finds its function healed; the file `memory` remembers.
"""

import os
from importlib import import_module
from pathlib import Path


class Crashed(Exception):
    """What a crash is recognized by."""


def handler(call, context):
    """Do as the function would, or what goes wrong instead."""
    is_meant = call["arm"] in ("", call["event"].get("arm"))
    return (WRONG[call["what"]] if is_meant else _work)(call, context)


def _crash_before(call, context):
    _crash_once(call, "before its work")
    return _work(call, context)


def _crash_after(call, context):
    """The effect is there, the answer is lost."""
    answer = _work(call, context)
    _crash_once(call, "after its work")
    return answer


def _crash_always(call, _context):
    raise Crashed(f"{call['function']} crashed, as always")


def _refused_by_ec2(call, context):
    """Have the function talk to an EC2 that refuses everything: it answers where Systems Manager does."""
    clients = import_module("flowlag_aws.clients")
    clients.ec2.cache_clear()
    os.environ["AWS_ENDPOINT_URL_EC2"] = os.environ["AWS_ENDPOINT_URL_SSM"]
    try:
        return _work(call, context)
    finally:
        del os.environ["AWS_ENDPOINT_URL_EC2"]
        clients.ec2.cache_clear()


WRONG = {
    "crash_before": _crash_before,
    "crash_after": _crash_after,
    "crash_always": _crash_always,
    "refused_by_ec2": _refused_by_ec2,
}


def _work(call, context):
    return import_module(call["function"]).handler(call["event"], context)


def _crash_once(call, when):
    try:
        Path(call["memory"]).touch(exist_ok=False)
    except FileExistsError:
        return
    raise Crashed(f"{call['function']} crashed {when}")
