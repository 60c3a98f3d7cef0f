# ruff: noqa: INP001 - a build step that the makefile beside it runs, not a module
"""Take from an installed pyarrow what no function uses: `python slim.py PYARROW_FOLDER`.

What goes is what only a build against pyarrow needs, what reads other formats, and every remote file system: the
functions reach S3 through boto3. What stays is what `pyarrow.lib` and `pyarrow.parquet` link to.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

UNUSED = (
    # to compile against pyarrow, and to test it
    "include",
    "includes",
    "src",
    "tests",
    "conftest.py",
    "*.pxd",
    "*.pxi",
    "*.pyx",
    "_pyarrow_cpp_tests.*",
    # the same library under its other two names: extensions link to libarrow_python.so.<ABI>
    "libarrow_python.so",
    "libarrow_python.so.*.*.*",
    # other machines, other file systems
    "*flight*",
    "*arrow_s3*",
    "_azurefs.*",
    "_gcsfs.*",
    "_hdfs.*",
    "_s3fs.*",
    # other formats; libarrow_substrait stays, for pyarrow.lib links to it
    "*parquet_encryption*",
    "*orc*",
    "_substrait.*",
    "substrait.py",
)

STRIPPERS = ("llvm-strip", "strip")
"""Symbol strippers, the best first: LLVM's reads every architecture, GNU's often its own only."""


def main(pyarrow: Path) -> None:
    """Slim the package in place, and say so where its symbols could not be stripped."""
    for pattern in UNUSED:
        for path in pyarrow.glob(pattern):
            remove(path)
    stripped = [strip(library) for library in sorted(pyarrow.glob("*.so*")) if is_elf(library)]
    if not all(stripped):
        print(  # noqa: T201 - a build step speaks to its user
            "flowlag: no strip program here knows these libraries; the arrow layer is 20 MB larger for it",
            file=sys.stderr,
        )


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def is_elf(library: Path) -> bool:
    """Whether it is Linux's: to strip what macOS has signed would make it unloadable."""
    with library.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def strip(library: Path) -> bool:
    """Drop the symbols that loading does not need; False where no stripper here knows the library's machine."""
    stripped = library.with_name(f"{library.name}.stripped")
    for stripper in filter(shutil.which, STRIPPERS):
        command = [stripper, "--strip-unneeded", "-o", str(stripped), str(library)]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:  # noqa: S603 - names of our own
            stripped.replace(library)
            return True
    stripped.unlink(missing_ok=True)
    return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))
