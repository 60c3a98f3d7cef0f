"""Bad input: one sentence on standard error, exit code 2, nothing on standard output, nothing written."""

import errno
import gzip
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from local.cli import main

FLOWLAG = Path(sys.executable).with_name("flowlag")

T0 = 1_646_334_040

EXPORT = b"@ingestionTime,@timestamp,srcPort\n2022-03-03 19:03:04.651,2022-03-03 19:00:40.000,4184\n"
FLOW_LOG = b"version srcport dstport protocol packets bytes start\n2 4184 7777 6 1 340 1646334040\n"
LEDGER = b'"Epoch_Time","Date_Time","Source_Port"\n"1646334040","","4184"\n'
PCAP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
GARBAGE = bytes(reversed(range(256))) * 16


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(*arguments):
    """The sentence by which the command refuses its arguments."""
    before = files_of(Path())
    result = CliRunner().invoke(main, [*arguments])
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert files_of(Path()) == before
    return only_line(result.stderr)


def only_line(text):
    (line,) = text.splitlines()
    assert line.startswith("flowlag: ")
    return line.removeprefix("flowlag: ")


def parquet(columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def instants(*seconds):
    return pa.array([each * 1_000_000 for each in seconds], pa.timestamp("us", "UTC"))


OBSERVATIONS = {
    "run_id": ["run-1"],
    "arm": ["cloudwatch-600"],
    "source": ["aws"],
    "tick": [T0],
    "sent_at": instants(T0),
    "window_start": instants(T0),
    "ingested_at": instants(T0 + 144),
}
FLOW_LOG_COLUMNS = {
    name: pa.array([value], pa.int32())
    for name, value in (
        ("srcport", 4_184), ("dstport", 7_777), ("protocol", 6), ("packets", 1), ("bytes", 340), ("start", T0)
    )
}  # fmt: skip


def without_footer(data):
    (length,) = struct.unpack("<I", data[-8:-4])
    return data[: -8 - length] + bytes(length) + data[-8:]


def without(columns, name):
    return {key: value for key, value in columns.items() if key != name}


CASES = {
    "empty": (b"", "'it' is empty"),
    "an empty first line": (b"\n\n", "'it' is empty, or begins with an empty line"),
    "binary garbage": (GARBAGE, "'it' is neither Parquet nor text"),
    "a quote left open in the header": (b'@ingestionTime,"' + b"x\n" * 99_999, "field larger than field limit"),
    "some other text": (b"hello\n", "'it' is not a Logs Insights export: it lacks the column '@ingestionTime'"),
    # exports
    "an export without rows": (EXPORT.splitlines(keepends=True)[0], "there is no probe in 'it'"),
    "an export without a column": (EXPORT.replace(b"srcPort", b"port"), "it lacks the column 'srcPort'"),
    "an export with a wrong port": (EXPORT.replace(b"4184", b"65536"), "line 2 of 'it' is not a row of an export"),
    "an export with a negative port": (EXPORT.replace(b"4184", b"-1"), "line 2 of 'it'"),
    "an export with a word for a port": (EXPORT + EXPORT.splitlines()[1][:-4] + b"port\n", "line 3 of 'it'"),
    "an export with a wrong time": (EXPORT.replace(b"19:00:40", b"19:00:60"), "line 2 of 'it'"),
    "an export that ends in a row": (EXPORT[:-20], "line 2 of 'it' is not a row of an export: 2 cells"),
    "an export with a quote left open": (EXPORT + b'"' + b"x" * 200_000, "line 3 of 'it'"),
    # flow-log text
    "a flow log without a field": (FLOW_LOG.replace(b"dstport ", b""), "'it' lacks the field 'dstport'"),
    "a flow log with an unknown field": (FLOW_LOG.replace(b"version", b"verse"), "flow logs have no field 'verse'"),
    "a flow log without a header": (
        FLOW_LOG.splitlines()[1],
        "a flow log would begin with the names of its fields",
    ),
    "a flow log with a wrong number": (FLOW_LOG.replace(b" 340 ", b" 34O "), "line 2 of 'it' is not a flow record"),
    "a flow log that ends in a line": (FLOW_LOG + b"2 4184 443", "line 3 of 'it' is not a flow record"),
    "a flow log to another port": (FLOW_LOG.replace(b"7777", b"8888"), "that the probes went to port 7777"),
    "a truncated gzip file": (gzip.compress(FLOW_LOG)[:-12], "'it' is damaged or cut short as a gzip file"),
    "a damaged gzip file": (gzip.compress(FLOW_LOG)[:10] + GARBAGE, "'it' is damaged or cut short as a gzip file"),
    "a gzip file with a wrong sum": (gzip.compress(FLOW_LOG)[:-8] + bytes(8), "'it' is damaged or cut short"),
    "a gzip file of garbage": (gzip.compress(GARBAGE), "'it' is neither Parquet nor text"),
    # Parquet
    "Parquet of garbage": (b"PAR1" + GARBAGE, "'it' is damaged or cut short as a Parquet file"),
    "Parquet that was cut short": (parquet(OBSERVATIONS)[:-30], "'it' is damaged or cut short as a Parquet file"),
    "Parquet with a damaged footer": (
        without_footer(parquet(OBSERVATIONS)),
        "'it' is damaged or cut short as a Parquet file",
    ),
    "Parquet with other columns": (parquet({"a": [1]}), "'it' holds no observations: it lacks the column 'source'"),
    "observations without a column": (parquet(without(OBSERVATIONS, "sent_at")), "lacks the column 'sent_at'"),
    "observations without rows": (
        parquet({name: pa.array(values)[:0] for name, values in OBSERVATIONS.items()}),
        "there is no probe in 'it'",
    ),
    "observations without a value": (
        parquet(OBSERVATIONS | {"tick": pa.array([None], pa.int64())}),
        "'it' has rows without 'tick'",
    ),
    "observations with a text for a tick": (
        parquet(OBSERVATIONS | {"tick": ["1646334040"]}),
        "the column 'tick' of 'it' is string, not a whole number",
    ),
    "observations with a number for an instant": (
        parquet(OBSERVATIONS | {"sent_at": [T0]}),
        "the column 'sent_at' of 'it' is int64, not a timestamp",
    ),
    "observations with a number for a run": (
        parquet(OBSERVATIONS | {"run_id": [1]}),
        "the column 'run_id' of 'it' is int64, not text",
    ),
    "observations of an unknown source": (
        parquet(OBSERVATIONS | {"source": ["azure"]}),
        "the source of 'it' is 'azure', which is none of aws, local, simulated",
    ),
    "a Parquet flow log without a field": (
        parquet(without(FLOW_LOG_COLUMNS, "bytes")),
        "the flow log 'it' lacks the field 'bytes'",
    ),
    "a Parquet flow log with a text for a port": (
        parquet(FLOW_LOG_COLUMNS | {"srcport": ["4184"]}),
        "the flow log 'it' cannot be read: the column 'srcport' is string, not a whole number",
    ),
}


@pytest.mark.parametrize(("content", "sentence"), CASES.values(), ids=CASES)
def test_a_file_that_cannot_be_analyzed(folder, content, sentence):
    (folder / "it").write_bytes(content)
    assert sentence in refused("analyze", "it")


def test_a_good_file_is_not_refused(folder):
    for name, content in {"export": EXPORT, "flow log": FLOW_LOG, "observations": parquet(OBSERVATIONS)}.items():
        (folder / name).write_bytes(content)
        assert CliRunner().invoke(main, ["analyze", name]).exit_code == 0


OWN_LEDGER = b"tick,srcport,sent_ns,outcome\n"

BESIDE = {
    "an empty ledger": ("--ledger", b"", "'it' is not a ledger: its first line is neither"),
    "a ledger of garbage": ("--ledger", GARBAGE, "'it' is not a ledger: it is not text"),
    "an export as a ledger": ("--ledger", EXPORT, "'it' is not a ledger: its first line is neither"),
    "a ledger without lines": ("--ledger", LEDGER[:39], "'it' is not a ledger: it has no entry"),
    "a ledger with a wrong line": ("--ledger", LEDGER + b'"x","",""\n', "line 3 is not an entry"),
    "a ledger with a short line": ("--ledger", LEDGER + b'"1"\n', "line 3 is not an entry"),
    "a ledger with a wrong port": ("--ledger", LEDGER.replace(b"4184", b"4185"), "port 4185 does not carry"),
    "a ledger out of order": ("--ledger", LEDGER + LEDGER[39:], "does not follow tick 1646334040 in one run"),
    "a run's ledger with a wrong line": ("--ledger", OWN_LEDGER + b"1,2\n", "'it' is not a ledger: line 2"),
    "a run's ledger without lines": ("--ledger", OWN_LEDGER + b"end\n", "it has no entry"),
    "a ledger of another run": ("--ledger", OWN_LEDGER + b"5,5,5,sent\nend\n", "none of the 1 recorded"),
    "an empty capture": ("--capture", b"", "'it' is neither a pcap file nor flowlag's own capture"),
    "a capture of garbage": ("--capture", GARBAGE, "'it' is neither a pcap file nor flowlag's own capture"),
    "a run's capture with a wrong line": ("--capture", b"srcport,seen_ns\nx,y\n", "line 2 of the capture"),
    "a pcapng": ("--capture", b"\x0a\x0d\x0d\x0a" + GARBAGE, "'it' is pcapng: rewrite it as pcap"),
    "a pcap that ends in its header": ("--capture", PCAP[:-3], "'it' ends in the middle of a frame"),
    "a pcap that ends in a frame's header": ("--capture", PCAP + bytes(9), "'it' ends in the middle of a frame"),
    "a pcap that ends in a frame": (
        "--capture",
        PCAP + struct.pack("<IIII", 1, 1, 60, 60),
        "in the middle of a frame",
    ),
    "a pcap of garbage": ("--capture", PCAP + b"\xff" * 4_096, "'it' is damaged: a frame of 4294967295 bytes"),
    "a pcap of an unknown link": ("--capture", PCAP[:-4] + struct.pack("<I", 105), "'it' is of link type 105"),
}


@pytest.mark.parametrize(("option", "content", "sentence"), BESIDE.values(), ids=BESIDE)
def test_a_ledger_or_a_capture_that_is_none(folder, option, content, sentence):
    (folder / "export.csv").write_bytes(EXPORT)
    (folder / "it").write_bytes(content)
    assert sentence in refused("analyze", "export.csv", option, "it")


@pytest.mark.parametrize("arguments", [["it"], ["export.csv", "--ledger", "it"], ["export.csv", "--capture", "it"]])
def test_a_file_that_is_not_there(folder, arguments):
    (folder / "export.csv").write_bytes(EXPORT)
    assert refused("analyze", *arguments) == "there is no file or directory 'it': check the path"


def test_a_directory_where_a_file_belongs(folder):
    (folder / "export.csv").write_bytes(EXPORT)
    (folder / "it").mkdir()
    assert refused("analyze", "export.csv", "--ledger", "it") == "'it' cannot be used: Is a directory"


@pytest.mark.parametrize("within", ["", "notes.txt", "export.csv"])
def test_a_directory_without_data(folder, within):
    (folder / "it" / "deep").mkdir(parents=True)
    if within:
        (folder / "it" / "deep" / within).write_bytes(EXPORT)
    assert refused("analyze", "it").startswith("the directory 'it' holds no data")


def test_mixed_sources(folder):
    (folder / "export.csv").write_bytes(EXPORT)
    (folder / "local.parquet").write_bytes(parquet(OBSERVATIONS | {"source": ["local"]}))
    assert "they never go into one statistic" in refused("analyze", "export.csv", "local.parquet")


def test_a_name_with_a_line_break_stays_one_sentence(folder):
    (folder / "two\nlines").write_bytes(b"")
    assert refused("analyze", "two\nlines").startswith("'two lines' is empty")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["analyze"], "Missing argument 'PATH...'"),
        (["analyze", "it", "--rate", "0"], "Invalid value for '--rate': 0 is not in the range"),
        (["analyze", "it", "--rate", "1.5"], "Invalid value for '--rate'"),
        (["analyze", "it", "--port", "65536"], "Invalid value for '--port': 65536 is not in the range"),
        (["analyze", "it", "--port", "0"], "Invalid value for '--port'"),
        (["analyze", "it", "--burst-gap", "-1"], "'-1' is not a positive number of seconds"),
        (["analyze", "it", "--burst-gap", "0"], "'0' is not a positive number of seconds"),
        (["analyze", "it", "--burst-gap", "nan"], "'nan' is not a positive number of seconds"),
        (["analyze", "it", "--burst-gap", "inf"], "'inf' is not a positive number of seconds"),
        (["analyze", "it", "--burst-gap", "soon"], "'soon' is not a positive number of seconds"),
        (["decode", "65536", "--near", "1646334040"], "65536 is not in the range 0<=x<=65535"),
        (["decode", "-1", "--near", "1646334040"], "No such option '-1'"),
        (["decode", "port", "--near", "1646334040"], "'port' is not a valid integer range"),
        (["decode", "4184"], "Missing option '--near'"),
        (["decode", "4184", "--near", "1646334040", "--rate", "0"], "0 is not in the range"),
        (["decode", "4184", "--near", "yesterday"], "'yesterday' is not a time"),
        (["decode", "4184", "--near", ""], "'' is not a time"),
        (["decode", "4184", "--near", "1e400"], "'1e400' is not a time"),
        (["decode", "4184", "--near", "9" * 400], "is too far away"),
        (["decode", "4184", "--near", "0"], "'0' is too far away"),
        (["decode", "4184", "--near", "9999-12-31"], "'9999-12-31' is too far away"),
        (["anlyze", "it"], "No such command 'anlyze'"),
        (["--jsn"], "No such option"),
    ],
)
def test_an_argument_that_cannot_be_used(folder, arguments, sentence):  # noqa: ARG001 - where nothing may be written
    assert sentence in refused(*arguments)


