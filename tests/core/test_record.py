from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlag.errors import InvalidFormat, UnparsableRecord
from flowlag.record import (
    DEFAULT_FORMAT,
    FIELDS_BY_VERSION,
    INTEGERS,
    NODATA,
    PROBE_FORMAT,
    SKIPDATA,
    VERSION_OF,
    FlowRecord,
    RecordFormat,
)

ALL_FIELDS = RecordFormat(tuple(VERSION_OF))
CUSTOM_FORMATS = st.lists(st.sampled_from(list(VERSION_OF)), min_size=1, unique=True).map(tuple).map(RecordFormat)
FORMATS = st.sampled_from([DEFAULT_FORMAT, PROBE_FORMAT, ALL_FIELDS]) | CUSTOM_FORMATS
NUMBERS = st.integers(0, 10**15 - 1)
WORDS = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=20).filter("-".__ne__)

OF_THE_USER_GUIDE = "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA"


@st.composite
def records(draw: st.DrawFn) -> tuple[RecordFormat, FlowRecord]:
    """A format, and a record with a value or None for each of its fields."""
    record_format = draw(FORMATS)
    return record_format, FlowRecord(
        {name: draw(st.none() | (NUMBERS if name in INTEGERS else WORDS)) for name in record_format.names}
    )


@given(records())
def test_parse_undoes_format(case: tuple[RecordFormat, FlowRecord]) -> None:
    record_format, record = case
    assert record_format.parse(record_format.format(record)) == record


@given(FORMATS)
def test_a_format_is_the_same_by_format_string_by_header_and_by_parquet_columns(
    record_format: RecordFormat,
) -> None:
    header = " ".join(record_format.names)
    assert RecordFormat.of_string(record_format.log_format) == record_format
    assert RecordFormat.of_header(header + "\n") == record_format
    assert RecordFormat.of_header(header.replace("-", "_")) == record_format


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("srcport", 2),
        ("tcp-flags", 3),
        ("az-id", 4),
        ("flow-direction", 5),
        ("tgw-id", 6),
        ("ecs-task-id", 7),
        ("reject-reason", 8),
        ("resource-id", 9),
        ("encryption-status", 10),
        ("interface-type", 11),
    ],
)
def test_a_record_is_of_the_highest_version_among_its_fields(name: str, version: int) -> None:
    assert RecordFormat((name, "version")).version == version
    assert RecordFormat(tuple(each for each in VERSION_OF if VERSION_OF[each] <= version)).version == version


def test_flow_logs_have_fourteen_default_fields_and_68_by_version_11() -> None:
    per_version = {version: len(names) for version, names in FIELDS_BY_VERSION.items()}
    assert per_version == {2: 14, 3: 7, 4: 4, 5: 4, 6: 18, 7: 10, 8: 1, 9: 1, 10: 1, 11: 8}
    assert len(ALL_FIELDS.names) == 68


def test_counts_ports_instants_and_codes_are_numbers_and_names_are_text() -> None:
    line = "5 6 4184 7777 1 717 1646334040 1646334100 2 8 3 012345678901 2 - ACCEPT"
    names = (
        "version protocol srcport dstport packets bytes start end tcp-flags traffic-path encryption-status "
        "account-id type instance-id action"
    )
    values = list(RecordFormat.of_header(names).parse(line).fields.values())
    assert values == [
        5, 6, 4184, 7777, 1, 717, 1646334040, 1646334100, 2, 8, 3, "012345678901", "2", None, "ACCEPT"
    ]  # fmt: skip


def test_the_default_format_is_the_fourteen_fields_of_version_2_in_order() -> None:
    assert " ".join(DEFAULT_FORMAT.names) == (
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end "
        "action log-status"
    )
    assert DEFAULT_FORMAT.version == 2


def test_the_probe_format_holds_the_default_fields_and_is_of_version_5() -> None:
    assert set(DEFAULT_FORMAT.names) < set(PROBE_FORMAT.names)
    assert PROBE_FORMAT.version == 5


