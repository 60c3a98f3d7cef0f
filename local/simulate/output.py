"""The folder that a simulation leaves: made aside and put in its place whole, over an older one or nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TRUTH: Final = "truth.json"
MADE_BY: Final = "flowlag simulate"


class NotOurs(FlowlagError):
    """The folder holds something that no simulation left there; the message names it."""


@contextmanager
def put_in_place(out: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `out` when all is well, and else goes away.

    Raises:
        NotOurs: `out` is there, has something in it, and was not made by a simulation.
    """
    out = out.resolve()
    _refuse_foreign(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    made, old = aside / "made", aside / "old"
    try:
        made.mkdir()
        yield made
        if out.exists():
            out.rename(old)
        made.rename(out)
    finally:
        if old.exists() and not out.exists():
            old.rename(out)
        shutil.rmtree(aside)


def put(folder: Path, key: str, data: bytes) -> None:
    """Write an object of the tables under its key."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def put_truth(folder: Path, truth: Mapping[str, Any]) -> None:
    """Write what is true of the simulated data beside it."""
    text = json.dumps({"made_by": MADE_BY, **truth}, indent=1, allow_nan=False)
    (folder / TRUTH).write_text(f"{text}\n", encoding="utf-8")


def _refuse_foreign(out: Path) -> None:
    if not out.exists() or (out.is_dir() and (not any(out.iterdir()) or _is_ours(out / TRUTH))):
        return
    raise NotOurs(
        f"'{out}' is there already and was not made by '{MADE_BY}': give another --out, or the name of a new folder"
    )


def _is_ours(truth: Path) -> bool:
    try:
        document = json.loads(truth.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(document, dict) and document.get("made_by") == MADE_BY
