"""Campaigns for tests: a flow log that publishes at a fixed period, and no chance but what a test asks for."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from flowlag.plan import CLOUDWATCH, NITRO, S3, SIMULATED
from flowlag.stamp import PORTS
from flowlag_report.profile import COUNTS, NULL, Profile, profile_of

BEGIN = 1_793_527_200  # 2026-11-01T10:00:00Z, a whole ten minutes
SECOND = 1_000_000
SIX_HOURS_S = 21_600
WINDOW_S = 60

ARMS = {
    "cloudwatch-60": {"destination": CLOUDWATCH, "file_format": None, "aggregation_interval_s": 60},
    "cloudwatch-600": {"destination": CLOUDWATCH, "file_format": None, "aggregation_interval_s": 600},
    "s3-text-600": {"destination": S3, "file_format": "plain-text", "aggregation_interval_s": 600},
}
EVERY_S = {"cloudwatch-60": 60, "cloudwatch-600": 600, "s3-text-600": 300}
LEAST_S = {"cloudwatch-60": 20, "cloudwatch-600": 15, "s3-text-600": 420}


def columns(arm: str, started_s: int, traffic_s: int, lag_s: float) -> dict[str, np.ndarray]:
    """What a flow log says of a probe a second: the first burst that is late enough takes a minute of them."""
    tick = np.arange(started_s, started_s + traffic_s)
    sent_at = tick * SECOND + 150
    window_start = tick // WINDOW_S * WINDOW_S * SECOND
    window_end = window_start + WINDOW_S * SECOND
    every = EVERY_S[arm] * SECOND
    due = window_end + round((LEAST_S[arm] + lag_s) * SECOND)
    ingested_at = -(-due // every) * every + round(lag_s * SECOND)
    to_lambda = ARMS[arm]["destination"] == CLOUDWATCH
    received_at = ingested_at + 2 * SECOND if to_lambda else np.full(traffic_s, NULL)
    return {
        "tick": tick,
        "sent_at": sent_at,
        "window_start": window_start,
        "window_end": window_end,
        "ingested_at": ingested_at,
        "received_at": received_at,
    }


def profile(
    arm: str = "cloudwatch-600",
    *,
    number: int = 0,
    region: str | None = "eu-west-1",
    lag_s: float = 7.0,
    traffic_s: int = 3_600,
    lost: Iterable[int] = (),
    unsent: Iterable[int] = (),
    **run: Any,
) -> Profile:
    """One arm of the run of some number.

    Args:
        arm: of ARMS.
        number: runs begin six hours apart.
        region: where.
        lag_s: how late bursts are.
        traffic_s: a probe a second for so long.
        lost: which of them have no record, counted from 0.
        unsent: which were not sent.
        run: columns of `runs` that shall be different.
    """
    started_s = BEGIN + number * SIX_HOURS_S + 7 * number
    everything = columns(arm, started_s, traffic_s, lag_s)
    never_sent, not_recorded = np.array(list(unsent), np.int64), np.array(list(lost), np.int64)
    ledger = {"tick": everything["tick"], "sent_ns": everything["sent_at"] * 1_000}
    ledger["sent_ns"][never_sent] = NULL
    ports = everything["tick"] % PORTS
    kept = np.setdiff1d(np.flatnonzero(ports != 0), np.concatenate((never_sent, not_recorded)))
    ledger["sent_ns"][ports == 0] = NULL
    observed = {name: column[kept] for name, column in everything.items()}
    counts = dict.fromkeys(COUNTS, 0) | {
        "ledger_ticks": traffic_s - int(kept[0]),
        "observed": len(kept),
        "never_sent": len(never_sent),
        "not_recorded": int((not_recorded > kept[0]).sum()),
        "before_first_record": int(kept[0]),
        "expected_missing": int((ports == 0).sum()),
    }
    first_record_at = int(observed["ingested_at"].min())
    created_at = first_record_at - 100 * SECOND
    return profile_of(
        observed,
        ledger,
        {
            "run_id": f"run-{region}-{number}",
            "region": region,
            "started_at": started_s * SECOND,
            "source": SIMULATED,
            "experiment": "default",
            "verdict": "complete",
            "reasons": [],
            "hypervisor": NITRO,
            "instance_type": "t3.micro",
            "code_version": "1.2.3",
            "rate": 1,
            "cost_usd": 0.012,
        }
        | run,
        {"arm": arm, "level": "interface", "bursts": len(set(observed["ingested_at"].tolist()))}
        | ARMS[arm]
        | counts,
        {
            "t0_before_call": created_at,
            "t0_service": created_at + 1_000,
            "status": "delivered",
            "polls": 3,
            "last_miss_at": first_record_at - 20 * SECOND,
            "first_hit_at": first_record_at + 10 * SECOND,
            "first_record_s": 100.0,
            "first_probe_s": 100.0,
        },
    )


def campaign(runs: int = 6, regions: Iterable[str] = ("eu-west-1", "us-east-1"), **same: Any) -> list[Profile]:
    """Every arm in some runs of some regions; lags differ from run to run, and half of the runs lose records."""
    return [
        profile(
            arm,
            number=number,
            region=region,
            lag_s=3 + (number * 7 + place * 5) % 11,
            lost=range(500, 500 + 20 * (number % 2)),
            unsent=(900, 1_400, 2_000),
            **same,
        )
        for place, region in enumerate(regions)
        for number in range(runs)
        for arm in ARMS
    ]
