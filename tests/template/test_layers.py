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
    "StatsLayer": ROOT / "layers/stats",
    "ReportLayer": ROOT / "layers/report",
    "SenderLayer": ROOT / "sender",
}
DEFAULT_ARCHITECTURE = "arm64"
"""The template parameter's default: a plain `sam build` says nothing to the makefiles, and must give this one."""
WITH_PARQUET = ("CoreLayer", "AwsLayer", "ArrowLayer")
"""The layers of a function that reads Parquet and reports nothing."""
WITHOUT_PARQUET = ("CoreLayer", "AwsLayer", "StatsLayer", "ReportLayer")
"""Those of PublishReport."""
COMPILED = (*WITH_PARQUET, "StatsLayer", "ReportLayer")
"""All that Lambda imports; SummarizeRun has them all."""
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


REPORT = """
import sys
sys.path += sys.argv[1:]
import json
from dataclasses import replace
import numpy as np
import flowlag, flowlag_report, flowlag_stats
from flowlag_report.profile import COUNTS, profile_of

ticks = np.arange(3_600) + 1_795_435_200
sent_at = ticks * 1_000_000
columns = {
    "tick": ticks,
    "sent_at": sent_at,
    "window_start": sent_at // 60_000_000 * 60_000_000,
    "window_end": sent_at // 60_000_000 * 60_000_000 + 60_000_000,
    "ingested_at": sent_at // 600_000_000 * 600_000_000 + 660_000_000,
    "received_at": sent_at // 600_000_000 * 600_000_000 + 661_000_000,
}
of_run = ("region", "experiment", "hypervisor", "instance_type", "code_version", "cost_usd")
run = dict.fromkeys(of_run) | {
    "run_id": "r", "started_at": int(sent_at[0]), "source": "local", "verdict": "complete", "reasons": [], "rate": 1
}
arm = dict.fromkeys(COUNTS, 0) | {
    "observed": 3_600, "bursts": 6, "arm": "cloudwatch-600", "destination": "cloud-watch-logs", "file_format": None,
    "aggregation_interval_s": 600, "level": "interface",
}
one = profile_of(columns, {"tick": ticks, "sent_ns": ticks * 10**9}, run, arm, None)
report = flowlag_report.build([replace(one, run_id=f"run-{number}") for number in range(6)], int(sent_at[-1]))

print(json.dumps({
    "profiles": report.data["answer"]["n_runs"],
    "sentence": report.data["answer"]["sentence"],
    "page": report.html,
    "badge": report.badge,
    "pyarrow": "pyarrow" in sys.modules,
    "homes": [module.__file__ for module in (flowlag, flowlag_report, flowlag_stats, np)],
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


def is_source(path):
    return "__pycache__" not in path and Path(path).suffix in {".py", ".css", ".html", ".js", ".json"}


def test_the_arrow_layer_is_slim(layers, tmp_path):
    assert unzipped(layers["ArrowLayer"]) <= 110 * MB
    assert zipped(layers["ArrowLayer"], tmp_path / "arrow.zip") <= 40 * MB


def test_the_stats_layer_is_slim(layers, tmp_path):
    assert unzipped(layers["StatsLayer"]) <= 50 * MB
    assert zipped(layers["StatsLayer"], tmp_path / "stats.zip") <= 20 * MB
    assert not list(layers["StatsLayer"].rglob("tests"))
    assert not list(layers["StatsLayer"].rglob("*.pyi"))


@pytest.mark.parametrize(("those", "budget"), [(WITH_PARQUET, 150 * MB), (COMPILED, 190 * MB)])
def test_a_function_and_its_layers_leave_lambda_room(layers, those, budget):
    """Lambda takes 262,144,000 bytes, unzipped (Lambda quotas, read 2026-11)."""
    assert unzipped(ROOT / "functions", *(layers[layer] for layer in those)) <= budget


def test_each_layer_holds_its_packages_and_what_they_need(layers):
    packages = {
        layer: {path.name for path in (folder / "python").iterdir() if path.suffix != ".dist-info"}
        for layer, folder in layers.items()
    }
    assert packages == {
        "CoreLayer": {"flowlag"},
        "AwsLayer": {"flowlag_aws", "aws_lambda_powertools", "jmespath", "typing_extensions.py", "__pycache__"},
        "ArrowLayer": {"pyarrow"},
        "StatsLayer": {"flowlag_stats", "numpy", "numpy.libs"},
        "ReportLayer": {"flowlag_report"},
        "SenderLayer": {"sender", "scapy"},
    }
    assert all([path.name for path in folder.iterdir()] == ["python"] for folder in layers.values())


@pytest.mark.parametrize(
    ("layer", "package", "source"),
    [
        ("CoreLayer", "flowlag", "layers/core/flowlag"),
        ("AwsLayer", "flowlag_aws", "layers/aws/flowlag_aws"),
        ("StatsLayer", "flowlag_stats", "layers/stats/flowlag_stats"),
        ("ReportLayer", "flowlag_report", "layers/report/flowlag_report"),
        ("SenderLayer", "sender", "sender"),
    ],
)
def test_our_own_code_is_there_as_it_stands_in_the_project(layers, layer, package, source):
    sources = {path: body for path, body in contents(ROOT / source).items() if is_source(path)}
    built = {path: body for path, body in contents(layers[layer] / "python" / package).items() if is_source(path)}
    assert built == sources
    assert "__init__.py" in sources


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


def alone(script, folders):
    """What a script says that has these layers, the standard library, and nothing else."""
    paths = [str(folder / "python") for folder in folders]
    run = [sys.executable, "-I", "-S", "-c", script, *paths]
    told = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert all(home.startswith(tuple(paths)) for home in told["homes"])
    return told


@pytest.fixture
def _runs_here(architecture):
    if (platform.system(), platform.machine().replace("aarch64", "arm64")) != ("Linux", architecture):
        pytest.skip(f"this machine does not run {architecture} Linux code")


@pytest.mark.usefixtures("_runs_here")
def test_the_layers_alone_make_a_report(layers):
    told = alone(REPORT, [layers[layer] for layer in WITHOUT_PARQUET])
    assert (told["profiles"], told["pyarrow"]) == (6, False)
    assert told["sentence"] in told["page"]
    assert told["badge"].startswith("<svg ")


@pytest.mark.usefixtures("_runs_here")
def test_the_layers_alone_write_and_read_parquet(layers):
    told = alone(ROUND_TRIP, [layers[layer] for layer in WITH_PARQUET])
    assert "DELTA_BINARY_PACKED" in told["encodings"]
    assert (told["equal"], told["compression"], told["numpy"]) == (True, "ZSTD", False)
    assert told["glances"] == [[0, [[1, "443 OK"]]], [1, [[3, "7777 OK"]]]]
