import subprocess
import sys
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from flowlag_aws import bundle
from flowlag_aws.bundle import PACKAGES, NoSuchPackage, pack, upload_bundle
from tests.functions.stack import ROOT, Cloud

IMPORTS = (
    "import sys; sys.path = [sys.argv[1], *sys.path]; import scapy, sender; print(sender.__file__, scapy.__file__)"
)


@pytest.fixture(scope="module")
def packed() -> bytes:
    return pack(PACKAGES)


@pytest.fixture(scope="module")
def unpacked(packed: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(BytesIO(packed)) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder


def test_the_same_packages_give_the_same_bytes(packed: bytes) -> None:
    assert pack(PACKAGES) == packed


def test_a_changed_source_gives_another_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "planted" / "__init__.py"
    source.parent.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    digests = set()
    for text in ("A = 1\n", "A = 2\n"):
        source.write_text(text)
        digests.add(sha256(pack(("planted",))).hexdigest())
    assert len(digests) == 2


def test_the_bundle_holds_the_sources_of_the_three_packages_and_nothing_of_today(packed: bytes) -> None:
    with zipfile.ZipFile(BytesIO(packed)) as archive:
        names = archive.namelist()
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("flowlag/stamp.py") == (ROOT / "layers/core/flowlag/stamp.py").read_bytes()
    assert {name.partition("/")[0] for name in names} == {"flowlag", "scapy", "sender"}
    assert all(name.endswith(".py") for name in names)
    senders = {path.name for path in (ROOT / "sender").glob("*.py")}
    assert {name.removeprefix("sender/") for name in names if name.startswith("sender/")} == senders


def test_the_sender_runs_from_the_bundle_and_from_nothing_else(unpacked: Path) -> None:
    # -I: no site-packages of this environment but the interpreter's own, no current folder, no PYTHONPATH.
    command = [sys.executable, "-I", "-S", "-c", IMPORTS, str(unpacked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == [str(unpacked / "sender/__init__.py"), str(unpacked / "scapy/__init__.py")]


def test_the_senders_command_is_found_as_the_document_calls_it(unpacked: Path) -> None:
    command = [sys.executable, "-S", "-m", "sender", "--help"]
    done = subprocess.run(
        command, cwd=unpacked, env={"PATH": ""}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "start-sending" in done.stdout


def test_a_package_that_a_layer_lacks_is_named() -> None:
    with pytest.raises(NoSuchPackage, match="the package 'no_such' is not in the layers of this function"):
        pack(("flowlag", "no_such"))


def test_a_module_is_no_package() -> None:
    with pytest.raises(NoSuchPackage, match=r"the package 'json\.decoder' is not in the layers of this function"):
        pack(("json.decoder",))


def test_the_bundle_is_uploaded_once_under_its_digest(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "PACKAGES", ("flowlag",))
    digest = upload_bundle(cloud.store)
    data = pack(("flowlag",))
    assert digest == sha256(data).hexdigest()
    assert cloud.objects() == {f"control/bundles/{digest}.zip": data}
    cloud.store.put(f"control/bundles/{digest}.zip", b"already there")
    assert upload_bundle(cloud.store) == digest
    assert cloud.objects() == {f"control/bundles/{digest}.zip": b"already there"}
