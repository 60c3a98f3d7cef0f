"""Charts: what is kept as files can be filled, and drawn, by whoever draws Vega-Lite."""

import json

import pytest
import vl_convert

from flowlag_report import charts

NAMES = [
    "cost",
    "delay_by_send_time",
    "delay_curve",
    "delay_folded",
    "first_delivery",
    "gaps_between_missing",
    "history",
    "hours",
    "lookback",
    "losses",
    "missing_data",
    "stages",
    "timestamp_error",
]
BLUE = "#0072b2"
AT = "2026-11-01T10:00:00.000Z"

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
    "cost": {
        "costs": [
            {"at": AT, "usd": 0.1, "region": "eu-west-1", "colour": BLUE},
            {"at": "2026-11-02T10:00:00.000Z", "usd": 0.2, "region": "eu-west-1", "colour": BLUE},
        ]
    },
    "delay_curve": {
        "bands": [{"arm": "S3", "share": 0.5, "low_s": 280.0, "high_s": 320.0, "colour": BLUE}],
        "curves": [
            {"arm": "S3", "share": 0.0, "delay_s": 0.0, "within": "0 s", "colour": BLUE},
            {"arm": "S3", "share": 1.0, "delay_s": 610.0, "within": "10 min 10 s", "colour": BLUE},
        ],
        "levels": [{"share": 0.5}],
    },
    "delay_folded": {
        "windows": [
            {"at_s": 0.0, "until_s": 170.0, "delay_first_s": 130.0, "delay_last_s": 61.0, "hour": 0.0, "width": 3}
        ]
    },
    "first_delivery": {
        "looks": [
            {
                "place": 0,
                "run": "run-1",
                "arm": "S3",
                "colour": BLUE,
                "last_miss_s": 0.0,
                "first_hit_s": 310.0,
                "first_record_s": 290.0,
                "exact": "4 min 50 s",
                "polls": 3,
            }
        ]
    },
    "history": {
        "runs": [
            {
                "run": "run-1",
                "region": "eu-west-1",
                "at": AT,
                "p50_s": 320.0,
                "p95_s": 610.0,
                "p50": "5 min 20 s",
                "p95": "10 min 10 s",
                "colour": BLUE,
            }
        ],
        "changes": [{"at": AT, "colour": BLUE, "label": "eu-west-1"}],
        "void": [],
    },
    "hours": {
        "cells": [
            {"region": "eu-west-1", "hour": "07", "n_runs": 12, "delay_s": 300.0, "told": "5 min", "ink": "#fff"},
            {"region": "eu-west-1", "hour": "08", "n_runs": 3, "delay_s": None, "told": "too few", "ink": "#000"},
        ]
    },
    "lookback": {
        "curves": [
            {"arm": "S3", "within_s": 0.0, "missed": 1.0, "colour": BLUE},
            {"arm": "S3", "within_s": 900.0, "missed": 0.0, "colour": BLUE},
        ],
        "rule": [{"arm": "S3", "within_s": 360.0, "missed": 0.6, "colour": BLUE}],
    },
    "losses": {"losses": [{"arm": "S3", "reason": "not recorded", "n": 17, "per_10000": 4.5, "colour": BLUE}]},
    "stages": {
        "stages": [
            {"arm": "S3 text", "stage": "waiting for delivery", "from_s": 0.0, "to_s": 310.0, "lasts": "5 min 10 s"}
        ],
        "totals": [{"arm": "S3 text", "to_s": 310.0, "label": "5 min 10 s"}],
    },
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
    "cost": ["$0.1", "when the run began (UTC)"],
    "delay_curve": ["1 min", "5 min", "10 min", "95%"],
    "delay_folded": ["2 min", "send time, modulo the period"],
    "first_delivery": ["1 min", "5 min"],
    "history": ["5 min", "10 min", "eu-west-1"],
    "hours": ["07", "eu-west-1", "12", "3"],
    "lookback": ["look-back", "10 min", "50%"],
    "losses": ["not recorded", "17"],
    "stages": ["S3 text", "5 min 10 s"],
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
