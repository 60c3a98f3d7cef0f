"""What `flowlag analyze` reads: every kind of file, by its content; ledgers and captures beside them."""

import gzip
import json
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from flowlag.ledger import END, HEADER, MISSED, SENT, SKIPPED, LedgerEntry
from flowlag.record import DEFAULT_FORMAT
from flowlag.stamp import encode
from flowlag.tables import OBSERVATIONS, RUNS
from flowlag_aws.parquet import encode_rows
from local.cli import main
from local.instants import iso
from local.sources import UNKNOWN, UnusableInput, read, read_capture, read_ledger

T0 = 1_700_000_000
SECOND = 1_000_000
PORT = 7_777


def load(*paths, rate=1):
    return read(paths, port=PORT, rate=rate)


def rows_of(dataset):
    columns = ("ticks", "sent_at", "window_start", "ingested_at")
    return [
        tuple(None if value == UNKNOWN else value for value in row)
        for each in dataset.series
        for row in zip(*(getattr(each, name).tolist() for name in columns), strict=True)
    ]


def ticks_of(dataset):
    return [tick for tick, *_ in rows_of(dataset)]


# ---------------------------------------------------------------- Logs Insights exports


def export(path, rows, header="@ingestionTime,@timestamp,srcPort"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows), ""]))
    return path


def insights_time(at):
    """As the console writes it: UTC without a zone, milliseconds."""
    return iso(at).removesuffix("Z").replace("T", " ") + ("" if at % SECOND else ".000")


@given(
    tick=st.integers(10**9, 3 * 10**9),
    error=st.integers(-60, 61),
    delay_ms=st.integers(1_000, 3_000_000),
)
def test_the_send_time_is_decoded_from_the_port_near_the_timestamp(tmp_path_factory, tick, error, delay_ms):
    start, ingested = (tick + error) * SECOND, tick * SECOND + max(delay_ms * 1_000, error * SECOND)
    path = export(
        tmp_path_factory.mktemp("export") / "rows.csv",
        [(insights_time(ingested), insights_time(start), encode(tick))],
    )
    dataset = load(path)
    assert rows_of(dataset) == [(tick, tick * SECOND, start, ingested)]
    assert dataset.source == "aws"


def test_the_exports_own_idea_of_the_send_time_is_not_read(tmp_path):
    # Around a wrap the query's formula is off by 18.2 hours: SentTimeEpoch here is what it really gives.
    tick = 25_940 * 65_536 + 10
    wrong = (tick - 30) // 65_536 * 65_536 + encode(tick)
    assert wrong != tick
    path = export(
        tmp_path / "rows.csv",
        [(insights_time((tick + 90) * SECOND), insights_time((tick - 30) * SECOND), wrong, encode(tick))],
        "@ingestionTime,@timestamp,SentTimeEpoch,srcPort",
    )
    assert ticks_of(load(path)) == [tick]


