"""Pictures of charts: whole PNG files, the same for the same chart, and not as large as vl-convert leaves them."""

import struct
import zlib

import pytest
import vl_convert

from flowlag_report import charts
from local.pictures import at_night, png


@pytest.fixture(scope="module")
def chart():
    datasets = {
        "fates": [{"fate": "recorded", "n": 60}],
        "spans": [{"fate": "recorded", "first": "2026-11-01T10:00:00.000Z", "end": "2026-11-01T10:01:00.000Z"}],
    }
    return charts.filled("missing_data", title="Nothing was lost", subtitle="", datasets=datasets)


@pytest.fixture(scope="module")
def picture(chart):
    return png(chart)


def parts(data):
    """Kind, content and checksum of what a PNG file consists of."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + 8 + length], int.from_bytes(data[at + 8 + length : at + 12 + length])
        at += 12 + length


def pixels(data):
    return zlib.decompress(b"".join(content for kind, content, _ in parts(data) if kind == b"IDAT"))


def test_it_is_a_whole_file(picture):
    found = list(parts(picture))

    assert (found[0][0], found[-1][0]) == (b"IHDR", b"IEND")
    assert all(zlib.crc32(kind + content) == checksum for kind, content, checksum in found)


def test_it_has_two_pixels_for_one_of_the_chart(picture, chart):
    assert struct.unpack_from(">II", picture, 16) == (2 * chart["width"], 2 * chart["height"])


def test_it_is_what_vl_convert_draws(picture, chart):
    drawn = vl_convert.vegalite_to_png(chart, scale=2)

    assert pixels(picture) == pixels(drawn)
    assert len(picture) < len(drawn) / 2


def test_the_same_chart_is_the_same_picture(picture, chart):
    assert png(chart) == picture


def test_at_night_the_same_is_drawn_in_other_colours(chart):
    night = at_night(chart)

    assert night["datasets"] == chart["datasets"]
    assert (chart["config"]["background"], night["config"]["background"]) == ("#ffffff", "#0d1117")
    assert night["config"]["title"] == chart["config"]["title"] | {"color": "#e6edf3", "subtitleColor": "#a3adb8"}
    assert png(night) != png(chart)