def test_a_record_of_the_default_format_is_read_field_by_field() -> None:
    record = DEFAULT_FORMAT.parse(
        "2 012345678901 eni-0123456789abcdef0 10.0.0.10 10.0.0.20 4184 7777 6 1 66 1646334040 1646334100 ACCEPT OK"
    )
    assert record.fields == {
        "version": 2,
        "account-id": "012345678901",
        "interface-id": "eni-0123456789abcdef0",
        "srcaddr": "10.0.0.10",
        "dstaddr": "10.0.0.20",
        "srcport": 4184,
        "dstport": 7777,
        "protocol": 6,
        "packets": 1,
        "bytes": 66,
        "start": 1646334040,
        "end": 1646334100,
        "action": "ACCEPT",
        "log-status": "OK",
    }
    assert record.status == "OK"
    assert record.window_start == 1_646_334_040_000_000
    assert record.window_end == 1_646_334_100_000_000


@pytest.mark.parametrize("status", [NODATA, SKIPDATA])
def test_a_record_without_traffic_has_a_window_and_no_flow(status: str) -> None:
    record = DEFAULT_FORMAT.parse(OF_THE_USER_GUIDE.replace(NODATA, status))
    assert record.status == status
    assert record.window_start == 1_431_280_876_000_000
    assert record.window_end == 1_431_280_934_000_000
    absent = {name for name, value in record.fields.items() if value is None}
    assert absent == {"srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes", "action"}


@pytest.mark.parametrize("name", sorted(INTEGERS))
def test_zero_is_a_number_and_a_dash_is_none(name: str) -> None:
    record_format = RecordFormat((name,))
    zero, absent = record_format.parse("0"), record_format.parse("-")
    assert (zero.number(name), zero.text(name)) == (0, "0")
    assert (absent.number(name), absent.text(name)) == (None, None)
    assert (record_format.format(zero), record_format.format(absent)) == ("0", "-")


@pytest.mark.parametrize("name", sorted(set(VERSION_OF) - INTEGERS))
def test_digits_in_a_text_field_stay_text(name: str) -> None:
    record = RecordFormat((name,)).parse("0012")
    assert (record.text(name), record.number(name)) == ("0012", None)


def test_a_field_outside_the_format_is_absent_and_written_as_a_dash() -> None:
    record = RecordFormat(("srcport",)).parse("4184")
    assert record.number("dstport") is None
    assert record.text("action") is None
    assert record.status is None
    assert record.window_start is None
    assert record.window_end is None
    assert RecordFormat(("action", "srcport")).format(record) == "- 4184"


@given(st.integers(100_000_000, 99_999_999_999))
def test_seconds_and_milliseconds_give_the_same_instants(second: int) -> None:
    for name, instant in (("start", "window_start"), ("end", "window_end")):
        record_format = RecordFormat((name,))
        in_seconds = getattr(record_format.parse(str(second)), instant)
        in_milliseconds = getattr(record_format.parse(f"{second}000"), instant)
        assert in_seconds == in_milliseconds == second * 1_000_000


def test_milliseconds_keep_their_fraction() -> None:
    assert RecordFormat(("start",)).parse("1646334040123").window_start == 1_646_334_040_123_000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "the line has 1 fields where its format has 3"),
        ("10.0.0.10 4184", "the line has 2 fields where its format has 3"),
        ("10.0.0.10 4184 OK ", "the line has 4 fields where its format has 3"),
        ("10.0.0.10  OK", "the field 'srcport' is '', not a number"),
        (" 4184 OK", "the field 'srcaddr' is empty"),
        ("10.0.0.10 x OK", "the field 'srcport' is 'x', not a number"),
        ("10.0.0.10 -1 OK", "the field 'srcport' is '-1', not a number"),
        ("10.0.0.10 +1 OK", "the field 'srcport' is '\\+1', not a number"),
        ("10.0.0.10 1.5 OK", "the field 'srcport' is '1.5', not a number"),
        ("10.0.0.10 1_0 OK", "the field 'srcport' is '1_0', not a number"),
        ("10.0.0.10 \u0664\u0661 OK", "the field 'srcport' is '\u0664\u0661', not a number"),
        (f"10.0.0.10 {10**15} OK", "the field 'srcport' is '1000000000000000', not a number"),
        (f"10.0.0.10 {'9' * 5_000} OK", f"the field 'srcport' is '{'9' * 40}', not a number"),
    ],
)
def test_what_does_not_fit_the_format_is_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(UnparsableRecord, match=f"^{reason}$"):
        RecordFormat(("srcaddr", "srcport", "log-status")).parse(line)


