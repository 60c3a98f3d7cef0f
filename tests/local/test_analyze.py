"""What `flowlag analyze` computes: delays, cadence and loss of data whose truth is known."""

import re
from statistics import quantiles

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flowlag.errors import InvalidRequest
from flowlag.verdict import COMPLETE
from local.analysis import analyze
from local.instants import iso
from local.render import SOURCE_IN_WORDS
from local.render_analysis import tables
from local.sources import (
    EXPORT,
    FLOW_LOG,
    OBSERVATIONS,
    Accounted,
    Dataset,
    Row,
    RunRow,
    SentTicks,
    Series,
    runs_of,
)

T0 = 1_700_000_000
SECOND = 1_000_000


def probe(tick, delay_s=90.0, *, window=None, rate=1):
    """A row whose probe was sent at its tick and delivered `delay_s` later; None: no time of delivery."""
    sent_at = tick * SECOND // rate
    start = sent_at - sent_at % (60 * SECOND) if window is None else window * SECOND
    return Row(tick, sent_at, start, None if delay_s is None else sent_at + round(delay_s * SECOND))


def series(rows, run="run-1", arm="cloudwatch-600"):
    return Series.of(run, arm, rows)


def dataset(*parts, source="aws", kind=OBSERVATIONS, **counts):
    return Dataset(source=source, kind=kind, series=parts, **counts)


def ledger(sent, first=None, last=None, *, rate=1, closed=True):
    return SentTicks(frozenset(sent), first or min(sent), last or max(sent), rate, closed)


class TestDelays:
    @given(st.lists(st.floats(-5, 2_000).map(lambda s: round(s, 6)), min_size=2, max_size=60))
    def test_percentiles_are_type_7_of_the_raw_delays_and_negatives_are_kept(self, delays):
        answer = analyze(dataset(series([probe(T0 + at, delay) for at, delay in enumerate(delays)]))).delay_s
        cuts = quantiles(delays, n=100, method="inclusive")
        expected = (min(delays), cuts[49], cuts[89], cuts[94], cuts[98], max(delays))
        told = (answer.min, answer.p50, answer.p90, answer.p95, answer.p99, answer.max)
        assert told == pytest.approx(expected, abs=1e-6)  # to the microsecond

    def test_one_packet_is_its_own_distribution(self):
        answer = analyze(dataset(series([probe(T0, 12.5)])))
        assert answer.delay_s.min == answer.delay_s.p99 == answer.delay_s.max == 12.5
        assert answer.n_packets == answer.n_runs == answer.cadence.n_bursts == 1
        assert answer.cadence.burst_period_s is None

    def test_three_delays_of_one_record_add_up(self):
        answer = analyze(dataset(series([probe(T0, 100.25, window=T0 - 40)])))
        assert answer.delay_s.p50 == 100.25
        assert answer.ingest_delay_s.p50 == 140.25
        assert answer.timestamp_error_s.mean == -40

    @given(st.lists(st.integers(-60, 60), min_size=1, max_size=40))
    def test_the_timestamp_error_is_the_label_minus_the_send(self, errors):
        rows = [probe(T0 + 100 * at, window=T0 + 100 * at + error) for at, error in enumerate(errors)]
        error = analyze(dataset(series(rows))).timestamp_error_s
        assert (error.min, error.max) == (min(errors), max(errors))
        assert error.mean == pytest.approx(sum(errors) / len(errors))

    def test_what_has_no_ingestion_time_counts_as_a_packet_and_is_in_no_delay(self):
        answer = analyze(dataset(series([probe(T0, 10), probe(T0 + 1, None), probe(T0 + 2, 30)])))
        assert (answer.n_packets, answer.delay_s.p50) == (3, 20)
        assert "Observations that have no ingestion time yet, and so are in no delay: 1." in answer.notes

    def test_flow_log_files_give_no_delay_and_say_why_in_one_sentence(self):
        answer = analyze(dataset(*runs_of([probe(T0, None), probe(T0 + 60, None)]), kind=FLOW_LOG))
        assert answer.delay_s is answer.ingest_delay_s is answer.cadence.n_bursts is None
        assert (answer.cadence.capture_windows, answer.timestamp_error_s.max) == (2, -(T0 % 60))
        assert len([note for note in answer.notes if "do not say when they were delivered" in note]) == 1


