"""Results whose truth is known: a campaign in two regions, of two sources, with everything in it that a query may
get wrong. Rows are plain dicts; instants are integer microseconds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from flowlag.ledger import FAILED, MISSED, SENT, SKIPPED
from flowlag.stamp import encode
from flowlag.tables import TABLES, object_key
from flowlag_aws.parquet import encode_rows

type Row = dict[str, Any]

SECOND = 1_000_000
TICKS = 90

ARMS: dict[str, Row] = {
    name: {
        "destination": "s3" if file_format else "cloud-watch-logs",
        "file_format": file_format,
        "aggregation_interval_s": interval_s,
        "level": level,
    }
    for name, file_format, interval_s, level in (
        ("cloudwatch-60", None, 60, "interface"),
        ("cloudwatch-600", None, 600, "interface"),
        ("s3-text-600", "plain-text", 600, "subnet"),
        ("s3-parquet-600", "parquet", 600, "subnet"),
        ("s3-text-60-hive", "plain-text", 60, "vpc"),
        ("s3-text-600-hive", "plain-text", 600, "vpc"),
    )
}
FOUR = ("cloudwatch-60", "cloudwatch-600", "s3-text-600", "s3-parquet-600")
HALF = ("cloudwatch-60", "s3-text-600")
HIVE = ("s3-text-60-hive", "s3-text-600-hive")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is planted of a run. An arm that is `silent` records nothing; an `expired` one no probe in time."""

    run_id: str
    started: str
    source: str = "aws"
    region: str = "eu-west-1"
    experiment: str = "default"
    verdict: str | None = "complete"
    hypervisor: str | None = "nitro"
    arms: tuple[str, ...] = FOUR
    silent: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    cost_usd: float | None = 0.041
    slower_s: float = 0.0
    early: bool = False

    @property
    def started_at(self) -> int:
        """When it was planned."""
        return round(datetime.fromisoformat(self.started).timestamp() * 1_000) * 1_000


RUNS = (
    Run(
        run_id="c-20261101T235900Z",
        started="2026-11-01T23:59:00.250Z",
        hypervisor="xen",
        slower_s=40,
        verdict="partial",
        silent=("cloudwatch-60",),
        expired=("cloudwatch-60",),
    ),
    Run(run_id="c-20261103T100000Z", started="2026-11-03T10:00:00.251Z", hypervisor="xen", slower_s=55),
    Run(run_id="c-20261104T235900Z", started="2026-11-04T23:59:00.100Z", early=True),
    Run(run_id="c-20261105T040200Z", started="2026-11-05T04:02:00.100Z", slower_s=3),  # across the wrap of the port
    Run(
        run_id="c-20261106T100000Z",
        started="2026-11-06T10:00:00.300Z",
        verdict="partial",
        silent=("s3-parquet-600",),
        expired=("s3-parquet-600",),
        cost_usd=None,
    ),
    Run(run_id="c-20261106T101000Z", started="2026-11-06T10:10:00.300Z", slower_s=21),
    # Void, with a little of everything: none of it may be averaged in.
    Run(run_id="c-20261107T100000Z", started="2026-11-07T10:00:00Z", verdict="void", expired=HALF, slower_s=9_999),
    Run(run_id="c-20261108T100000Z", started="2026-11-08T10:00:00Z", verdict="void", arms=(), cost_usd=0.002),
    # Of these nobody knows a verdict.
    Run(run_id="c-20261109T100000Z", started="2026-11-09T10:00:00Z", verdict=None, slower_s=7_777),
    # The same name in another region, and in another source.
    Run(run_id="c-20261103T100000Z", started="2026-11-03T10:00:01.251Z", region="us-east-1", slower_s=5),
    Run(
        run_id="c-20261201T000000Z",
        started="2026-12-01T00:00:00.007Z",
        region="us-east-1",
        verdict="partial",
        hypervisor=None,
        silent=("cloudwatch-600",),
        expired=("cloudwatch-600", "s3-text-600"),
    ),
    Run(run_id="c-20261103T100000Z", started="2026-11-03T10:00:02Z", source="local", slower_s=-20, cost_usd=None),
    Run(run_id="often-1", started="2026-11-09T10:20:00Z", experiment="often", slower_s=8),
    Run(run_id="layouts-1", started="2026-11-10T12:00:00Z", experiment="s3-layouts", arms=HIVE, hypervisor="xen"),
    Run(
        run_id="by-hand",
        started="2026-11-11T13:30:00Z",
        experiment="",
        arms=("cloudwatch-600",),
        region="us-east-1",
    ),
)


