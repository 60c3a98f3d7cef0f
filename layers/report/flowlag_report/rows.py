"""The rows that charts draw, made from columns of observations: as few as show the same as every packet would.

Instants are ISO 8601 in UTC, to the millisecond, as browsers and spreadsheets read them; `_s` is seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from flowlag.stamp import due_at

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

type Whole = NDArray[np.int64]
type Row = dict[str, str | float]
type Window = tuple[int, int, int, int]

_SECOND: Final = 1_000_000


def windows(sent_at: Whole, window_start: Whole, ingested_at: Whole) -> list[Row]:
    """One row for what each capture window delivered at once, in order of the windows.

    Inside it, delay and timestamp error fall by a second a second: a line from its first to its last packet has
    every packet on it.

    Args:
        sent_at: when each probe was sent, in microseconds, shape (n,), in any order.
        window_start: the label of its capture window.
        ingested_at: when it was delivered.
    """
    sent_first, sent_last, label, ingested = (
        np.array(windows_of(sent_at, window_start, ingested_at), np.int64).reshape(-1, 4).T
    )
    columns = {
        "window_start": instants(label),
        "ingested_at": instants(ingested),
        "sent_first": instants(sent_first),
        "sent_last": instants(sent_last),
        "delay_first_s": _seconds(ingested - sent_first),
        "delay_last_s": _seconds(ingested - sent_last),
        "ingest_delay_s": _seconds(ingested - label),
        "error_first_s": _seconds(label - sent_first),
        "error_last_s": _seconds(label - sent_last),
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def windows_of(sent_at: Whole, window_start: Whole, ingested_at: Whole) -> tuple[Window, ...]:
    """The same in four instants each: the first and the last send time, the label, the delivery."""
    order = np.lexsort((sent_at, ingested_at, window_start))
    sent, label, ingested = sent_at[order], window_start[order], ingested_at[order]
    begins = np.flatnonzero((np.diff(label, prepend=label[:1] - 1) != 0) | (np.diff(ingested, prepend=-1) != 0))
    ends = np.append(begins, len(sent))[1:] - 1
    columns = (sent[begins], sent[ends], label[begins], ingested[begins])
    return tuple(zip(*(each.tolist() for each in columns), strict=True))


def spans(fate: str, ticks: Collection[int], rate: int) -> list[Row]:
    """One row for each unbroken sequence of ticks that shared a fate.

    Args:
        fate: what became of them.
        ticks: in any order, none twice.
        rate: ticks a second.
    """
    ordered = np.sort(np.fromiter(ticks, np.int64, len(ticks)))
    return [
        {
            "fate": fate,
            "first": instant(due_at(int(part[0]), rate)),
            "end": instant(due_at(int(part[-1]) + 1, rate)),
        }
        for part in np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
        if len(part)
    ]


def gaps(at: Whole) -> list[Row]:
    """One row for each of some instants but the first: how long after the one before it is."""
    ordered = np.sort(at)
    since = _seconds(np.diff(ordered))
    return [{"at": when, "gap_s": gap} for when, gap in zip(instants(ordered[1:]), since, strict=True)]


def instants(at: Whole) -> list[str]:
    """Microseconds since the epoch, in ISO 8601."""
    texts: list[str] = np.datetime_as_string(at.astype("datetime64[us]"), "ms", "UTC").tolist()
    return texts


def instant(at: int) -> str:
    """One of them."""
    return instants(np.array([at]))[0]


def _seconds(micros: Whole) -> list[float]:
    seconds: list[float] = (micros / _SECOND).tolist()
    return seconds
