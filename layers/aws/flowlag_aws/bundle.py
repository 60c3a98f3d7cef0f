"""The bundle: the sender's code and its pinned scapy as one zip, by which they reach an instance without internet.

They come with the same deploy as the functions, in a layer of StartTraffic; the instance fetches the bundle from
the results bucket through the S3 gateway endpoint and checks its digest. The same packages give the same bytes.
"""

from __future__ import annotations

import zipfile
from hashlib import sha256
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flowlag.errors import FlowlagError
from flowlag_aws.store import Store, bundle_key

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES: Final = ("flowlag", "scapy", "sender")
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)


class NoSuchPackage(FlowlagError):
    """A layer lacks a package that the bundle needs."""


def upload_bundle(store: Store) -> str:
    """Put the bundle where instances fetch it, unless it is there, and return its SHA-256 in hex."""
    data = pack(PACKAGES)
    digest = sha256(data).hexdigest()
    if not store.exists(bundle_key(digest)):
        store.put(bundle_key(digest), data)
    return digest


def pack(packages: tuple[str, ...]) -> bytes:
    """A zip of installed packages' Python sources; the same sources give the same bytes."""
    sink = BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for package in packages:
            for name, source in _sources(package):
                archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), source, zipfile.ZIP_DEFLATED)
    return sink.getvalue()


def _sources(package: str) -> Iterator[tuple[str, bytes]]:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NoSuchPackage(f"the package '{package}' is not in the layers of this function")
    root = Path(spec.submodule_search_locations[0])
    for path in sorted(root.rglob("*.py")):
        yield f"{package}/{path.relative_to(root).as_posix()}", path.read_bytes()
