"""One invocation of a function, and what came of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an invocation ended with.

    `sam local invoke` ends with status 0 when a handler raises, runs out of time or is killed for its memory
    (aws-sam-cli 1.170.0), and start-lambda answers 200: only what they print tells.

    Attributes:
        answer: what the function returned, or the error as Lambda describes one; None where it said nothing.
        failure: what went wrong, in one line; empty where nothing did.
        log: what the function and its container said.
    """

    answer: Any
    failure: str
    log: str

    @property
    def has_begun(self) -> bool:
        """Whether the function began; else nothing answered in its container."""
        return "START RequestId" in self.log or _NEVER not in self.log

    @classmethod
    def of(cls, stdout: str, stderr: str, *, status: int = 0) -> Outcome:
        """Judge by what the SAM CLI printed on the two streams, and its exit status."""
        said = stdout.strip()
        if status != 0:
            return cls(None, f"sam ended with status {status}: {_last_line(stderr)}", stderr)
        if not said:
            reason = _REASON.search(stderr)
            return cls(None, reason[0] if reason else "it ended without an answer", stderr)
        try:
            answer = json.loads(said)
        except ValueError:
            return cls(said, f"it answered what is no JSON: {said[:200]}", stderr)
        if isinstance(answer, dict) and "errorType" in answer:
            return cls(answer, f"{answer['errorType']}: {answer.get('errorMessage', '')}", stderr)
        return cls(answer, "", stderr)


_NEVER = "No response from invoke container"
_REASON = re.compile(r"Function '\w+' timed out.*|[^\n]*signal: killed.*|No response from.*")


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