@dataclass(frozen=True)
class Results:
    """The rows of every table; each has its partition, as it has in SQL."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})

    def only(self, region: str, first_day: str, last_day: str) -> "Results":
        """What is in some partitions."""
        return Results(
            {
                table: [row for row in rows if row["region"] == region and first_day <= row["dt"] <= last_day]
                for table, rows in self.rows.items()
            }
        )

    def objects(self) -> Iterator[tuple[str, bytes]]:
        """Every object with its key, as the functions write them: one an arm, or one a run."""
        for table, columns in TABLES.items():
            names: dict[tuple[str, int, str], list[Row]] = {}
            for row in self.rows[table]:
                name = ".".join(filter(None, (row["source"], row["run_id"], row.get("arm"))))
                names.setdefault((row["region"], row["planned_at"], name), []).append(row)
            for (region, planned_at, name), rows in names.items():
                yield object_key(table, region, planned_at, name), encode_rows(columns, rows)

    def write(self, folder: Path) -> Path:
        """Lay the objects out below `folder`."""
        for key, data in self.objects():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder


def plant(runs: tuple[Run, ...] = RUNS) -> Results:
    """The results of some runs: the same every time."""
    results = Results()
    for run in runs:
        seed = f"{run.source} {run.region} {run.run_id}"
        _plant(run, results, Random(seed))
    return results


def _plant(run: Run, results: Results, random: Random) -> None:
    partition = {
        "region": run.region,
        "dt": datetime.fromtimestamp(run.started_at / SECOND, UTC).date().isoformat(),
        "planned_at": run.started_at,
    }
    common = {"run_id": run.run_id, "source": run.source, **partition}
    ledger = [common | _tick(run, at, random) for at in range(TICKS)] if run.arms else []
    arms = [_arm(run, arm, ledger, common, results, random) for arm in run.arms]
    results.rows["ledger"] += ledger
    if run.verdict:
        results.rows["runs"].append(
            common
            | {
                "experiment": run.experiment,
                "started_at": run.started_at,
                "verdict": run.verdict,
                "reasons": [] if run.verdict == "complete" else ["something"],
                "az_id": "az1",
                "instance_type": {"xen": "t2.micro", "nitro": "t3.micro"}.get(str(run.hypervisor)),
                "hypervisor": run.hypervisor,
                "rate": 1,
                "traffic_s": TICKS,
                "sender_clock_offset_s": 0.0001,
                "target_clock_offset_s": -0.0002,
                "cost_usd": run.cost_usd,
                "code_version": "0.1.0",
                "arms": arms,
            }
        )


def _tick(run: Run, at: int, random: Random) -> Row:
    tick = run.started_at // SECOND + 20 + at
    outcome = SKIPPED if encode(tick) == 0 else {7: MISSED, 11: FAILED, 60: MISSED}.get(at, SENT)
    late_ns = random.randrange(50_000, 3_000_000)
    return {
        "tick": tick,
        "srcport": encode(tick),
        "intended_at": tick * SECOND,
        "sent_ns": tick * 1_000 * SECOND + late_ns if outcome == SENT else None,
        "lateness_s": late_ns / 1e9 if outcome == SENT else None,
        "outcome": outcome,
        "clock_offset_s": random.uniform(-0.001, 0.001),
    }


def _arm(run: Run, arm: str, ledger: list[Row], common: Row, results: Results, random: Random) -> Row:
    """Plant what an arm recorded, and return what the run's row says of it."""
    begin = 0 if arm in run.silent else random.randrange(3, 9)
    lost = {30} if run.hypervisor == "xen" else set()
    missing = {"never_sent": 0, "expected_missing": 0, "lost_on_wire": 0, "not_recorded": 0}
    delays: list[float] = []
    for at, entry in enumerate(ledger[begin:], start=begin):
        if entry["outcome"] == SKIPPED:
            missing["expected_missing"] += 1
        elif entry["outcome"] != SENT:
            missing["never_sent"] += 1
        elif at in lost:
            missing["lost_on_wire"] += 1
        elif arm in run.silent or (at > begin and random.random() < 0.08):
            missing["not_recorded"] += 1
        else:
            observation = _observation(run, arm, at, entry, random)
            delays.append(observation["delay_s"])
            results.rows["observations"].append(common | observation)
    results.rows["first_deliveries"].append(common | _first_delivery(run, arm, random))
    return {
        "arm": arm,
        **ARMS[arm],
        "ledger_ticks": len(ledger) - begin,
        "observed": len(delays),
        **missing,
        "before_first_record": begin,
        "duplicates": random.randrange(3),
        "not_in_ledger": random.randrange(2),
        "stale": random.randrange(2),
        "foreign": random.randrange(50),
        "nodata": random.randrange(2),
        "skipdata": random.randrange(2),
        "unparsable": random.randrange(2),
        "bursts": random.randrange(1, 4),
        **dict.fromkeys(("delay_min_s", "delay_p50_s", "delay_p90_s", "delay_p95_s", "delay_p99_s", "delay_max_s")),
    }