# ---------------------------------------------------------------- the installed command


def run(*arguments, prefix=(), **options):
    return subprocess.run(
        [*prefix, FLOWLAG, *arguments], capture_output=True, text=True, check=False, timeout=60, **options
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", "missing.csv"],
        ["analyze", "garbage", "--json"],
        ["decode", "65536", "--near", "1646334040"],
        ["what"],
    ],
)
def test_the_command_itself_refuses_in_one_line(folder, arguments):
    (folder / "garbage").write_bytes(GARBAGE)
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    only_line(result.stderr)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may read all, without setpriv")
def test_a_file_that_may_not_be_read(folder):
    (folder / "it.csv").write_bytes(EXPORT)
    (folder / "it.csv").chmod(0)
    (folder / "locked").mkdir(mode=0)
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    for path in ("it.csv", "locked"):
        result = run("analyze", path, prefix=drop)
        assert (result.returncode, result.stdout) == (2, "")
        assert only_line(result.stderr) == f"'{path}' may not be read: check its permissions"


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["tables", "json"])
def test_a_reader_that_left_is_no_error(folder, form):
    (folder / "export.csv").write_bytes(EXPORT)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [FLOWLAG, "analyze", "export.csv", *form],
            stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert result.stderr == ""


def test_ctrl_c_ends_it_without_a_traceback(folder):
    fifo = folder / "export.csv"
    os.mkfifo(fifo)
    with subprocess.Popen(
        [FLOWLAG, "analyze", fifo], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        writer = opened_once_read(fifo, command)
        command.send_signal(signal.SIGINT)
        stdout, stderr = command.communicate(timeout=60)
        os.close(writer)
    assert (command.returncode, stdout, stderr.strip()) == (130, "", "")


def opened_once_read(fifo, command):
    while command.poll() is None:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads yet
                raise
            time.sleep(0.01)
    pytest.fail(f"the command ended before it read: {command.stderr.read()}")


def test_without_arguments_it_helps():
    result = run()
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: flowlag")
    for command in ("analyze", "decode"):
        assert command in result.stdout
        assert run(command, "--help").returncode == 0
