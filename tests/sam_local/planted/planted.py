"""Functions that go wrong, each in its own way, and one that tells what it finds."""

import importlib
import os
import sys
import time
from pathlib import Path


def raises(_event, _context):
    raise LookupError("planted")


def sleeps(_event, _context):
    time.sleep(60)


def eats(_event, _context):
    return len(bytearray(os.urandom(1)) * 600_000_000)


def tells(event, context):
    return {
        "homes": {name: importlib.import_module(name).__file__ for name in event["import"]},
        "handler": __file__,
        "python": sys.version.split()[0],
        "memory_mb": int(context.memory_limit_in_mb),
        "remaining_ms": context.get_remaining_time_in_millis(),
        "can_write": os.access(Path(__file__).parent, os.W_OK),
    }
