"""Charts: what is kept as files can be filled, and drawn, by whoever draws Vega-Lite."""

import json

import pytest
import vl_convert

from flowlag_report import charts

NAMES = ["delay_by_send_time", "gaps_between_missing", "missing_data", "timestamp_error"]

WINDOW = {
    "window_start": "2026-11-01T10:00:00.000Z",
    "ingested_at": "2026-11-01T10:02:00.000Z",
    "sent_first": "2026-11-01T10:00:00.000Z",
    "sent_last": "2026-11-01T10:00:59.000Z",
    "delay_first_s": 120.0,
    "delay_last_s": 61.0,
    "ingest_delay_s": 120.0,
    "error_first_s": 0.0,
    "error_last_s": -59.0,
}
ROWS = {
    "delay_by_send_time": {"windows": [WINDOW], "levels": [{"delay_s": 90.0, "label": "half within 90 s"}]},
    "gaps_between_missing": {
        "gaps": [{"at": "2026-11-01T10:03:00.000Z", "gap_s": 180.0}],
        "levels": [{"gap_s": 180.0, "label": "median 180 s"}],
    },
    "missing_data": {
        "fates": [{"fate": "recorded", "n": 1234}, {"fate": "lost", "n": 0}],
        "spans": [
            {"fate": "recorded", "first": "2026-11-01T10:00:00.000Z", "end": "2026-11-01T10:20:34.000Z"},
        ],
    },
    "timestamp_error": {"near": [WINDOW], "windows": [WINDOW]},
}
SHOWN = {
    "delay_by_send_time": ["half within 90 s", "1 min", "send time (UTC)"],
    "gaps_between_missing": ["median 180 s", "3 min"],
    "missing_data": ["recorded", "1,234", "lost"],
    "timestamp_error": ["\N{MINUS SIGN}30 s", "the start that all of them carry"],
}

each_chart = pytest.mark.parametrize("name", NAMES)


def chart(name, title="A finding"):
    return charts.filled(name, title=title, subtitle="of a run", datasets=ROWS[name])


def test_these_are_the_charts():
    assert charts.names() == NAMES


@each_chart
def test_a_filled_chart_draws_what_it_was_given(name):
    drawn = vl_convert.vegalite_to_svg(chart(name))

    for text in ("A finding", "of a run", *SHOWN[name]):
        assert f">{text}<" in drawn


@each_chart
def test_a_filled_chart_needs_nothing_else(name):
    filled = chart(name)

    assert json.loads(json.dumps(filled)) == filled
    assert filled["datasets"] == ROWS[name]
    assert "url" not in json.dumps(filled)


@each_chart
def test_a_file_keeps_no_data(name):
    chart(name)
    empty = {dataset: [] for dataset in ROWS[name]}

    assert charts.filled(name, title="", subtitle="", datasets=empty)["datasets"] == empty


def test_the_charts_share_their_look():
    assert len({json.dumps(chart(name)["config"]) for name in NAMES}) == 1


def test_other_datasets_are_refused():
    with pytest.raises(ValueError, match=r"'missing_data' draws \['fates', 'spans'\], not \['fates'\]"):
        charts.filled("missing_data", title="", subtitle="", datasets={"fates": []})