@given(FORMATS, st.text())
def test_any_line_is_either_read_or_refused(record_format: RecordFormat, line: str) -> None:
    with suppress(UnparsableRecord):
        assert set(record_format.parse(line).fields) == set(record_format.names)


@pytest.mark.parametrize(
    ("log_format", "reason"),
    [
        ("", "the format names no field"),
        ("srcport", "'srcport' in the log format is not of the form"),
        ("${srcport}${dstport}", "is not of the form"),
        ("${srcport} ${}", r"'\$\{\}' in the log format is not of the form"),
        ("${srcport} ${SRCPORT}", "is not of the form"),
        ("${srcport} ${colour}", "flow logs have no field 'colour'"),
        ("${srcport} ${dstport} ${srcport}", "the format names the field 'srcport' twice"),
    ],
)
def test_a_format_string_that_flow_logs_do_not_have_is_refused(log_format: str, reason: str) -> None:
    with pytest.raises(InvalidFormat, match=reason):
        RecordFormat.of_string(log_format)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "the format names no field"),
        ("@timestamp @message", "flow logs have no field '@timestamp'"),
        ("version account_id account-id", "the format names the field 'account-id' twice"),
    ],
)
def test_a_header_that_flow_logs_do_not_have_is_refused(header: str, reason: str) -> None:
    with pytest.raises(InvalidFormat, match=reason):
        RecordFormat.of_header(header)


@given(records())
def test_a_line_shows_its_status_and_its_values_before_it_is_parsed(case: tuple[RecordFormat, FlowRecord]) -> None:
    record_format, record = case
    line = record_format.format(record)
    for name, value in record.fields.items():
        assert record_format.mark(name, "-" if value is None else value) in line
    expected = "OK" if record_format.status_index is None else record.status or "-"
    assert record_format.status_of(line) == expected


def test_a_mark_stands_between_the_spaces_that_are_there() -> None:
    record_format = RecordFormat(("srcport", "dstport", "protocol"))
    assert [record_format.mark(name, 7) for name in record_format.names] == ["7 ", " 7 ", " 7"]
    assert RecordFormat(("dstport",)).mark("dstport", 7) == "7"


@given(FORMATS, st.text(" 1a"))
def test_the_status_of_a_line_with_a_wrong_number_of_fields_is_not_told(
    record_format: RecordFormat, line: str
) -> None:
    if line.count(" ") != len(record_format.names) - 1:
        with pytest.raises(UnparsableRecord, match=f"^the line has {line.count(' ') + 1} fields where"):
            record_format.status_of(line)


@settings(max_examples=25)  # a pattern of 68 fields takes its time to be compiled
@given(records(), st.data())
def test_a_pattern_picks_what_parsing_reads(case: tuple[RecordFormat, FlowRecord], data: st.DataObject) -> None:
    record_format, record = case
    line = record_format.format(record)
    picked = data.draw(st.lists(st.sampled_from(list(VERSION_OF)), unique=True))
    known = {
        name: str(record.fields[name])
        for name in data.draw(st.lists(st.sampled_from(record_format.names), unique=True))
        if record.fields[name] is not None and name not in picked
    }
    match = record_format.pattern(known, picked).fullmatch(line)
    if any(record.fields.get(name, "outside") is None for name in picked):
        assert match is None
    else:
        assert match is not None
        assert {name: match[name.replace("-", "_")] for name in picked} == {
            name: str(record.fields.get(name, "")) for name in picked
        }


@settings(max_examples=25)
@given(FORMATS, st.text(" -1a"))
def test_a_pattern_matches_no_line_that_parsing_refuses(record_format: RecordFormat, line: str) -> None:
    if record_format.pattern({}, ()).fullmatch(line):
        record_format.parse(line)


def test_a_pattern_matches_known_values_as_they_stand() -> None:
    pattern = RecordFormat(("interface-id", "action")).pattern({"interface-id": "eni.0"}, ())
    assert pattern.fullmatch("eni.0 ACCEPT")
    assert not pattern.fullmatch("eni-0 ACCEPT")


def test_a_format_tells_where_its_status_stands() -> None:
    assert DEFAULT_FORMAT.status_index == 13
    assert RecordFormat(("log-status", "start")).status_index == 0
    assert RecordFormat(("start", "end")).status_index is None