def _observation(run: Run, arm: str, at: int, entry: Row, random: Random) -> Row:
    sent_at = entry["sent_ns"] // 1_000
    second = sent_at // SECOND + 2  # so that some labels are later than their packets
    window_start = (second - second % 90 + max(label for label in (0, 19, 42, 59) if label <= second % 90)) * SECOND
    delay = 60 + ARMS[arm]["aggregation_interval_s"] / 10 + 3 * ARMS[arm]["destination"].count("s3")
    ingested_at = sent_at + round((delay + run.slower_s + random.uniform(0, 60)) * SECOND)
    if run.early and at == 40:
        ingested_at = sent_at - 250_000  # the clocks were not quite the same
    return {
        "arm": arm,
        "az_id": "az1",
        "instance_type": None,
        "hypervisor": run.hypervisor,
        "destination": ARMS[arm]["destination"],
        "file_format": ARMS[arm]["file_format"],
        "aggregation_interval_s": ARMS[arm]["aggregation_interval_s"],
        "flow_log_id": f"fl-{arm}",
        "interface_id": "eni-1",
        "tick": entry["tick"],
        "srcport": entry["srcport"],
        "sent_at": sent_at,
        "seen_at": None,
        "window_start": window_start,
        "window_end": window_start + 59 * SECOND,
        "ingested_at": ingested_at,
        "received_at": None,
        "event_id": str(at),
        "packets": 1,
        "bytes": 340,
        "tcp_flags": 2,
        "action": "ACCEPT",
        "log_status": "OK",
        "delay_s": (ingested_at - sent_at) / SECOND,
        "ingest_delay_s": (ingested_at - window_start) / SECOND,
        "timestamp_error_s": (window_start - sent_at) / SECOND,
        "subscription_delay_s": None,
    }


def _first_delivery(run: Run, arm: str, random: Random) -> Row:
    expired, silent = arm in run.expired, arm in run.silent
    first_record_s = 1.0 if run.verdict == "void" else random.uniform(100, 700)
    # Of some that did not come in time it is known when they came.
    first_probe_s = 2_800.0 if expired else first_record_s + random.uniform(0, 60)
    return {
        "arm": arm,
        "hypervisor": run.hypervisor,
        **ARMS[arm],
        "flow_log_id": f"fl-{arm}",
        "status": "expired" if expired else "delivered",
        "t0_before_call": run.started_at,
        "t0_after_call": run.started_at + 90_000,
        "t0_service": run.started_at,
        "last_miss_at": None,
        "first_hit_at": None,
        "first_record_at": None,
        "first_probe_at": None,
        "polls": 5,
        "first_record_s": None if silent else first_record_s,
        "first_probe_s": None if silent else first_probe_s,
    }
