"""Take from an installed NumPy what no function uses: `python slim.py NUMPY_FOLDER`.

What goes is what only a build against NumPy needs, what tests it, and what type checkers read. The libraries are
stripped as they come.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

UNUSED = (
    # to compile against NumPy, or to bundle it
    "_core/include",
    "_core/lib",
    "_pyinstaller",
    "f2py",
    "random/_examples",
    "random/lib",
    "**/*.pxd",
    # to test it
    "**/tests",
    "_core/*_tests.*.so",
    "_core/_simd.*.so",
    "conftest.py",
    "testing",
    # for type checkers and readers
    "doc",
    "typing",
    "**/*.pyi",
)
"""Patterns below the package."""


def main(numpy: Path) -> None:
    """Slim the package in place."""
    for pattern in UNUSED:
        for path in [*numpy.glob(pattern)]:
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
