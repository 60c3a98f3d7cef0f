"""Pictures of charts, for documents: drawn by vl-convert from the same files as the report page's.

As PNG: an SVG would be drawn in whatever font its reader has, and labels be cut where that is wider.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from typing import TYPE_CHECKING, Final

import vl_convert

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flowlag_report.charts import Chart

_VEGA_LITE: Final = "6.4"
_SCALE: Final = 2
"""Pixels of a picture to one of the chart, for screens that have as many."""

_AT_NIGHT: Final[Mapping[str, str]] = {
    "#ffffff": "#0d1117",
    "#1a1f26": "#e6edf3",
    "#333b45": "#c9d1d9",
    "#4d5663": "#a3adb8",
    "#9aa3ae": "#57606a",
    "#e4e8ec": "#262c36",
    "#8a939e": "#6e7681",
    "#0072b2": "#56b4e9",
}
"""Colours of charts, and what they are on a dark page; what is not here does for both."""

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_DATA: Final = b"IDAT"


def png(chart: Chart) -> bytes:
    """Draw a chart. The same chart gives the same picture: its font is one that vl-convert brings itself."""
    return smaller(vl_convert.vegalite_to_png(chart, vl_version=_VEGA_LITE, scale=_SCALE))


def at_night(chart: Chart) -> Chart:
    """The same chart for a dark page."""
    found: Chart = json.loads(
        re.sub(r"#[0-9a-f]{6}", lambda each: _AT_NIGHT.get(each[0], each[0]), json.dumps(chart))
    )
    return found


def smaller(picture: bytes) -> bytes:
    """The same picture in fewer bytes, a fifth of what vl-convert leaves: it compresses in haste."""
    header, *parts, end = _chunks(picture)
    data = zlib.compress(zlib.decompress(b"".join(part for kind, part in parts if kind == _DATA)), 9)
    others = [part for part in parts if part[0] != _DATA]
    return _SIGNATURE + b"".join(_chunk(*each) for each in (header, *others, (_DATA, data), end))


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What a PNG file consists of: kind and content of each part (www.w3.org/TR/png, 5.3)."""
    at = len(_SIGNATURE)
    while at < len(picture):
        length, kind = struct.unpack_from(">I4s", picture, at)
        yield kind, picture[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))
