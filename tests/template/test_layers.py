"""The layers as AWS gets them: built as SAM builds them, for both architectures, and then measured and used."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SOURCES = {
    "CoreLayer": ROOT / "layers/core",
    "AwsLayer": ROOT / "layers/aws",
    "ArrowLayer": ROOT / "layers/arrow",
    "SenderLayer": ROOT / "sender",
}
DEFAULT_ARCHITECTURE = "arm64"
"""The template parameter's default: a plain `sam build` says nothing to the makefiles, and must give this one."""
COMPILED = ("CoreLayer", "AwsLayer", "ArrowLayer")
MB = 1_000_000
UNCHECKED_HASH = (1).to_bytes(4, "little")

# Runs in an interpreter that has nothing but the layers and the standard library. It reads as the product does:
# the threads of `read_table` abort one process in a hundred as it ends (apache/arrow issue 34314).
ROUND_TRIP = """
import sys
sys.path += sys.argv[1:]
import io, json
import aws_lambda_powertools, flowlag, jmespath
import pyarrow as pa, pyarrow.parquet as pq
from flowlag_aws import flow_log_parquet

numbers = [1, 2, 3, 65_535, 0, -7] * 1_000
table = pa.table({"tick": pa.array(numbers, pa.int64()), "arm": pa.array(["cwl-600"] * len(numbers))})
file = io.BytesIO()
pq.write_table(
    table, file, compression="zstd", use_dictionary=["arm"], column_encoding={"tick": "DELTA_BINARY_PACKED"}
)
written = pq.ParquetFile(io.BytesIO(file.getvalue()))
column = written.metadata.row_group(0).column(0)

flow_log = io.BytesIO()
pq.write_table(pa.table({"dstport": [443, 443, 7777], "log_status": ["OK"] * 3}), flow_log)
with flow_log_parquet.opened(flow_log) as opened:
    glances = list(flow_log_parquet.glances(opened, flow_log_parquet.format_of(opened), 7777))

print(json.dumps({
    "glances": [[glance.foreign, glance.doubtful] for glance in glances],
    "equal": written.read().equals(table),
    "compression": column.compression,
    "encodings": column.encodings,
    "numpy": "numpy" in sys.modules,
    "homes": [module.__file__ for module in (aws_lambda_powertools, flowlag, jmespath, pa)],
}))
"""


def build(layer, architecture, folder, path=None):
    """Build one layer as `sam build` does: the project's makefile, run in a copy of the layer's sources."""
    source = SOURCES[layer]
    scratch, artifacts = folder / "scratch" / layer, folder / layer
    shutil.copytree(source, scratch)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "ARCH"))}
    environment["ARTIFACTS_DIR"] = str(artifacts)
    if architecture != DEFAULT_ARCHITECTURE:
        environment["ARCHITECTURE"] = architecture
    if path:
        environment["PATH"] = path
    made = subprocess.run(
        ["make", "--makefile", source / "Makefile", f"build-{layer}"],
        cwd=scratch,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return artifacts, made.stderr


@pytest.fixture(scope="module", params=[DEFAULT_ARCHITECTURE, "x86_64"])
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def layers(architecture, tmp_path_factory):
    """Where each layer lies, built for `architecture`."""
    folder = tmp_path_factory.mktemp(architecture)
    return {layer: build(layer, architecture, folder)[0] for layer in SOURCES}


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def unzipped(*folders):
    return sum(path.stat().st_size for folder in folders for path in files(folder))


def zipped(folder, target):
    subprocess.run([sys.executable, ROOT / "layers/pack.py", folder, target], check=True)
    return target.stat().st_size


def contents(folder):
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files(folder)}


def test_the_arrow_layer_is_slim(layers, tmp_path):
    assert unzipped(layers["ArrowLayer"]) <= 110 * MB
    assert zipped(layers["ArrowLayer"], tmp_path / "arrow.zip") <= 40 * MB


def test_a_function_and_its_layers_leave_lambda_room(layers):
    assert unzipped(ROOT / "functions", *(layers[layer] for layer in COMPILED)) <= 150 * MB


