"""S3: when an object came."""

from __future__ import annotations

from typing import Final

from ministack.services import s3


def know_when_objects_came_by_the_second() -> None:
    """Know the second that an object came in, as S3 does.

    MiniStack's lists have milliseconds where AWS always has `.000Z`: delays would be better known here than there,
    and a list would contradict what HeadObject says of the same object.
    """
    now = s3.now_iso
    s3.now_iso = lambda: f"{now()[:_SECONDS]}.000Z"


_SECONDS: Final = len("2026-11-23T08:51:22")
