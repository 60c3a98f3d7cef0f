"""Pictures of charts, for documents: drawn by vl-convert from the same files as the report page's.

As PNG: an SVG would be drawn in whatever font its reader has, and labels be cut where that is wider.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

import vl_convert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowlag_report.charts import Chart

_VEGA_LITE: Final = "6.4"
_SCALE: Final = 2
"""Pixels of a picture to one of the chart, for screens that have as many."""

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_DATA: Final = b"IDAT"


def png(chart: Chart) -> bytes:
    """Draw a chart. The same chart gives the same picture: its font is one that vl-convert brings itself."""
    return _compressed(vl_convert.vegalite_to_png(chart, vl_version=_VEGA_LITE, scale=_SCALE))


def _compressed(picture: bytes) -> bytes:
    """The same picture in a fifth of the bytes: vl-convert compresses in haste."""
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
