"""Reports: the profiles of runs and the pages made of them, as objects of the results bucket.

    profiles/region=<r>/dt=<yyyy-mm-dd>/<run>.<arm>.json   one arm in one run, of every region
    report/<experiment>/index.html, data.json, badge.svg   what the campaign's profiles come to

What is in them is flowlag_report's; here they are bytes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import TYPE_CHECKING, Final

from flowlag.tables import PROFILES, profile_key
from flowlag_aws.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowlag.plan import RunPlan
    from flowlag_aws.settings import Results

REPORTS: Final = "report/"
PAGE: Final = "index.html"
DATA: Final = "data.json"
BADGE: Final = "badge.svg"

WITHOUT_EXPERIMENT: Final = "by_hand"
"""The folder of the runs that no experiment asked for. No experiment can have this name: it has a `_`."""

CACHE_CONTROL: Final = "max-age=300"
"""A run takes longer than that, so that a page is hardly ever seen twice by mistake, and never for a day."""

_AT_ONCE: Final = 10
"""As many connections as a boto3 client keeps."""
_PROFILES_AHEAD: Final = 200
"""So many are in memory at once, whatever the campaign's length."""


class Reports:
    """The profiles and reports of a results bucket."""

    def __init__(self, results: Store) -> None:
        self._results = results

    @classmethod
    def of(cls, settings: Results) -> Reports:
        """Those of a stack's results."""
        return cls(Store(settings.results_bucket, settings.results_region))

    def put_profile(self, plan: RunPlan, arm: str, profile: bytes) -> None:
        """Write the profile of an arm."""
        self._results.put(profile_key(plan.region, plan.planned_at, plan.run_id, arm), profile)

    def find_profile(self, plan: RunPlan, arm: str) -> bytes | None:
        """The profile of an arm; None if it has none."""
        return self._results.find(profile_key(plan.region, plan.planned_at, plan.run_id, arm))

    def profiles(self) -> Iterator[tuple[str, bytes]]:
        """Every profile with its key, in order, of whatever region, day and campaign."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            # The listing comes first, and so makes the client, which threads may then share.
            for keys in batched(self._results.keys(f"{PROFILES}/"), _PROFILES_AHEAD, strict=False):
                yield from zip(keys, pool.map(self._results.get, keys), strict=True)

    def put_report(self, experiment: str, *, page: str, data: str, badge: str) -> str:
        """Write the report of an experiment, for browsers, and return the page's URI."""
        folder = f"{REPORTS}{experiment or WITHOUT_EXPERIMENT}/"
        for name, content_type, text in (
            (BADGE, "image/svg+xml", badge),
            (DATA, "application/json", data),
            (PAGE, "text/html; charset=utf-8", page),
        ):
            self._results.put_for_browsers(f"{folder}{name}", text.encode(), content_type, CACHE_CONTROL)
        return f"s3://{self._results.bucket}/{folder}{PAGE}"
