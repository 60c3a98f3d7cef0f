"""How a run ended: its verdict, each arm's numbers, and the page that tells the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.instants import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.watch.history import End
    from local.watch.reading import Seen

SUCCEEDED = "SUCCEEDED"


def summary(seen: Seen, end: End) -> dict[str, Any]:
    """The last object of `--json`.

    Verdict, reasons and arms are SummarizeRun's, of a run that failed, too; None and nothing where it never came to
    that, as after an abort, when the sweeper keeps the run as void within the hour.
    """
    made = seen.history.answer("SummarizeRun", "SummarizeFailedRun")
    publishing = seen.history.visit("PublishReport")
    return {
        "event": "summary",
        "at": iso(end.at),
        "run_id": seen.run_id,
        "source": made.get("source", seen.plan.source if seen.plan else None),
        "execution_status": end.status,
        "failure": end.failure or None,
        "seconds": round((end.at - seen.began_at) / 1_000_000, 3),
        "verdict": made.get("verdict"),
        "reasons": made.get("reasons", []),
        "n_runs": 1,
        "arms": {each["arm"]: _arm(each) for each in made.get("arms", [])},
        "page": seen.history.answer("PublishReport").get("page"),
        "not_published": publishing.failures[-1].why if publishing and publishing.failures else None,
    }


def _arm(arm: Mapping[str, Any]) -> dict[str, Any]:
    delay = arm["delay_s"]
    return {
        "n_packets": arm["counts"]["observed"],
        "n_bursts": arm["n_bursts"],
        "missing": arm["counts"]["missing"],
        "first_delivery_s": arm["first_delivery_s"],
        "delay_s": delay and {name: delay[name] for name in ("p50", "p95", "max")},
    }