def test_each_layer_holds_its_packages_and_what_they_need(layers):
    packages = {
        layer: {path.name for path in (folder / "python").iterdir() if path.suffix != ".dist-info"}
        for layer, folder in layers.items()
    }
    assert packages == {
        "CoreLayer": {"flowlag"},
        "AwsLayer": {"flowlag_aws", "aws_lambda_powertools", "jmespath", "typing_extensions.py", "__pycache__"},
        "ArrowLayer": {"pyarrow"},
        "SenderLayer": {"sender", "scapy"},
    }
    assert all([path.name for path in folder.iterdir()] == ["python"] for folder in layers.values())


@pytest.mark.parametrize(
    ("layer", "package", "source"),
    [
        ("CoreLayer", "flowlag", "layers/core/flowlag"),
        ("AwsLayer", "flowlag_aws", "layers/aws/flowlag_aws"),
        ("SenderLayer", "sender", "sender"),
    ],
)
def test_our_own_code_is_there_as_it_stands_in_the_project(layers, layer, package, source):
    modules = {path.name: path.read_bytes() for path in (ROOT / source).glob("*.py")}
    built = {path.name: path.read_bytes() for path in (layers[layer] / "python" / package).glob("*.py")}
    assert built == modules
    assert modules


def test_no_wheel_needs_a_newer_system_than_lambda_has(layers, architecture):
    tags = [
        tag
        for folder in layers.values()
        for wheel in folder.glob("python/*.dist-info/WHEEL")
        for tag in re.findall(r"^Tag: \S+-(\S+)$", wheel.read_text(), re.MULTILINE)
    ]
    assert "any" in tags
    machine = "aarch64" if architecture == "arm64" else architecture
    native = {tag for tag in tags if tag != "any"}
    assert native
    for tag in native:
        glibc = re.fullmatch(rf"manylinux_(\d+)_(\d+)_{machine}", tag)
        assert glibc, tag
        assert tuple(map(int, glibc.groups())) <= (2, 28)


def test_every_library_is_for_its_architecture(layers, architecture):
    libraries = [path for folder in layers.values() for path in files(folder) if ".so" in path.name]
    assert {path.name for path in libraries} >= {"libarrow.so.2600", "libparquet.so.2600"}
    machine = {"arm64": 183, "x86_64": 62}[architecture]  # EM_AARCH64, EM_X86_64
    for library in libraries:
        header = library.read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == machine, library


@pytest.mark.parametrize("layer", COMPILED)
def test_every_module_is_compiled_for_lambda(layers, layer):
    modules = list(layers[layer].rglob("*.py"))
    assert modules
    for module in modules:
        compiled = module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc"
        assert compiled.read_bytes()[4:8] == UNCHECKED_HASH, module


def test_what_goes_to_the_instance_carries_no_bytecode_of_lambda(layers):
    assert not list(layers["SenderLayer"].rglob("*.pyc"))


def test_building_again_gives_the_same_bytes(layers, architecture, tmp_path):
    again = {layer: build(layer, architecture, tmp_path)[0] for layer in SOURCES}
    for layer, folder in layers.items():
        assert contents(again[layer]) == contents(folder)
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    zipped(layers["AwsLayer"], first)
    zipped(again["AwsLayer"], second)
    assert first.read_bytes() == second.read_bytes()


def test_a_machine_without_any_strip_program_stays_within_the_budget(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("cp", "find", "make", "mkdir", "rm", "sh"):
        (tools / tool).symlink_to(shutil.which(tool))
    arrow, said = build("ArrowLayer", "x86_64", tmp_path, path=str(tools))
    assert "no strip program" in said
    assert unzipped(arrow) <= 110 * MB
    assert zipped(arrow, tmp_path / "arrow.zip") <= 40 * MB


def test_the_layers_alone_write_and_read_parquet(layers, architecture):
    if (platform.system(), platform.machine().replace("aarch64", "arm64")) != ("Linux", architecture):
        pytest.skip(f"this machine does not run {architecture} Linux code")
    paths = [str(layers[layer] / "python") for layer in COMPILED]
    alone = [sys.executable, "-I", "-S", "-c", ROUND_TRIP, *paths]
    told = json.loads(subprocess.run(alone, capture_output=True, text=True, check=True).stdout)
    assert all(home.startswith(tuple(paths)) for home in told["homes"])
    assert "DELTA_BINARY_PACKED" in told["encodings"]
    assert (told["equal"], told["compression"], told["numpy"]) == (True, "ZSTD", False)
    assert told["glances"] == [[0, [[1, "443 OK"]]], [1, [[3, "7777 OK"]]]]
