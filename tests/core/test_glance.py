"""A glance tells the records of a file apart as sifting every line does, wherever the text was cut."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.glance import Glance, TextReader
from flowlag.probe import Sifted
from flowlag.record import DEFAULT_FORMAT, PROBE_FORMAT, FlowRecord, RecordFormat
from tests.flow_records import DELIVERED_AT, OURS, PORT, TICK, WITHOUT_TRAFFIC, record

KINDS = {
    "probe": {},
    "stale probe": {"srcport": (TICK - 300) % 65_536, "start": TICK - 340, "end": TICK - 280},
    "probe in milliseconds": {"start": (TICK - 40) * 1_000, "end": (TICK + 20) * 1_000},
    "probe of another run": {"bytes": 541},
    "to another port": {"dstport": 443},
    "to another port with our number beside it": {"dstport": 443, "bytes": PORT},
    "the target's refusal": {"srcport": PORT, "dstport": TICK % 65_536, "bytes": 40},
    "no traffic": {"log-status": "NODATA", **WITHOUT_TRAFFIC},
    "skipped": {"log-status": "SKIPDATA", **WITHOUT_TRAFFIC},
    "of an unknown status": {"log-status": "LATEDATA", "dstport": 443},
    "of a source port that there is not": {"srcport": 65_536},
    "of another horizon": {"start": TICK + 65_536},
}


def line(record_format: RecordFormat = PROBE_FORMAT, kind: str = "probe") -> bytes:
    return record_format.format(FlowRecord(record() | KINDS[kind])).encode()


def sift(glances: Iterable[Glance]) -> Sifted:
    """What the glances show, when the probes' filter has seen what they leave to it."""
    sifted = Sifted()
    for glance in glances:
        events = [(f"#{number}", text, DELIVERED_AT) for number, text in glance.doubtful]
        sifted.add(replace(OURS, record_format=glance.record_format).sift(events))
        sifted.add(Sifted(foreign=glance.foreign, nodata=glance.nodata, skipdata=glance.skipdata))
    return sifted


def sift_every(record_format: RecordFormat, lines: Iterable[bytes]) -> Sifted:
    texts = (each.decode(errors="backslashreplace") for each in lines)
    events = [(f"#{number}", text, DELIVERED_AT) for number, text in enumerate(texts, 1)]
    return replace(OURS, record_format=record_format).sift(events)


def cut(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


@st.composite
def files(draw: st.DrawFn) -> tuple[RecordFormat, list[bytes]]:
    """A format and lines, most of them of it."""
    orders = st.permutations(PROBE_FORMAT.names).flatmap(
        lambda names: st.integers(1, len(names)).map(lambda count: RecordFormat(tuple(names[:count])))
    )
    with_status_last = st.permutations(PROBE_FORMAT.names[:-1]).map(
        lambda names: RecordFormat((*names, "log-status"))
    )
    record_format = draw(st.sampled_from([DEFAULT_FORMAT, PROBE_FORMAT]) | with_status_last | orders)
    whole = st.sampled_from(list(KINDS)).map(lambda kind: line(record_format, kind))
    torn = whole.flatmap(lambda each: st.integers(0, len(each)).map(lambda end: each[:end]))
    garbage = st.binary(max_size=40).filter(lambda each: b"\n" not in each)
    # What ends well is not looked into: see test_a_record_that_ends_well_is_read_only_if_it_may_be_to_the_port.
    odd = (torn | garbage).filter(lambda each: not each.endswith((b" OK", b" NODATA", b" SKIPDATA")))
    return record_format, draw(st.lists(whole | whole | whole | odd, max_size=30))


@given(file=files(), size=st.integers(1, 2_000), ends=st.booleans())
def test_a_glance_tells_records_apart_as_sifting_every_line_does(
    file: tuple[RecordFormat, list[bytes]], size: int, *, ends: bool
) -> None:
    record_format, lines = file
    text = b"\n".join(lines) + b"\n" * (ends or not lines or not lines[-1])
    glances = TextReader(record_format, PORT).glances(cut(text if lines else b"", size))
    assert sift(glances) == sift_every(record_format, lines)


@pytest.mark.parametrize("record_format", [PROBE_FORMAT, DEFAULT_FORMAT, RecordFormat(PROBE_FORMAT.names[:-1])])
def test_only_the_first_record_and_what_may_be_to_the_port_comes_as_lines(record_format: RecordFormat) -> None:
    kinds = ["to another port", "to another port", "probe", "no traffic", "skipped", "to another port"]
    text = b"".join(line(record_format, kind) + b"\n" for kind in kinds)
    first, rest = TextReader(record_format, PORT).glances([text])
    assert first == Glance(record_format, doubtful=[(1, line(record_format, kinds[0]).decode())])
    assert rest.doubtful == [(3, line(record_format).decode())]
    knows_status = "log-status" in record_format.names
    assert (rest.foreign, rest.nodata, rest.skipdata) == ((2, 1, 1) if knows_status else (4, 0, 0))
    assert (first.records, rest.records) == (1, 5)


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
def test_a_text_without_records_has_none(chunks: list[bytes]) -> None:
    assert list(TextReader(PROBE_FORMAT, PORT).glances(chunks)) == []


def test_a_line_that_an_error_cuts_is_no_record() -> None:
    def cut_short() -> Iterator[bytes]:
        yield line() + b"\n" + line(kind="to another port") + b"\n" + line()
        raise EOFError

    glances = TextReader(PROBE_FORMAT, PORT).glances(cut_short())
    assert [next(glances).records, next(glances).records] == [1, 1]
    with pytest.raises(EOFError):
        next(glances)


def test_bytes_that_are_no_text_are_kept_readable() -> None:
    damaged = line().replace(b"ACCEPT", b"ACC\xff\xc3PT")
    (glance, _) = TextReader(PROBE_FORMAT, PORT).glances([damaged])
    assert glance.doubtful == [(1, line().decode().replace("ACCEPT", r"ACC\xff\xc3PT"))]


def test_a_record_that_ends_well_is_read_only_if_it_may_be_to_the_port() -> None:
    foreign, ours = line(kind="to another port"), line()
    damaged = [each + end for each in (b"5 " + foreign, b"5 " + ours) for end in (b"", b" late")]
    lines = [foreign, *damaged, b"OK", b" OK", b"late"]
    told = []
    for size in (50, 10_000):
        sifted = sift(TextReader(PROBE_FORMAT, PORT).glances(cut(b"\n".join(lines), size)))
        told.append((sifted.foreign, [each.event_id for each in sifted.unparsable]))
    assert told == [(3, ["#3", "#4", "#5", "#6", "#8"])] * 2


def test_only_the_status_is_the_status() -> None:
    record_format = RecordFormat(("log-status", "dstport", "az-id"))
    text = b"OK 443 OK\nNODATA - OK\nSKIPDATA - OK\nOK 443 NODATA\nlate 443 OK\n"
    sifted = sift(TextReader(record_format, PORT).glances([text]))
    assert (sifted.foreign, sifted.nodata, sifted.skipdata, len(sifted.unparsable)) == (2, 1, 1, 1)