def test_columns_are_found_by_name_and_quotes_and_marks_do_not_matter(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(
        b'\xef\xbb\xbf"srcPort","x, y","@timestamp","@ingestionTime"\r\n'
        b'"4184","1, 2","2022-03-03 19:00:40.000","2022-03-03 19:03:04.651"\r\n\r\n'
    )
    assert rows_of(load(path)) == [
        (1_646_334_040, 1_646_334_040 * SECOND, 1_646_334_040 * SECOND, 1_646_334_184_651_000)
    ]


def test_a_stamp_whose_two_readings_disagree_is_counted_and_left_out(tmp_path):
    day = 86_400
    path = export(
        tmp_path / "rows.csv",
        [
            (insights_time((T0 + 90) * SECOND), insights_time(T0 * SECOND), encode(T0)),
            (insights_time((T0 + day) * SECOND), insights_time(T0 * SECOND), encode(T0 + 1)),
        ],
    )
    dataset = load(path)
    assert (ticks_of(dataset), dataset.disagreements) == ([T0], 1)


def test_two_exports_of_one_run_are_one_run(tmp_path):
    paths = [
        export(
            tmp_path / f"{part}.csv",
            [
                (insights_time((tick + 90) * SECOND), insights_time(tick * SECOND), encode(tick))
                for tick in range(T0 + part * 5, T0 + part * 5 + 6)
            ],
        )
        for part in (0, 1)
    ]
    answer = analyze_json(*paths)
    assert (answer["n_packets"], answer["n_runs"], answer["loss"]["duplicates"]) == (11, 1, 1)


# ---------------------------------------------------------------- flow-log files


def record(tick, *, dstport=PORT, start=None, payload=300, packets=1, protocol=6, srcport=None):
    start = tick - tick % 60 if start is None else start
    fields = {
        "version": 2,
        "account-id": "012345678901",
        "interface-id": "eni-0123456789abcdef0",
        "srcaddr": "10.0.0.4",
        "dstaddr": "10.0.1.9",
        "srcport": encode(tick) if srcport is None else srcport,
        "dstport": dstport,
        "protocol": protocol,
        "packets": packets,
        "bytes": 40 * packets + payload,
        "start": start,
        "end": start + 59,
        "action": "ACCEPT",
        "log-status": "OK",
    }
    return " ".join(str(fields[name]) for name in DEFAULT_FORMAT.names)


NODATA = "2 012345678901 eni-0123456789abcdef0 - - - - - - - 1700000000 1700000060 - NODATA"
SKIPDATA = NODATA.replace("NODATA", "SKIPDATA")


DEFAULT_HEADER = " ".join(DEFAULT_FORMAT.names)


def flow_log(path, lines, header=DEFAULT_HEADER):
    text = "\n".join([header, *lines, ""]).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["flow.log", "flow.log.gz", "flow.txt"])
def test_the_probes_of_a_flow_log_are_told_from_the_rest(tmp_path, name):
    path = flow_log(
        tmp_path / name,
        [
            record(T0),
            record(T0 + 1, payload=300, packets=3),  # the sender's kernel answered twice on the same flow
            record(T0 + 2, dstport=443),
            record(T0 + 3, dstport=77_77, protocol=17),
            record(T0 + 4, payload=0, srcport=PORT),  # the target's refusal of the probe from its own port
            record(T0 + 5, dstport=80, payload=PORT),  # only another field holds the number
            NODATA,
            SKIPDATA,
        ],
    )
    dataset = load(path)
    assert rows_of(dataset) == [(tick, tick * SECOND, (tick - tick % 60) * SECOND, None) for tick in (T0, T0 + 1)]
    assert (dataset.source, dataset.skipdata) == ("aws", 1)


def test_a_custom_format_and_milliseconds(tmp_path):
    path = flow_log(
        tmp_path / "flow.log",
        [f"6 {PORT} {encode(T0)} {T0 * 1_000} 1 340"],
        "protocol dstport srcport start packets bytes",
    )
    assert rows_of(load(path)) == [(T0, T0 * SECOND, T0 * SECOND, None)]


