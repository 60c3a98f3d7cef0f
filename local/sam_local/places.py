"""Where `sam local` keeps what it makes: all of it inside the checkout, and none of it in git."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

from local.checkout import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

CACHE: Final[Path] = CHECKOUT / ".cache" / "sam-local"
"""What takes long to make and can be made again: Debian's packages, the stand-in for AWS's image."""

WORK: Final[Path] = CHECKOUT / ".build" / "sam-local"
"""What the SAM CLI built, the settings that it is run with, and the folders of engines."""

EVENTS: Final[Path] = CHECKOUT / "events"
STATE_MACHINE: Final[Path] = CHECKOUT / "statemachine" / "benchmark.asl.json"
PYTHON: Final = "3.13"
"""The runtime of every function."""


def architecture(machine: str = platform.machine()) -> str:
    """What Lambda calls a processor."""
    return {"aarch64": "arm64", "amd64": "x86_64"}.get(machine.lower(), machine.lower())
