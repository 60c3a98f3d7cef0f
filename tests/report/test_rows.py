"""The rows that charts draw, of columns whose rows are known."""

import numpy as np

from flowlag_report import rows

SECOND = 1_000_000
BEGIN = 1_793_527_200  # 2026-11-01T10:00:00Z


def micros(*seconds):
    return np.array([round((BEGIN + each) * SECOND) for each in seconds], np.int64)


def test_a_window_is_one_line_from_its_first_packet_to_its_last():
    (window,) = rows.windows(micros(2, 0, 1), micros(1, 1, 1), micros(90.5, 90.5, 90.5))

    assert window == {
        "window_start": "2026-11-01T10:00:01.000Z",
        "ingested_at": "2026-11-01T10:01:30.500Z",
        "sent_first": "2026-11-01T10:00:00.000Z",
        "sent_last": "2026-11-01T10:00:02.000Z",
        "delay_first_s": 90.5,
        "delay_last_s": 88.5,
        "ingest_delay_s": 89.5,
        "error_first_s": 1.0,
        "error_last_s": -1.0,
    }


def test_windows_come_in_order():
    found = rows.windows(micros(61, 1, 2), micros(60, 0, 0), micros(200, 200, 200))

    assert [each["sent_last"] for each in found] == ["2026-11-01T10:00:02.000Z", "2026-11-01T10:01:01.000Z"]


def test_what_a_window_delivered_later_is_another_line():
    found = rows.windows(micros(0, 1, 2, 3), micros(0, 0, 0, 0), micros(100, 300, 100, 300))

    assert [(each["delay_first_s"], each["delay_last_s"]) for each in found] == [(100.0, 98.0), (299.0, 297.0)]


def test_windows_that_overlap_keep_their_packets():
    found = rows.windows(micros(0, 1, 2, 3), micros(0, 1, 0, 1), micros(100, 100, 100, 100))

    assert [(each["error_first_s"], each["error_last_s"]) for each in found] == [(0.0, -2.0), (0.0, -2.0)]


def test_no_records_are_no_windows():
    assert rows.windows(micros(), micros(), micros()) == []


def test_spans_are_unbroken():
    assert rows.spans("sent", {BEGIN + 4, BEGIN, BEGIN + 1}, rate=1) == [
        {"fate": "sent", "first": "2026-11-01T10:00:00.000Z", "end": "2026-11-01T10:00:02.000Z"},
        {"fate": "sent", "first": "2026-11-01T10:00:04.000Z", "end": "2026-11-01T10:00:05.000Z"},
    ]


def test_spans_know_the_rate():
    (span,) = rows.spans("sent", {BEGIN * 10, BEGIN * 10 + 1}, rate=10)

    assert span["end"] == "2026-11-01T10:00:00.200Z"


def test_no_ticks_are_no_span():
    assert rows.spans("lost", set(), rate=1) == []


def test_a_gap_belongs_to_its_later_end():
    assert rows.gaps(micros(200, 0, 7.5)) == [
        {"at": "2026-11-01T10:00:07.500Z", "gap_s": 7.5},
        {"at": "2026-11-01T10:03:20.000Z", "gap_s": 192.5},
    ]


def test_one_instant_has_no_gap():
    assert rows.gaps(micros(0)) == []
