"""The truth about planted results: what every named query must answer, computed by plain Python, without SQL."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from statistics import fmean, median, quantiles
from typing import Any

from tests.local.planted import ARMS, SECOND, Results, Row

type Values = Sequence[float]
type Truth = Callable[[Results], list[Row]]

TRUTH: dict[str, Truth] = {}
"""The right answer of each named query."""


def truth(of: Truth) -> Truth:
    """The right answer of the query that is called like the function."""
    TRUTH[of.__name__] = of
    return of


# ---------------------------------------------------------------- plain Python
def percentile(values: Values, percent: int) -> float | None:
    if not values:
        return None
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def middle(values: Values) -> float | None:
    return median(values) if values else None


def mean(values: Values) -> float | None:
    return fmean(values) if values else None


def least(values: Values) -> float | None:
    return min(values, default=None)


def most(values: Values) -> float | None:
    return max(values, default=None)


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by some of their values, in the order of an ORDER BY: what is not known comes last."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return dict(sorted(groups.items(), key=lambda group: [(value is None, value) for value in group[0]]))


def known(rows: Iterable[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def counted(rows: Iterable[Row], name: str, *values: str) -> Row:
    """How many rows have each value."""
    found = Counter(row[name] for row in rows)
    return {f"n_{value}": found[value] for value in values}


RUN = ("source", "region", "run_id")


def key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in RUN)


def run_of(results: Results, row: Row) -> Row:
    """The run that a row is of; its columns are not known where nobody judged it."""
    nobody = dict.fromkeys(("experiment", "verdict", "hypervisor", "instance_type"))
    return next((run for run in results.rows["runs"] if key(run) == key(row)), nobody)


def arms(results: Results, *, void: bool = False) -> list[Row]:
    """Every arm of every run, with its observations; of void runs only where they are wanted."""
    observations = grouped(results.rows["observations"], *RUN, "arm")
    return [
        {**run, **arm, "n_missing": arm["lost_on_wire"] + arm["not_recorded"], "seen": seen}
        for run in results.rows["runs"]
        if void or run["verdict"] != "void"
        for arm in run["arms"]
        for seen in [observations.get((*key(run), arm["arm"]), [])]
    ]


def of_group(names: Sequence[str], values: Sequence[Any]) -> Row:
    return dict(zip(names, values, strict=True))


def instant(at: int) -> str:
    return f"{datetime.fromtimestamp(at / SECOND, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]


# ---------------------------------------------------------------- the truth
def distribution(delays: Values) -> Row:
    percentiles = {f"p{percent}_s": percentile(delays, percent) for percent in (50, 90, 95, 99)}
    return {"min_s": least(delays), **percentiles, "max_s": most(delays)}


@truth
def delay_by_arm(results: Results) -> list[Row]:
    rows = [
        {name: arm[name] for name in ("source", "experiment", "region", "run_id", "verdict", "arm")}
        | {"n_packets": len(arm["seen"]), "n_missing": arm["n_missing"], "n_bursts": arm["bursts"]}
        | distribution(known(arm["seen"], "delay_s"))
        for arm in arms(results, void=True)
    ]
    unjudged = [row for row in results.rows["observations"] if run_of(results, row)["verdict"] is None]
    for (source, region, run_id, arm), seen in grouped(unjudged, *RUN, "arm").items():
        rows.append(
            {"source": source, "experiment": None, "region": region, "run_id": run_id, "verdict": None, "arm": arm}
            | {"n_packets": len(seen), "n_missing": None, "n_bursts": None}
            | distribution(known(seen, "delay_s"))
        )
    return sorted(rows, key=lambda row: (*key(row), row["arm"]))


@truth
def delay_percentiles(results: Results) -> list[Row]:
    names = ("source", "experiment", "region", "hypervisor", "arm")
    rows = []
    for values, runs in grouped(arms(results), *names).items():
        medians = [median(known(run["seen"], "delay_s")) for run in runs if run["seen"]]
        rows.append(
            of_group(names, values)
            | {
                "n_packets": sum(len(run["seen"]) for run in runs),
                "n_missing": sum(run["n_missing"] for run in runs),
                "n_bursts": sum(run["bursts"] for run in runs),
                "n_runs": len(medians),
            }
            | distribution([row["delay_s"] for run in runs for row in run["seen"]])
            | {"lowest_p50_of_a_run_s": least(medians), "highest_p50_of_a_run_s": most(medians)}
        )
    return rows


def paired(
    results: Results, one: str, other: str, difference: str, are_a_pair: Callable[[str, str], bool]
) -> list[Row]:
    """Pairs of arms, compared packet by packet: `other` minus `one`."""
    names = ("source", "experiment", "region", "hypervisor", f"{one}_arm", f"{other}_arm")
    pairs = [
        {**first, f"{one}_arm": first["arm"], f"{other}_arm": second["arm"], "second": second}
        for run in grouped(arms(results), *RUN).values()
        for first in run
        for second in run
        if are_a_pair(first["arm"], second["arm"])
    ]
    rows = []
    for values, runs in grouped(pairs, *names).items():
        differences = []
        for first in runs:
            delays = {row["tick"]: row["delay_s"] for row in first["seen"]}
            seconds = first["second"]["seen"]
            differences.append([row["delay_s"] - delays[row["tick"]] for row in seconds if row["tick"] in delays])
        means = [fmean(each) for each in differences if each]
        rows.append(
            of_group(names, values)
            | {
                "n_packets": sum(map(len, differences)),
                f"n_missing_{one}": sum(run["n_missing"] for run in runs),
                f"n_missing_{other}": sum(run["second"]["n_missing"] for run in runs),
                f"n_bursts_{one}": sum(run["bursts"] for run in runs),
                f"n_bursts_{other}": sum(run["second"]["bursts"] for run in runs),
                "n_runs": len(means),
                difference: fmean(means) if means else None,
                "lowest_run_s": least(means),
                "highest_run_s": most(means),
            }
        )
    return rows


@truth
def cloudwatch_against_s3(results: Results) -> list[Row]:
    def are_a_pair(one: str, other: str) -> bool:
        ends = ARMS[one]["destination"], ARMS[other]["destination"]
        same = ARMS[one]["aggregation_interval_s"] == ARMS[other]["aggregation_interval_s"]
        return ends == ("cloud-watch-logs", "s3") and same

    return paired(results, "cloudwatch", "s3", "s3_minus_cloudwatch_s", are_a_pair)


@truth
def interval_60_against_600(results: Results) -> list[Row]:
    pairs = {("cloudwatch-60", "cloudwatch-600"), ("s3-text-60-hive", "s3-text-600-hive")}
    rows = paired(results, "60", "600", "interval_600_minus_60_s", lambda one, other: (one, other) in pairs)
    return [{{"60_arm": "arm_60", "600_arm": "arm_600"}.get(name, name): row[name] for name in row} for row in rows]


def over_runs(runs: Sequence[Values]) -> Row:
    medians = [median(delays) for delays in runs if delays]
    return {
        "n_runs": len(medians),
        "p50_s": middle(medians),
        "lowest_run_s": least(medians),
        "highest_run_s": most(medians),
    }


@truth
def xen_against_nitro(results: Results) -> list[Row]:
    names = ("source", "experiment", "region", "arm", "hypervisor")
    return [
        of_group(names, values)
        | {
            "n_packets": sum(len(run["seen"]) for run in runs),
            "n_missing": sum(run["n_missing"] for run in runs),
            "n_bursts": sum(run["bursts"] for run in runs),
        }
        | over_runs([known(run["seen"], "delay_s") for run in runs])
        for values, runs in grouped(arms(results), *names).items()
    ]


@truth
def delay_by_hour_and_region(results: Results) -> list[Row]:
    names = ("source", "experiment", "region", "hypervisor", "arm", "hour_utc")
    ledgers = grouped(results.rows["ledger"], *RUN)
    probes = []
    for arm in arms(results):
        seen = {row["tick"]: row for row in arm["seen"]}
        begin = min(seen, default=0)
        for entry in ledgers[key(arm)]:
            if entry["outcome"] == "sent" and entry["tick"] >= begin:
                hour = datetime.fromtimestamp(entry["sent_ns"] // 10**9, UTC).hour
                delay = seen[entry["tick"]]["delay_s"] if entry["tick"] in seen else None
                probes.append({**arm, "hour_utc": hour, "delay_s": delay})
    return [
        of_group(names, values)
        | {
            "n_packets": len(known(rows, "delay_s")),
            "n_missing": sum(row["delay_s"] is None for row in rows),
        }
        | over_runs([known(run, "delay_s") for run in grouped(rows, "run_id").values()])
        for values, rows in grouped(probes, *names).items()
    ]


@truth
def first_delivery(results: Results) -> list[Row]:
    names = ("source", "experiment", "region", "hypervisor", "arm")
    looks = [
        run_of(results, row)
        | row
        | {"first_probe_s": row["first_probe_s"] if row["status"] == "delivered" else None}
        for row in results.rows["first_deliveries"]
        if run_of(results, row)["verdict"] is not None
    ]

    def spread(name: str, rows: Sequence[Row]) -> Row:
        came = known(rows, name)
        at = (len(rows) - 1) / 2
        in_order = sorted(came) + [None] * (len(rows) - len(came))
        around = [in_order[int(at)], in_order[-int(-at // 1)]] if rows else [None]
        p50 = None if None in around else fmean(around)
        stem = name.removesuffix("_s")
        return {f"{stem}_min_s": least(came), f"{stem}_p50_s": p50, f"{stem}_max_s": most(came)}

    answer = []
    for values, rows in grouped(looks, *names).items():
        usable = [row for row in rows if row["verdict"] != "void"]
        answer.append(
            of_group(names, values)
            | {
                "n_runs": len(usable),
                "n_censored": sum(row["status"] == "expired" for row in usable),
                "n_void_runs": len(rows) - len(usable),
            }
            | spread("first_record_s", usable)
            | spread("first_probe_s", usable)
        )
    return answer


@truth
def loss_ledger(results: Results) -> list[Row]:
    names = ("source", "experiment", "region", "hypervisor", "arm", "verdict")
    counts = {
        "n_ticks": "ledger_ticks",
        "n_packets": "observed",
        "n_never_sent": "never_sent",
        "n_expected_missing": "expected_missing",
        "n_lost_on_wire": "lost_on_wire",
        "n_not_recorded": "not_recorded",
        "not_recorded_share": None,
        "n_before_first_record": "before_first_record",
        "n_duplicates": "duplicates",
        "n_not_in_ledger": "not_in_ledger",
        "n_stale": "stale",
        "n_nodata": "nodata",
        "n_skipdata": "skipdata",
        "n_unparsable": "unparsable",
    }
    nothing = dict.fromkeys(("arm", *filter(None, counts.values())))
    rows = [{**run, **nothing} for run in results.rows["runs"] if not run["arms"]] + arms(results, void=True)
    answer = []
    for values, group in grouped(rows, *names).items():
        sums = {name: sum(known(group, of)) if known(group, of) else None for name, of in counts.items() if of}
        share = None
        if sums["n_ticks"] is not None:
            sent = sums["n_packets"] + sums["n_lost_on_wire"] + sums["n_not_recorded"]
            share = sums["n_not_recorded"] / sent
        answer.append(
            of_group(names, values) | {"n_runs": len(group)} | {name: sums.get(name, share) for name in counts}
        )
    return answer


@truth
def sender_punctuality(results: Results) -> list[Row]:
    answer = []
    for (source, region, run_id), ticks in grouped(results.rows["ledger"], *RUN).items():
        run, lateness, offsets = (
            run_of(results, ticks[0]),
            known(ticks, "lateness_s"),
            known(ticks, "clock_offset_s"),
        )
        answer.append(
            {
                "source": source,
                "experiment": run["experiment"],
                "region": region,
                "run_id": run_id,
                "verdict": run["verdict"],
                "instance_type": run["instance_type"],
                "n_ticks": len(ticks),
                "n_packets": len(lateness),
                **{
                    f"n_{name}": sum(tick["outcome"] == name for tick in ticks)
                    for name in ("missed", "failed", "skipped")
                },
                "lateness_min_s": least(lateness),
                **{f"lateness_p{percent}_s": percentile(lateness, percent) for percent in (50, 95, 99)},
                "lateness_max_s": most(lateness),
                "clock_offset_min_s": least(offsets),
                "clock_offset_max_s": most(offsets),
            }
        )
    return answer


@truth
def capture_window_error(results: Results) -> list[Row]:
    answer = []
    for (source, region, run_id, arm), rows in grouped(results.rows["observations"], *RUN, "arm").items():
        run, errors = run_of(results, rows[0]), known(rows, "timestamp_error_s")
        labels = sorted(set(known(rows, "window_start")))
        spacing = [(later - earlier) // SECOND for earlier, later in pairwise(labels)]
        answer.append(
            {
                "source": source,
                "experiment": run["experiment"],
                "region": region,
                "run_id": run_id,
                "verdict": run["verdict"],
                "arm": arm,
                "n_packets": len(rows),
                "error_min_s": least(errors),
                "error_mean_s": mean(errors),
                "error_max_s": most(errors),
                "start_before_send_share": sum(error < 0 for error in errors) / len(errors),
                "n_windows": len(labels),
                "window_spacing_min_s": least(spacing),
                "window_spacing_p50_s": middle(spacing),
                "window_spacing_max_s": most(spacing),
            }
        )
    return answer


@truth
def campaign_progress(results: Results) -> list[Row]:
    runs = results.rows["runs"]
    answer = []
    for (source, experiment, region), group in grouped(runs, "source", "experiment", "region").items():
        newest = max(run["started_at"] for run in runs if run["source"] == source)
        complete = [run["started_at"] for run in group if run["verdict"] == "complete"]
        answer.append(
            {
                "source": source,
                "experiment": experiment,
                "region": region,
                "n_runs": len(group),
                **{
                    f"n_{verdict}": sum(run["verdict"] == verdict for run in group)
                    for verdict in ("complete", "partial", "void")
                },
                "n_packets": sum(
                    arm["observed"] for run in group if run["verdict"] != "void" for arm in run["arms"]
                ),
                "first_started_at": instant(min(run["started_at"] for run in group)),
                "last_started_at": instant(max(run["started_at"] for run in group)),
                "since_last_complete_h": (newest - max(complete)) // SECOND / 3_600 if complete else None,
            }
        )
    return answer


@truth
def cost(results: Results) -> list[Row]:
    answer = []
    for (source, experiment, region), group in grouped(
        results.rows["runs"], "source", "experiment", "region"
    ).items():
        costs = known(group, "cost_usd")
        answer.append(
            {
                "source": source,
                "experiment": experiment,
                "region": region,
                "n_runs": len(group),
                "n_void": sum(run["verdict"] == "void" for run in group),
                "n_unpriced": len(group) - len(costs),
                "cost_usd": sum(costs) if costs else None,
                "lowest_run_usd": least(costs),
                "mean_run_usd": mean(costs),
                "highest_run_usd": most(costs),
            }
        )
    return answer