class TestRuns:
    def test_the_three_counts_and_the_range_of_the_medians(self):
        answer = analyze(
            dataset(
                *(series([probe(T0 + at, delay) for at in range(9)], run) for run, delay in (("a", 5), ("b", 7)))
            )
        )
        assert (answer.n_packets, answer.cadence.n_bursts, answer.n_runs) == (18, 2, 2)
        assert (answer.delay_p50_over_runs_s.min, answer.delay_p50_over_runs_s.max) == (5, 7)

    @pytest.mark.parametrize(("runs", "refused"), [(1, True), (4, True), (5, False)])
    def test_below_five_runs_an_interval_is_refused(self, runs, refused):
        notes = analyze(dataset(*(series([probe(T0)], f"run-{at}") for at in range(runs)))).notes
        assert any("Below 5 runs no confidence interval is given" in note for note in notes) is refused

    def test_rows_that_name_no_run_are_divided_by_an_hour_without_windows(self):
        starts = [0, 60, 3_659, 7_259]
        runs = runs_of(probe(T0 + at, None, window=T0 + at) for at in reversed(starts))
        assert [[int(start) // SECOND - T0 for start in run.window_start] for run in runs] == [
            [0, 60, 3_659],
            [7_259],
        ]
        assert runs[0].run != runs[1].run


def sawtooth(run=0, *, lag_s=30, hours=3):
    """Probes of a run, one a second, that bursts deliver every 600 s; the newest one is `lag_s` old."""
    begin = T0 + run * 86_400
    return [probe(tick, (begin + 600 - lag_s - tick) % 600 + lag_s) for tick in range(begin, begin + hours * 3_600)]


def campaign(n_runs, *, lags, n_missing=0):
    """Runs of arms; each arm has its own lag, one second more in each run, and misses probes at the runs' ends."""
    names = [f"arm-{at}" for at in range(len(lags))]
    parts = [
        series(sawtooth(run, lag_s=lag_s + run)[: 10_800 - n_missing], f"run-{run}", name)
        for run in range(n_runs)
        for name, lag_s in zip(names, lags, strict=True)
    ]
    rows = [
        RunRow(
            f"run-{run}",
            (T0 + run * 86_400) * SECOND,
            COMPLETE,
            dict.fromkeys(names, Accounted(10_800 - n_missing, n_missing)),
        )
        for run in range(n_runs)
    ]
    return dataset(*parts, runs={row.run: row for row in rows})


class TestArms:
    def test_each_arm_has_numbers_of_its_own(self):
        late, early = (
            series([probe(T0 + at, delay_s, window=T0 + at - 40) for at in range(9)], arm=name)
            for name, delay_s in (("s3-text-600", 500), ("cloudwatch-60", 100))
        )
        answer = analyze(dataset(late, early))
        first, second = answer.arms
        assert (first.arm, second.arm) == ("cloudwatch-60", "s3-text-600")
        assert (first.delay_s.p50, second.delay_s.p50) == (100, 500)
        assert (first.ingest_delay_s.max, second.ingest_delay_s.max) == (140, 540)
        assert (first.timestamp_error_s.mean, first.n_packets, first.n_bursts, first.n_runs) == (-40, 9, 1, 1)
        assert (answer.n_packets, answer.n_runs, answer.delay_s.min, answer.delay_s.max) == (18, 1, 100, 500)

    def test_what_one_arm_has_is_what_all_have(self):
        answer = analyze(campaign(2, lags=[20]))
        (arm,) = answer.arms
        for name in ("n_packets", "n_runs", "missing", "delay_s", "ingest_delay_s", "timestamp_error_s"):
            assert getattr(arm, name) == getattr(answer, name)
        assert arm.delay_p50_over_runs_s == answer.delay_p50_over_runs_s

    @given(st.integers(1, 30), st.integers(1, 30))
    def test_what_was_never_delivered_is_later_than_everything(self, n_delivered, n_missing):
        delivered = series([probe(T0 + at, at) for at in range(n_delivered)], "run-1", "arm")
        row = RunRow("run-1", T0 * SECOND, COMPLETE, {"arm": Accounted(n_delivered, n_missing)})
        answer = analyze(dataset(delivered, runs={"run-1": row}))
        for found in (answer.delay_s, answer.arms[0].delay_s):
            place = (n_delivered + n_missing - 1) / 2
            assert found.p50 == (place if place <= n_delivered - 1 else None)
            assert found.p99 is None or n_missing == 0
            assert (found.min, found.max) == (0, n_delivered - 1)
        assert (answer.missing, answer.arms[0].missing) == (n_missing, n_missing)
        assert (
            f"Probes that were never delivered, and count as later than everything: {n_missing:,}." in answer.notes
        )

    def test_an_arm_that_delivered_nothing_in_a_run_is_in_no_observation_and_counts(self):
        row = RunRow(
            "run-1",
            T0 * SECOND,
            COMPLETE,
            {"loud": Accounted(1, 0), "silent": Accounted(0, 7), "idle": Accounted(0, 0)},
        )
        answer = analyze(dataset(series([probe(T0)], "run-1", "loud"), runs={"run-1": row}))
        loud, silent = answer.arms
        assert (loud.arm, loud.missing, silent.arm, silent.missing) == ("loud", 0, "silent", 7)
        assert (silent.n_packets, silent.n_runs, silent.delay_s, silent.timestamp_error_s) == (0, 1, None, None)
        assert answer.as_json()["arms"][1]["delay_p50_over_runs_s"] == {"min": None, "p50": None, "max": None}

    def test_observations_that_were_not_given_are_not_missing(self):
        row = RunRow("run-2", T0 * SECOND, COMPLETE, {"arm": Accounted(5, 2)})
        answer = analyze(dataset(series([probe(T0)], "run-1", "arm"), runs={"run-2": row}))
        assert (answer.n_runs, answer.missing) == (1, 0)
        assert "Runs that are not in the table of runs yet, so that what they miss is not known: 1." in answer.notes

    def test_where_nothing_says_what_is_missing_it_is_not_known(self):
        answer = analyze(dataset(series([probe(T0)])))
        assert answer.missing is answer.arms[0].missing is None

    def test_a_ledger_is_of_one_run_and_so_is_what_is_missing(self):
        data = campaign(2, lags=[20], n_missing=3)
        (first, _second) = data.series
        answer = analyze(data, ledger=ledger(set(first.ticks.tolist())))
        assert (answer.n_runs, answer.missing) == (1, 3)

    @pytest.mark.parametrize(("n_runs", "refused"), [(4, True), (5, False)])
    def test_from_five_runs_on_percentiles_have_an_interval(self, n_runs, refused):
        answer = analyze(campaign(n_runs, lags=[20]))
        (arm,) = answer.arms
        assert (arm.interval is None) is refused
        if not refused:
            assert arm.interval["p50"].low < arm.delay_s.p50 < arm.interval["p50"].high
            assert arm.interval["p95"].low < arm.delay_s.p95 < arm.interval["p95"].high
            low, high, n_runs = answer.as_json()["arms"][0]["interval"]["p50"].values()
            assert (low, high, n_runs) == (*(round(each, 6) for each in arm.interval["p50"][:2]), 5)

    def test_a_service_level_needs_its_runs_and_says_how_many_are_missing(self):
        (arm,) = analyze(campaign(2, lags=[20])).arms
        assert [(each.confidence, each.bound_s, each.runs_missing) for each in arm.slo] == [
            (0.95, None, 57),
            (0.99, None, 88),
        ]

    def test_files_without_a_time_of_delivery_have_no_service_level(self):
        (arm,) = analyze(dataset(*runs_of([probe(T0, None)]), kind=FLOW_LOG)).arms
        assert (arm.slo, arm.interval, arm.delay_s, arm.n_bursts) == ((), None, None, None)


class TestComparisons:
    @pytest.mark.parametrize("n_runs", [4, 5])
    def test_arms_are_compared_on_the_same_ticks(self, n_runs):
        data = campaign(n_runs, lags=[20, 50])
        early, late = data.series[:2]
        fewer = [early.take(np.arange(5, 10_800)), late.take(np.arange(10_000)), *data.series[2:]]
        (found,) = analyze(dataset(*fewer)).comparisons
        both = slice(5, 10_000)
        apart = [(late.ingested_at[both] - early.ingested_at[both]).mean() / SECOND, *[30.0] * (n_runs - 1)]
        assert (found.first, found.second, found.n_runs) == ("arm-0", "arm-1", n_runs)
        assert found.n_ticks == 9_995 + 10_800 * (n_runs - 1)
        assert found.difference_s == pytest.approx(sum(apart) / n_runs)
        assert found.difference_over_runs_s.min == pytest.approx(min(apart))
        assert (found.interval is None) is (found.p_value is None) is (n_runs < 5)

    def test_every_two_arms_of_a_run_are(self):
        parts = [series([probe(T0, 10 * at)], arm=f"arm-{at}") for at in (2, 0, 1)]
        answer = analyze(dataset(*parts, series([probe(T0)], "run-2", "alone")))
        assert [(each.first, each.second, each.difference_s) for each in answer.comparisons] == [
            ("arm-0", "arm-1", 10),
            ("arm-0", "arm-2", 20),
            ("arm-1", "arm-2", 10),
        ]

    def test_arms_without_a_common_tick_are_not(self):
        answer = analyze(dataset(series([probe(T0)], arm="a"), series([probe(T0 + 1)], arm="b")))
        assert answer.comparisons == ()


class TestSawtooth:
    def test_each_flow_log_has_its_own(self):
        answer = analyze(campaign(2, lags=[20, 50]))
        found = {(each.run, each.arm): each.sawtooth for each in answer.sawtooth}
        assert {name: round(fit.lag_first_s) for name, fit in found.items()} == {
            ("run-0", "arm-0"): 20,
            ("run-0", "arm-1"): 50,
            ("run-1", "arm-0"): 21,
            ("run-1", "arm-1"): 51,
        }
        assert all(fit.period_s == pytest.approx(600) for fit in found.values())

    def test_an_arm_has_the_range_of_its_flow_logs(self):
        (arm,) = analyze(campaign(3, lags=[20])).arms
        assert (arm.sawtooth.n_flow_logs, arm.sawtooth.lag_s.min, arm.sawtooth.lag_s.max) == (3, 20, 22)

    def test_in_json_it_says_when_the_next_delivery_is_due(self):
        answer = analyze(dataset(series(sawtooth())))
        (found,) = answer.as_json()["sawtooth"]
        last = max(row.ingested_at for row in sawtooth())
        assert (found["run"], found["arm"], found["n_bursts"]) == ("run-1", "cloudwatch-600", 19)
        assert found["next_delivery_at"] == iso(last + 600 * SECOND)

    def test_too_few_bursts_are_said(self):
        answer = analyze(dataset(series(sawtooth()[:1_500])))
        assert answer.sawtooth == ()
        assert "Flow logs of fewer than 4 bursts, to which no sawtooth is fitted: 1." in answer.notes


class TestCadence:
    def test_bursts_are_separated_by_the_gap_or_more(self):
        rows = [probe(T0 + at, delay_s=100) for at in (0, 29, 60, 90)]
        assert analyze(dataset(series(rows))).cadence.n_bursts == 3
        assert analyze(dataset(series(rows)), burst_gap_s=29).cadence.n_bursts == 4
        assert analyze(dataset(series(rows)), burst_gap_s=32).cadence.n_bursts == 1

    def test_windows_deliveries_and_bursts_are_of_each_flow_log(self):
        # Two runs, an hour apart on paper but delivered at the same instants: two windows a delivery, ten minutes.
        rows = [
            Row(T0 + at, (T0 + at) * SECOND, (T0 + at) * SECOND, (T0 + 1_000 + 600 * (at // 120)) * SECOND)
            for at in range(0, 600, 60)
        ]
        cadence = analyze(dataset(series(rows, "a"), series(rows, "b"))).cadence
        assert (cadence.capture_windows, cadence.deliveries, cadence.n_bursts) == (20, 10, 10)
        assert cadence.capture_window_spacing_s.min == cadence.capture_window_spacing_s.max == 60
        assert cadence.capture_windows_per_delivery.p50 == 2
        assert cadence.deliveries_per_burst.max == 1
        assert cadence.burst_period_s == cadence.burst_spacing_s.p50 == 600


class TestLoss:
    def test_without_a_ledger_only_the_records_are_counted(self):
        loss = analyze(dataset(series([probe(T0), probe(T0 + 1)]))).loss
        assert (loss.recorded, loss.duplicates) == (2, 0)
        assert loss.sent is loss.never_sent is loss.seen is loss.missing_in_range is loss.outside_range is None

    def test_a_capture_alone_tells_what_was_seen(self):
        loss = analyze(dataset(series([probe(T0)])), captured=frozenset({T0, T0 + 1})).loss
        assert (loss.seen, loss.lost_on_wire) == (2, None)

    def test_each_probe_is_lost_in_one_way(self):
        sent = [T0 + at for at in (0, 1, 2, 3, 5, 6, 7, 8, 9)]
        recorded = [T0 + at for at in (2, 3, 6, 7)]
        loss = analyze(
            dataset(series([probe(tick) for tick in recorded])),
            ledger=ledger(sent),
            captured=frozenset(sent) - {T0 + 5} | {T0 + 500},
        ).loss
        assert (loss.sent, loss.never_sent, loss.expected_missing) == (9, 1, 0)
        assert (loss.seen, loss.lost_on_wire) == (8, 1)
        assert (loss.recorded, loss.missing_in_range, loss.outside_range) == (4, 1, 4)

    @given(st.data())
    def test_the_ledger_adds_up(self, data):
        ticks = range(T0, T0 + 50)
        sent = data.draw(st.sets(st.sampled_from(ticks), min_size=1))
        recorded = data.draw(st.sets(st.sampled_from(sorted(sent)), min_size=1))
        loss = analyze(
            dataset(series([probe(tick) for tick in recorded])), ledger=ledger(sent, ticks[0], ticks[-1])
        ).loss
        assert loss.sent + loss.never_sent + loss.expected_missing == len(ticks)
        assert loss.recorded + loss.missing_in_range + loss.outside_range == loss.sent

    def test_the_tick_of_source_port_0_is_expected_to_be_missing(self):
        wrap = 25_940 * 65_536
        sent = {wrap - 2, wrap + 1, wrap + 2}
        loss = analyze(dataset(series([probe(tick) for tick in sent])), ledger=ledger(sent)).loss
        assert (loss.never_sent, loss.expected_missing, loss.missing_in_range) == (1, 1, 0)

    @pytest.mark.parametrize("rate", [1, 4])
    def test_what_was_never_sent_is_apart_by_seconds_not_ticks(self, rate):
        sent = set(range(T0, T0 + 41)) - {T0 + 8, T0 + 20, T0 + 28}
        rows = [probe(tick, rate=rate) for tick in sent]
        spacing = analyze(dataset(series(rows)), ledger=ledger(sent, rate=rate)).loss.never_sent_spacing_s
        assert (spacing.min * rate, spacing.max * rate) == (8, 12)

    def test_a_duplicate_is_counted_and_the_first_delivery_is_the_observation(self):
        rows = [probe(T0, 700), probe(T0 + 1, None), probe(T0, 100), probe(T0 + 1, 200), probe(T0, 800)]
        answer = analyze(dataset(series(rows)))
        assert (answer.n_packets, answer.loss.recorded, answer.loss.duplicates) == (2, 2, 3)
        assert (answer.delay_s.min, answer.delay_s.max) == (100, 200)

    def test_a_record_of_a_tick_that_was_not_sent_is_told_apart(self):
        answer = analyze(dataset(series([probe(T0), probe(T0 - 3_033, 9_999)])), ledger=ledger({T0, T0 + 1}))
        assert (answer.n_packets, answer.delay_s.max, answer.loss.not_in_ledger) == (1, 90, 1)
        assert "Records left out because the ledger did not send their ticks: 1." in answer.notes

    def test_a_ledger_of_another_run_is_refused(self):
        with pytest.raises(InvalidRequest, match="none of the 1 recorded probes is in the ledger"):
            analyze(dataset(series([probe(T0)])), ledger=ledger({T0 + 1}))


class TestNotes:
    def test_what_was_left_out_or_cut_is_said(self):
        answer = analyze(
            dataset(*runs_of([probe(T0)]), kind=EXPORT, disagreements=3, skipdata=2),
            ledger=ledger({T0, T0 + 1}, closed=False),
        )
        text = " ".join(answer.notes)
        assert answer.quarantined == 3
        assert "name different ticks for the same source port: 3." in text
        assert "(SKIPDATA): 2." in text
        assert "The ledger has no end: its sender was cut short." in text
        assert "Outside the range of an export nothing counts as lost" in text


class TestJson:
    def test_it_has_the_stable_keys_and_resolves_microseconds(self):
        answer = analyze(dataset(series([probe(T0, 1 / 3), probe(T0 + 1, 2 / 3), probe(T0 + 2, 0.1)]))).as_json()
        assert list(answer)[:4] == ["source", "n_packets", "n_bursts", "n_runs"]
        assert {"capture_windows", "burst_period_s", "timestamp_error_s"} < answer.keys()
        assert list(answer["delay_s"]) == ["min", "p50", "p90", "p95", "p99", "max"]
        assert answer["delay_s"]["max"] == 0.666667
        assert {
            "sent", "never_sent", "seen", "recorded", "missing_in_range", "outside_range", "duplicates"
        } < answer["loss"].keys()  # fmt: skip


class TestTables:
    @staticmethod
    def printed(answer, width, now_s=T0 + 10**6):
        console = Console(width=width)
        with console.capture() as captured:
            console.print(tables(answer, now_s * SECOND))
        return captured.get()

    @pytest.mark.parametrize("source", ["aws", "local", "simulated"])
    def test_the_first_line_says_whose_delays_these_are(self, source):
        text = self.printed(analyze(dataset(series([probe(T0)]), source=source)), 120)
        assert text.startswith(SOURCE_IN_WORDS[source] + "\n")
        assert ("not AWS" in text) is (source != "aws")

    def test_packets_bursts_and_runs_are_printed_together(self):
        rows = [probe(T0 + at) for at in range(1_000)]
        assert "1,000 packets, 1 burst, 1 run\n" in self.printed(analyze(dataset(series(rows))), 80)
        unknown = analyze(dataset(*runs_of([probe(T0, None)]), kind=FLOW_LOG))
        assert "1 packet, bursts unknown, 1 run\n" in self.printed(unknown, 80)

    @pytest.mark.parametrize("width", [40, 80, 200])
    def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(self, width):
        rows = [probe(T0 + 60 * at, 123.456) for at in range(20)]
        text = self.printed(analyze(dataset(series(rows)), ledger=ledger({row.tick for row in rows})), width)
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
        assert re.search(r"p99 +123\.456", text)

    def test_what_is_not_known_is_not_printed_as_zero(self):
        text = self.printed(analyze(dataset(*runs_of([probe(T0, None)]), kind=FLOW_LOG)), 100)
        assert re.search(r"p50 +- +- +-", text)
        assert "never sent" not in text
        assert "deliveries" not in text

    def test_several_arms_have_a_table_each(self):
        text = self.printed(analyze(campaign(5, lags=[20, 50], n_missing=2)), 120)
        assert "108,000 packets, 180 bursts, 5 runs" not in text
        for arm, lag_s in (("arm-0", 20), ("arm-1", 50)):
            heading, _, rest = text.partition(f"{arm}: 53,990 packets, 95 bursts, 5 runs, 10 missing\n")
            assert heading
            assert re.search(rf"min +{lag_s}\.000", rest.partition("Sawtooth")[0])
        assert "95 % interval" in text
        assert "54 more runs are needed." in text

    def test_differences_have_an_interval_from_five_runs_on(self):
        few, enough = (self.printed(analyze(campaign(n_runs, lags=[20, 50, 50])), 120) for n_runs in (4, 5))
        for text in (few, enough):
            assert re.search(r"arm-1 +\+30\.0 +30\.0", text)
            assert re.search(r"arm-2 +\+0\.0 +0\.0", text)
        assert "95 % interval" not in few
        assert "30.0 to 30.0   < 0.001" in enough

    def test_below_five_runs_no_interval_is_printed(self):
        assert "95 % interval" not in self.printed(analyze(campaign(4, lags=[20])), 120)

    def test_a_percentile_that_falls_on_a_missing_probe_is_never(self):
        text = self.printed(analyze(campaign(1, lags=[20], n_missing=2_000)), 120)
        assert re.search(r"p50 +\d+\.\d+ ", text)
        assert re.search(r"p95 +never +never", text)

    def test_few_sawtooths_have_a_line_each_and_many_one_an_arm(self):
        few = self.printed(analyze(campaign(3, lags=[20, 50])), 120)
        assert len(re.findall(r"600\.00 ", few)) == 6
        many = self.printed(analyze(campaign(4, lags=[20, 50])), 120)
        assert len(re.findall(r"4 flow logs", many)) == 2
        assert "20.0 to 23.0" in many

    def test_only_of_an_export_that_is_new_the_next_delivery_is_announced(self):
        rows = sawtooth(hours=1)
        last_s = max(row.ingested_at for row in rows) // SECOND
        export = analyze(dataset(*runs_of(rows), kind=EXPORT))
        assert "The next delivery is due in 6m 40s." in self.printed(export, 80, last_s + 200)
        assert "is due in" not in self.printed(export, 80, last_s + 3_600)
        assert "is due in" not in self.printed(analyze(dataset(series(rows))), 80, last_s + 200)