def test_a_flow_log_that_an_editor_has_saved(tmp_path):
    path = flow_log(tmp_path / "flow.log", [record(T0), record(T0 + 1, dstport=443), SKIPDATA, record(T0 + 2)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").removesuffix(b"\r\n"))
    dataset = load(path)
    assert (ticks_of(dataset), dataset.skipdata) == ([T0, T0 + 2], 1)


def test_a_flow_log_of_many_records_is_read_to_its_end(tmp_path):
    lines = [record(T0 + at // 100, dstport=443 if at % 100 else PORT) for at in range(10_000)]
    path = flow_log(tmp_path / "flow.log.gz", lines)
    assert ticks_of(load(path)) == list(range(T0, T0 + 100))
    path.write_bytes(gzip.compress("\n".join([DEFAULT_HEADER, *lines, "2 0"]).encode()))
    with pytest.raises(UnusableInput, match=r"line 10002 of .* is not a flow record: the line has 2 fields"):
        load(path)


def test_flow_logs_tell_everything_but_the_delay(tmp_path):
    path = flow_log(tmp_path / "flow.log.gz", [record(tick) for tick in range(T0, T0 + 300)])
    answer = analyze_json(path)
    assert answer["delay_s"] is answer["ingest_delay_s"] is answer["n_bursts"] is None
    assert (answer["n_packets"], answer["n_runs"], answer["loss"]["recorded"]) == (300, 1, 300)
    assert answer["capture_windows"] == len({tick // 60 for tick in range(T0, T0 + 300)})
    assert answer["timestamp_error_s"]["min"] == -59
    assert any("do not say when they were delivered" in note for note in answer["notes"])


def flow_log_parquet(path, lines):
    """As AWS writes it: names with `_`, 32-bit integers, and 64-bit instants."""
    records = [DEFAULT_FORMAT.parse(line).fields for line in lines]
    wide = {"packets", "bytes", "start", "end"}
    pq.write_table(
        pa.table(
            {
                name.replace("-", "_"): pa.array(
                    [each[name] for each in records],
                    pa.string()
                    if any(isinstance(each[name], str) for each in records)
                    else pa.int64()
                    if name in wide
                    else pa.int32(),
                )
                for name in DEFAULT_FORMAT.names
            }
        ),
        path,
    )
    return path


def test_a_flow_log_in_parquet_gives_what_its_text_gives(tmp_path):
    lines = [record(T0), record(T0 + 1, dstport=443), record(T0 + 61), SKIPDATA, record(T0 + 4, payload=0)]
    text = load(flow_log(tmp_path / "flow.log", lines))
    parquet = load(flow_log_parquet(tmp_path / "flow.parquet", lines))
    assert rows_of(parquet) == rows_of(text)
    assert (parquet.source, parquet.kind, parquet.skipdata) == (text.source, text.kind, text.skipdata)


# ---------------------------------------------------------------- observations


def observation(tick, *, delay_s=90.0, run="run-1", arm="cloudwatch-600", source="local"):
    sent_at = tick * SECOND + 250
    return dict.fromkeys(OBSERVATIONS) | {
        "run_id": run,
        "arm": arm,
        "source": source,
        "tick": tick,
        "srcport": encode(tick),
        "sent_at": sent_at,
        "window_start": (tick - tick % 60) * SECOND,
        "ingested_at": None if delay_s is None else sent_at + round(delay_s * SECOND),
    }


def observations(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_rows(OBSERVATIONS, rows))
    return path


def test_observations_keep_their_own_send_time(tmp_path):
    path = observations(tmp_path / "arm.parquet", [observation(T0), observation(T0 + 1, delay_s=None)])
    start = (T0 - T0 % 60) * SECOND
    assert rows_of(load(path)) == [
        (T0, T0 * SECOND + 250, start, T0 * SECOND + 250 + 90 * SECOND),
        (T0 + 1, (T0 + 1) * SECOND + 250, start, None),
    ]


def test_a_directory_of_partitions_is_read_recursively_and_arms_stay_together(tmp_path):
    for day in (1, 2):
        for region in ("eu-west-1", "us-east-1"):
            rows = [observation(T0 + day * 86_400 + at, run=f"{region}-{day // 2}") for at in range(10)]
            observations(tmp_path / f"region={region}" / f"dt=2023-11-1{day}" / "arm.parquet", rows)
    dataset = load(tmp_path)
    assert sorted(each.run for each in dataset.series) == [
        "eu-west-1-0",
        "eu-west-1-1",
        "us-east-1-0",
        "us-east-1-1",
    ]
    answer = analyze_json(tmp_path)
    assert (answer["source"], answer["n_packets"], answer["n_runs"]) == ("local", 40, 4)


def test_one_runs_arm_may_be_cut_into_files(tmp_path):
    for part in range(3):
        observations(tmp_path / f"{part}.parquet", [observation(T0 + part * 10 + at) for at in range(10)])
    (series,) = load(tmp_path).series
    assert sorted(series.ticks) == list(range(T0, T0 + 30))


def test_of_a_copy_of_the_results_bucket_only_the_observations_are_read(tmp_path):
    observations(
        tmp_path / "observations" / "region=eu-west-1" / "dt=2023-11-14" / "arm.parquet", [observation(T0)]
    )
    observations(
        tmp_path / "landing" / "run-1" / "cloudwatch-600" / "digest.parquet", [observation(T0, delay_s=None)]
    )
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "run-1.parquet").write_bytes(b"PAR1 of another table")
    assert ticks_of(load(tmp_path)) == [T0]


def run_row(run="run-1", verdict="complete", *, arms=()):
    members = RUNS["arms"].removeprefix("array<struct<").removesuffix(">>").split(",")
    nothing = dict.fromkeys(member.split(":")[0] for member in members)
    return dict.fromkeys(RUNS) | {
        "run_id": run,
        "started_at": T0 * SECOND,
        "verdict": verdict,
        "reasons": [],
        "arms": [nothing | arm for arm in arms],
    }


def bucket(folder, observed, rows):
    """A copy of the results bucket: `observed` by run, and `rows` of the table of runs."""
    at = "region=eu-west-1/dt=2023-11-14"
    for run, observed_rows in observed.items():
        observations(folder / "observations" / at / f"{run}.arm.parquet", observed_rows)
    for row in rows:
        path = folder / "runs" / at / f"{row['run_id']}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_rows(RUNS, [row]))
    return folder


def test_void_runs_are_left_out_and_that_is_said(tmp_path):
    observed = {run: [observation(T0 + at, run=run)] for at, run in enumerate(("run-1", "run-2", "run-3"))}
    rows = [run_row("run-1"), run_row("run-2", "void"), run_row("run-3", "partial"), run_row("run-4", "void")]
    dataset = load(bucket(tmp_path, observed, rows))
    assert sorted(each.run for each in dataset.series) == sorted(dataset.runs) == ["run-1", "run-3"]
    assert list(dataset.void) == ["run-2", "run-4"]
    answer = analyze_json(tmp_path)
    assert (answer["n_packets"], answer["n_runs"], answer["void_runs"]) == (2, 2, ["run-2", "run-4"])
    assert "Runs left out because their verdict is void: 2." in answer["notes"]
    # Whoever names the observations themselves gets what he names.
    assert analyze_json(tmp_path / "observations")["n_runs"] == 3


def test_a_folder_of_copies_is_read_as_its_copies(tmp_path):
    bucket(tmp_path / "demo", {"run-1": [observation(T0)]}, [run_row("run-2", "void")])
    bucket(tmp_path / "other", {"run-3": [observation(T0, run="run-3")]}, [run_row("run-3")])
    (tmp_path / "page").mkdir()
    answer = analyze_json(tmp_path)
    assert (answer["n_packets"], answer["n_runs"], answer["void_runs"]) == (2, 2, ["run-2"])


def test_if_all_runs_are_void_nothing_can_be_said(tmp_path):
    bucket(tmp_path, {"run-1": [observation(T0)]}, [run_row(verdict="void")])
    with pytest.raises(UnusableInput, match=r"all runs in .* are void: nothing can be said of them"):
        load(tmp_path)


def test_the_table_of_runs_says_what_was_never_delivered(tmp_path):
    arms = [
        {"arm": "cloudwatch-600", "observed": 10, "lost_on_wire": 2, "not_recorded": 3, "never_sent": 100},
        {"arm": "silent", "observed": 0, "lost_on_wire": None, "not_recorded": 4},
    ]
    rows = [observation(T0 + at, delay_s=at) for at in range(10)]
    bucket(tmp_path, {"run-1": rows}, [run_row(arms=arms)])
    answer = analyze_json(tmp_path)
    heard, silent = answer["arms"]
    assert (heard["n_packets"], heard["missing"], silent["n_packets"], silent["missing"]) == (10, 5, 0, 4)
    assert (heard["delay_s"]["p50"], heard["delay_s"]["p90"], heard["delay_s"]["max"]) == (7, None, 9)
    assert (answer["missing"], silent["delay_s"]) == (9, None)


def test_a_table_of_runs_that_is_none_is_named(tmp_path):
    bucket(tmp_path, {"run-1": [observation(T0)]}, [])
    (tmp_path / "runs").mkdir()
    pq.write_table(pa.table({"run_id": ["run-1"]}), tmp_path / "runs" / "it.parquet")
    with pytest.raises(UnusableInput, match=r"'.*it.parquet' holds no rows of 'runs': it lacks .* 'started_at'"):
        load(tmp_path)
    row = {"run_id": ["run-1"], "started_at": pa.array([0], pa.timestamp("us")), "verdict": ["void"]}
    for arms in (["cloudwatch-600"], [["cloudwatch-600"]], [[{"arm": "cloudwatch-600"}]]):
        pq.write_table(pa.table(row | {"arms": arms}), tmp_path / "runs" / "it.parquet")
        with pytest.raises(
            UnusableInput, match=r"'arms' of .* does not say of each arm: arm, observed, lost_on_wire"
        ):
            load(tmp_path)


def test_a_file_of_several_runs_and_arms_is_told_apart(tmp_path):
    keys = [("run-2", "b"), ("run-1", "a"), ("run-2", "a"), ("run-1", "b")]
    rows = [observation(T0 + at, run=run, arm=arm) for at in range(20) for run, arm in keys if at % 4 or arm == "a"]
    observations(tmp_path / "some.parquet", rows[::2])
    observations(tmp_path / "others.parquet", rows[1::2])
    found = {(each.run, each.arm): sorted(each.ticks.tolist()) for each in load(tmp_path).series}
    assert found == {
        (run, arm): [row["tick"] for row in rows if (row["run_id"], row["arm"]) == (run, arm)] for run, arm in keys
    }


def test_a_file_that_is_named_twice_counts_once(tmp_path):
    path = observations(tmp_path / "arm.parquet", [observation(T0)])
    assert ticks_of(load(tmp_path, path, tmp_path / "." / "arm.parquet")) == [T0]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_instants_of_other_writers_are_understood(tmp_path, unit, zone):
    scale = {"ms": 1_000, "us": 1, "ns": 1 / 1_000}[unit]
    instants = {"sent_at": T0, "window_start": T0 - 20, "ingested_at": T0 + 90}
    columns = {
        name: pa.array([int(at * SECOND / scale)], pa.int64()).cast(pa.timestamp(unit, zone))
        for name, at in instants.items()
    }
    texts = {name: pa.array([value]) for name, value in (("source", "aws"), ("run_id", "r"), ("arm", "a"))}
    pq.write_table(pa.table(texts | {"tick": pa.array([T0], pa.int32())} | columns), tmp_path / "arm.parquet")
    assert rows_of(load(tmp_path)) == [(T0, *(at * SECOND for at in instants.values()))]


# ---------------------------------------------------------------- mixtures


@pytest.mark.parametrize(("one", "other"), [("aws", "local"), ("local", "simulated")])
def test_sources_are_never_mixed(tmp_path, one, other):
    paths = [observations(tmp_path / f"{s}.parquet", [observation(T0, source=s)]) for s in (one, other)]
    with pytest.raises(UnusableInput, match=f"source '{one}' and .* source '{other}'"):
        load(*paths)
    both = observations(tmp_path / "both.parquet", [observation(T0, source=s) for s in (one, other)])
    with pytest.raises(UnusableInput, match=f"mixes the sources {one} and {other}"):
        load(both)


def test_a_flow_log_and_its_observations_are_never_added_up(tmp_path):
    paths = [
        observations(tmp_path / "arm.parquet", [observation(T0, source="aws")]),
        flow_log(tmp_path / "flow.log", [record(T0)]),
    ]
    with pytest.raises(UnusableInput, match=r"holds observations .* flow-log records .* analyze them apart"):
        load(*paths)


def test_files_without_probes_are_no_hindrance_beside_one_with_some(tmp_path):
    flow_log(tmp_path / "a.log", [NODATA])
    flow_log(tmp_path / "b.log", [record(T0)])
    assert ticks_of(load(tmp_path)) == [T0]


# ---------------------------------------------------------------- ledgers


def own_ledger(path, entries, end=END):
    path.write_text("\n".join([HEADER, *(entry.line() for entry in entries), *([end] if end else []), ""]))
    return path


def entry(tick, outcome=SENT):
    return LedgerEntry(tick, encode(tick), tick * 10**9 if outcome == SENT else None, outcome)


def test_a_runs_own_ledger(tmp_path):
    entries = [entry(T0), entry(T0 + 1, MISSED), entry(T0 + 2), entry(T0 + 3, SKIPPED)]
    ledger = read_ledger(own_ledger(tmp_path / "ledger.csv", entries), 1)
    assert (ledger.sent, ledger.first, ledger.last, ledger.closed) == ({T0, T0 + 2}, T0, T0 + 3, True)
    assert not read_ledger(own_ledger(tmp_path / "cut.csv", entries, end=None), 1).closed


def test_the_log_of_episode_18s_script(tmp_path):
    path = tmp_path / "test3A.csv"
    lines = [f'"{T0 + at}","a date","{encode(T0 + at)}"' for at in (0, 1, 3)]
    path.write_text("\n".join(['"Epoch_Time","Date_Time","Source_Port"', *lines, ""]))
    ledger = read_ledger(path, 1)
    assert (ledger.sent, ledger.first, ledger.last) == ({T0, T0 + 1, T0 + 3}, T0, T0 + 3)


def test_the_log_of_episode_18s_script_at_another_rate_is_read_from_its_ports(tmp_path):
    path = tmp_path / "test.csv"
    first = T0 * 4
    lines = [f'"{tick // 4}","","{encode(tick)}"' for tick in range(first, first + 9)]
    path.write_text("\n".join(['"Epoch_Time","Date_Time","Source_Port"', *lines, ""]))
    assert read_ledger(path, 4).sent == set(range(first, first + 9))
    with pytest.raises(UnusableInput, match=r"line 2 is not an entry: source port .* at 1 ticks a second"):
        read_ledger(path, 1)


# ---------------------------------------------------------------- captures

SYN, RST_ACK = 0x02, 0x14


def packet(srcport, dstport=PORT, flags=SYN, *, version=4, protocol=6, options=0):
    words = 5 + options
    ip = struct.pack(
        ">BBHHHBBH4s4s", version << 4 | words, 0, 20 + 4 * options + 20, 0, 0, 63, protocol, 0, b"a" * 4, b"b" * 4
    )
    return ip + bytes(4 * options) + struct.pack(">HHIIBBHHH", srcport, dstport, 0, 0, 5 << 4, flags, 8192, 0, 0)


LINKS = {
    1: bytes(12) + b"\x08\x00",
    101: b"",
    228: b"",
    113: bytes(14) + b"\x08\x00",
    276: b"\x08\x00" + bytes(18),
}


def pcap(path, frames, *, order="<", nanoseconds=False, link=1):
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    data = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262_144, link)
    for at, frame in frames:
        fraction = at % SECOND * (1_000 if nanoseconds else 1)
        data += struct.pack(f"{order}IIII", at // SECOND, fraction, len(frame), len(frame)) + frame
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
@pytest.mark.parametrize("link", sorted(LINKS))
def test_pcap_of_either_byte_order_and_resolution_on_every_link(tmp_path, order, nanoseconds, link):
    frames = [(tick * SECOND + 4_321, LINKS[link] + packet(encode(tick))) for tick in range(T0, T0 + 3)]
    path = pcap(tmp_path / "tcpdump.pcap", frames, order=order, nanoseconds=nanoseconds, link=link)
    assert read_capture(path, PORT, 1) == {T0, T0 + 1, T0 + 2}


def test_the_fraction_of_a_captured_second_counts(tmp_path):
    # At ten a second, and half a horizon away, the wrong unit would decode to another tick.
    tick = T0 * 10 + 7
    at = (tick + 32_767) * SECOND // 10
    for nanoseconds in (False, True):
        path = pcap(tmp_path / "tcpdump.pcap", [(at, LINKS[1] + packet(encode(tick)))], nanoseconds=nanoseconds)
        assert read_capture(path, PORT, 10) == {tick}


def test_only_probes_are_taken_from_a_capture(tmp_path):
    ethernet, arp, ipv6 = LINKS[1], bytes(12) + b"\x08\x06", bytes(12) + b"\x86\xdd"
    frames = [
        ethernet + packet(encode(T0)),
        ethernet + packet(encode(T0 + 1), options=2),
        ethernet + packet(encode(T0 + 2), dstport=443),
        ethernet + packet(PORT, encode(T0 + 3), flags=RST_ACK),
        ethernet + packet(PORT, PORT, flags=RST_ACK),  # the refusal of the probe that came from the target's port
        ethernet + packet(encode(T0 + 4), protocol=17),
        ethernet + packet(encode(T0 + 5), version=6),
        ethernet + packet(encode(T0 + 6))[:30],
        arp + bytes(46),
        ipv6 + packet(encode(T0 + 7)),
        b"",
    ]
    path = pcap(tmp_path / "tcpdump.pcap", [(T0 * SECOND, frame) for frame in frames])
    assert read_capture(path, PORT, 1) == {T0, T0 + 1}


def test_a_runs_own_capture(tmp_path):
    path = tmp_path / "capture.csv"
    path.write_text(f"srcport,seen_ns\n{encode(T0)},{T0}000700000\n{encode(T0 + 2)},{T0 + 2}000700000\n")
    assert read_capture(path, PORT, 1) == {T0, T0 + 2}


# ---------------------------------------------------------------- all together


def analyze_json(*arguments):
    result = CliRunner().invoke(main, ["analyze", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_the_loss_ledger_of_a_run_from_its_own_files(tmp_path):
    sent = [T0 + at for at in (0, 1, 3, 4, 5)]
    answer = analyze_json(
        observations(tmp_path / "arm.parquet", [observation(tick) for tick in (T0 + 1, T0 + 4)]),
        "--ledger",
        own_ledger(tmp_path / "ledger.csv", [entry(t, SENT if t in sent else MISSED) for t in range(T0, T0 + 6)]),
        "--capture",
        pcap(tmp_path / "tcpdump.pcap", [(tick * SECOND, LINKS[1] + packet(encode(tick))) for tick in sent[:-1]]),
    )
    loss = answer["loss"]
    assert (loss["sent"], loss["never_sent"], loss["seen"], loss["lost_on_wire"]) == (5, 1, 4, 1)
    assert (loss["recorded"], loss["missing_in_range"], loss["outside_range"]) == (2, 1, 2)


def test_people_get_the_same_numbers_in_a_table(tmp_path):
    path = observations(tmp_path / "arm.parquet", [observation(T0 + at, delay_s=12.345) for at in range(50)])
    result = CliRunner().invoke(main, ["analyze", str(path)])
    assert result.exit_code == 0, result.stderr
    first, *rest = result.stdout.splitlines()
    assert first.startswith("These are local, not AWS, delays")
    assert "50 packets, 1 burst, 1 run" in rest
    assert "12.345" in result.stdout


def test_nothing_is_written(tmp_path, monkeypatch):
    path = observations(tmp_path / "arm.parquet", [observation(T0)])
    monkeypatch.chdir(tmp_path)
    analyze_json(path)
    assert list(Path().iterdir()) == [Path("arm.parquet")]
