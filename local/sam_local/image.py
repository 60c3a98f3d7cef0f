"""A stand-in for AWS's Lambda image, where no container registry can be reached.

Debian has the Python of the functions' runtime; awslambdaric, AWS's own runtime client, is pinned by this project.
So the stand-in proves what SAM and Lambda do with a template, its layers, events, memory and time. It is not Amazon
Linux 2023: its C library is newer than Lambda's, which is why tests/template/test_layers.py reads the wheels' tags.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

from local.cloud import runtime
from local.sam_local import debian
from local.sam_local.places import CACHE, PYTHON, architecture

SUITE: Final = "trixie"
"""The Debian whose python3 is `PYTHON`."""

PACKAGES: Final = (
    "base-files", "ca-certificates", "coreutils", "dash", "libpython3-stdlib", "libstdc++6", "python3-minimal",
    "tzdata", "zlib1g",
)  # fmt: skip
"""SAM runs sh, mv, cp, rm and chmod in the image; the runtime client and pyarrow need libstdc++."""

_DEBIAN: Final = {"x86_64": "amd64", "arm64": "arm64"}
_LEFT_OUT: Final = ("./dev", "./proc", "./sys", "./var/cache", "./var/lib/apt", "./var/lib/dpkg")
"""What a container brings itself, or has no use for."""

_ENVIRONMENT: Final = {
    "LANG": "en_US.UTF-8",
    "TZ": ":/etc/localtime",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task/lib:/opt/lib",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}
"""As in AWS's image: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html (2026-11-23)."""

# The emulator starts `bootstrap`. For a debugger SAM starts /var/lang/bin/python3.13 with the debugger's arguments
# and bootstrap.py instead (samcli/local/docker/lambda_debug_settings.py, 1.170.0).
_BOOTSTRAP: Final = f"""#!/bin/sh
exec /var/lang/bin/python{PYTHON} /var/runtime/bootstrap.py
"""
_BOOTSTRAP_PY: Final = f"""import os
import sys

os.environ["AWS_EXECUTION_ENV"] = "AWS_Lambda_python{PYTHON}"
sys.path[:0] = ["/var/task", "/opt/python/lib/python{PYTHON}/site-packages", "/opt/python"]

from awslambdaric.__main__ import main

main(["awslambdaric", os.environ["_HANDLER"]])
"""


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a file, as `docker save` writes one.

    Attributes:
        path: the file.
        python: its Python's version.
        libc: its C library's.
    """

    path: Path
    python: str
    libc: str


def image_name() -> str:
    """What SAM calls the image of the functions' runtime on this machine."""
    return f"public.ecr.aws/lambda/python:{PYTHON}-{architecture()}"


def recipe() -> str:
    """A checksum of what makes the stand-in: this code, and the pinned packages of the runtime."""
    code = (Path(module).read_bytes() for module in (__file__, debian.__file__, runtime.__file__))
    return sha256(b"".join([*code, *(each.encode() for each in runtime.pinned())])).hexdigest()[:16]


def is_cached() -> bool:
    """Whether the stand-in need not be made."""
    return _cached().is_dir()


def stand_in() -> Image:
    """The stand-in, of the cache or made now.

    Raises:
        NoPackages: Debian's packages cannot be had here, or there is no root to unpack a system.
    """
    folder = _cached()
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
            made = Path(aside) / "made"
            made.mkdir()
            root = system(architecture(), Path(aside) / "root")
            (made / "about.json").write_text(json.dumps(_about(root)))
            _compile(root)
            _save(root, made / "image.tar")
            made.rename(folder)
    about = json.loads((folder / "about.json").read_text())
    return Image(folder / "image.tar", about["python"], about["libc"])


def system(of: str, root: Path) -> Path:
    """Make `root` the root file system of a function on a processor, as Lambda calls it; return it.

    It must not exist, and its folder must.
    """
    if os.geteuid() != 0:
        raise debian.NoPackages("only root can unpack a whole system")
    tools = debian.unpacked(("mmdebstrap",), CACHE / "mmdebstrap")
    debian.bootstrap(SUITE, PACKAGES, root, machine=_DEBIAN[of], tools=tools)
    runtime.copy_runtime(root / "var/runtime")
    for name, text in {"bootstrap": _BOOTSTRAP, "bootstrap.py": _BOOTSTRAP_PY}.items():
        (root / "var/runtime" / name).write_text(text)
        (root / "var/runtime" / name).chmod(0o755)
    for place in ("opt", "var/lang/bin", "var/rapid", "var/task"):
        (root / place).mkdir(parents=True, exist_ok=True)
    (root / f"var/lang/bin/python{PYTHON}").symlink_to(f"/usr/bin/python{PYTHON}")
    # What maintainer's scripts would have done.
    if not (root / "usr/bin/sh").exists():
        (root / "usr/bin/sh").symlink_to("dash")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    return root


def extract(image: Image, root: Path) -> Path:
    """Unpack an image's one layer, for who has no engine; return where."""
    with tarfile.open(image.path) as archive:
        (layer,) = json.load(_member(archive, "manifest.json"))[0]["Layers"]
        with tarfile.open(fileobj=_member(archive, layer)) as files:
            files.extractall(root, filter="fully_trusted")  # noqa: S202 - we made it
    return root


# ---------------------------------------------------------------- the file
def _cached() -> Path:
    return CACHE / f"image-{recipe()}"


def _about(root: Path) -> dict[str, str]:
    """The versions, by the image's own Python."""
    ask = "import json, platform; print(json.dumps([platform.python_version(), ' '.join(platform.libc_ver())]))"
    python, libc = json.loads(_python_of(root, "-c", ask))
    return {"python": python, "libc": libc}


def _compile(root: Path) -> None:
    """As AWS's image is: else each new container compiles the standard library, for a second of a processor."""
    _python_of(root, "-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash", *_COMPILED)


_COMPILED: Final = (f"/usr/lib/python{PYTHON}", "/var/runtime")


def _python_of(root: Path, *arguments: str) -> bytes:
    """What the image's own Python says."""
    return subprocess.run(  # noqa: S603 - what we have just unpacked
        ["/usr/sbin/chroot", str(root), f"/usr/bin/python{PYTHON}", "-I", *arguments],
        env={"PATH": "/usr/bin"},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def _save(root: Path, target: Path) -> None:
    """Write an image of one layer.

    The format is Docker's own: https://github.com/moby/docker-image-spec/blob/main/spec.md (2026-11-23).
    """
    layer = target.with_suffix(".layer")
    with tarfile.open(layer, "w") as archive:
        archive.add(root, arcname=".", filter=lambda entry: None if entry.name.startswith(_LEFT_OUT) else entry)
    with layer.open("rb") as file:
        digest = _digest(file.read())
    config = {
        "architecture": _DEBIAN[architecture()],
        "os": "linux",
        "config": {
            "Env": [f"{name}={value}" for name, value in _ENVIRONMENT.items()],
            "WorkingDir": "/var/task",
            "Entrypoint": ["/var/rapid/aws-lambda-rie"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    document = json.dumps(config).encode()
    name, layer_name = f"{_digest(document)}.json", f"{digest}/layer.tar"
    manifest = [{"Config": name, "RepoTags": [image_name()], "Layers": [layer_name]}]
    with tarfile.open(target, "w") as archive:
        _add(archive, name, document)
        archive.add(layer, arcname=layer_name)
        _add(archive, "manifest.json", json.dumps(manifest).encode())
    layer.unlink()


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    member = archive.extractfile(name)
    assert member is not None  # noqa: S101 - it is a file
    return member
