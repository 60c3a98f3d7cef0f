"""What `flowlag analyze` computes: delays, cadence and loss of data whose truth is known."""

import re
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flowlag.errors import InvalidRequest
from local.analyze import analyze
from local.render import SOURCE_IN_WORDS, analysis
from local.sources import EXPORT, FLOW_LOG, OBSERVATIONS, Dataset, Row, SentTicks, Series, runs_of

T0 = 1_700_000_000
SECOND = 1_000_000


def probe(tick, delay_s=90.0, *, window=None, rate=1):
    """A row whose probe was sent at its tick and delivered `delay_s` later; None: no time of delivery."""
    sent_at = tick * SECOND // rate
    start = sent_at - sent_at % (60 * SECOND) if window is None else window * SECOND
    return Row(tick, sent_at, start, None if delay_s is None else sent_at + round(delay_s * SECOND))


def series(rows, run="run-1", arm="cloudwatch-600"):
    return Series(run, arm, *zip(*rows, strict=True))


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
        assert (answer.min, answer.p50, answer.p90, answer.p95, answer.p99, answer.max) == pytest.approx(expected)

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

    def test_arms_that_are_measured_together_are_named_as_such(self):
        answer = analyze(dataset(series([probe(T0)]), series([probe(T0)], arm="cloudwatch-60")))
        assert (answer.n_packets, answer.n_runs) == (2, 1)
        assert any(note.startswith("2 arms are together") for note in answer.notes)

    def test_rows_that_name_no_run_are_divided_by_an_hour_without_windows(self):
        starts = [0, 60, 3_659, 7_259]
        runs = runs_of(probe(T0 + at, None, window=T0 + at) for at in reversed(starts))
        assert [[start // SECOND - T0 for start in run.window_start] for run in runs] == [[0, 60, 3_659], [7_259]]
        assert runs[0].run != runs[1].run


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
    def printed(answer, width):
        console = Console(width=width)
        with console.capture() as captured:
            console.print(analysis(answer))
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
