# ruff: noqa: INP001 - a build step that the root Makefile runs, not a module
"""One built layer as a zip: `python pack.py FOLDER ZIP`. The same files give the same bytes."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

LONG_AGO = (1980, 1, 1, 0, 0, 0)
READABLE = 0o100644 << 16
"""A regular file that everybody may read: a layer holds code, not programs."""


def main(folder: Path, target: Path) -> None:
    """Write every file of the folder to the zip, in order of name."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), LONG_AGO)
            entry.external_attr = READABLE
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
