"""Debian's packages, unpacked into a folder of ours. Nothing is installed, and no maintainer's script runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flowlag.errors import FlowlagError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class NoPackages(FlowlagError):
    """Debian's packages cannot be had here; the message says why."""


def unpacked(packages: Sequence[str], folder: Path) -> Path:
    """The folder with these packages in it, which stay there for the next time.

    Raises:
        NoPackages: this is not Debian, or apt-get could not get them.
    """
    if folder.exists():
        return folder
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise NoPackages(f"there is no {program} here, and so none of Debian's packages")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        _download(packages, Path(aside))
        root = Path(aside) / "root"
        for archive in sorted(Path(aside).glob("*.deb")):
            _check(["dpkg-deb", "--extract", str(archive), str(root)])
        root.replace(folder)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """What finds the programs of unpacked packages, and the libraries that came with them."""
    libraries = sorted({str(path.parent) for path in folder.glob("**/lib/*-linux-gnu/*.so*")})
    places = [*(str(folder / place) for place in ("usr/sbin", "usr/bin")), "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    found = {"PATH": os.pathsep.join(places), "LANG": "C.UTF-8"}
    return found | ({"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {})


def _download(packages: Sequence[str], folder: Path) -> None:
    """Download from the mirror that the machine's apt has; where it has no lists yet, with lists of our own."""
    as_root = ["-o", "APT::Sandbox::User=root"]  # apt's own user cannot write into the folder
    try:
        _check(["apt-get", "-qq", *as_root, "download", *packages], cwd=folder)
    except NoPackages:
        (folder / "lists" / "partial").mkdir(parents=True)
        ours = [*as_root, "-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder}"]
        _check(["apt-get", "-qq", *ours, "update"])
        _check(["apt-get", "-qq", *ours, "download", *packages], cwd=folder)


def _check(argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)  # noqa: S603, PLW1510 - programs of the system, checked below
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NoPackages(f"{Path(argv[0]).name} failed: {' / '.join(said[-3:]) or 'it said nothing'}")


def bootstrap(suite: str, packages: Sequence[str], root: Path, *, machine: str, tools: Path) -> None:
    """Unpack a whole root file system of Debian, by mmdebstrap of `tools`, for a processor (`amd64`, `arm64`).

    Raises:
        NoPackages: mmdebstrap could not.
    """
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "locale", "man")]
    _check(
        [
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=extract", f"--architectures={machine}"),
            *excluded,
            f"--include={','.join(packages)}",
            *(suite, str(root)),
        ],
        env=environment(tools) | {"TMPDIR": str(root.parent)},
    )
