"""The fit of a flow log's sawtooth: synthetic ones whose truth is known, and Episode 18's run A."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag_stats.sawtooth import BURSTS_FOR_FIT, fit
from local.sources import read

SECOND = 1_000_000
BEGIN = 1_700_000_000
EP18 = Path(os.environ.get("FLOWLAG_EP18", Path(__file__).parents[3] / "shared" / "ep18"))


def columns(*, period=600.0, phase=184.7, window=60.0, least_lag=12.0, hours=3, rate=1, begin=BEGIN):
    """Sent, label and delivery of every probe: each window is delivered by the first burst that it is due at.

    In seconds. A window is due `least_lag` after its end; bursts are at `phase` modulo `period`.
    """
    sent = begin + np.arange(hours * 3_600 * rate) / rate
    label = begin + np.floor((sent - begin) / window) * window
    due = label + window + least_lag
    return sent, label, due + (phase - due) % period


def fitted(sent, label, ingested, keep=None, **options):
    kept = slice(None) if keep is None else keep
    micros = (np.rint(each[kept] * SECOND).astype(np.int64) for each in (sent, label, ingested))
    return fit(*micros, **options)


periods = st.sampled_from([60, 300, 600])
seconds_past = st.floats(0, 59).map(lambda seconds: round(seconds, 3))


@given(period=periods, phase=seconds_past, least_lag=st.floats(0, 400))
def test_period_phase_and_lag_of_windows_that_keep_step(period, phase, least_lag):
    sent, label, ingested = columns(period=period, phase=phase, least_lag=least_lag)
    found = fitted(sent, label, ingested)
    newest = sent[ingested == ingested[0]].max()
    assert found.period_s == pytest.approx(period)
    assert found.phase_s == pytest.approx(phase, abs=1e-5)
    assert found.lag_first_s == pytest.approx(ingested[0] - newest, abs=2e-6)
    assert found.lag_first_s == pytest.approx(found.lag_last_s)
    assert (found.drift_s_per_h, found.jitter_s) == pytest.approx((0, 0), abs=1e-6)
    assert found.shape_distance_s == pytest.approx(0, abs=1e-5)


@given(period=periods, phase=seconds_past, least_lag=st.floats(7, 400))
def test_the_drift_of_windows_that_are_longer_than_a_minute_and_the_lags_jump(period, phase, least_lag):
    # 61.2 s: after 50 windows a whole one less is delivered, so that the lag jumps three times in three hours.
    sent, label, ingested = columns(period=period, phase=phase, window=61.2, least_lag=least_lag, rate=10)
    found = fitted(sent, label, ingested)
    slide_of_a_burst = period - np.rint(period / 60) * 61.2
    assert found.period_s == pytest.approx(period)
    assert found.drift_s_per_h == pytest.approx(slide_of_a_burst / period * 3_600, abs=0.2)
    assert least_lag <= found.lag_first_s <= least_lag + 61.4
    assert found.shape_distance_s < 1


@given(st.data())
def test_bursts_that_are_missing_change_little(data):
    sent, label, ingested = columns(window=60.061, hours=4)
    bursts = np.unique(ingested)
    lost = data.draw(st.sets(st.sampled_from(list(bursts[1:-1])), max_size=6))
    found = fitted(sent, label, ingested, ~np.isin(ingested, list(lost)))
    assert found.n_bursts == len(bursts) - len(lost)
    assert found.period_s == pytest.approx(600, abs=1e-6)
    assert found.phase_s == pytest.approx(184.7, abs=1e-5)
    assert found.drift_s_per_h == pytest.approx(-3.66, abs=0.5)
    assert found.shape_distance_s < 2


@given(st.integers(0, 2**32 - 1))
def test_jitter_and_lost_records_change_little(seed):
    rng = np.random.default_rng(seed)
    sent, label, ingested = columns(window=60.061, hours=4)
    bursts, which = np.unique(ingested, return_inverse=True)
    late = rng.normal(0, 0.4, len(bursts))
    found = fitted(sent, label, ingested + late[which], rng.random(len(sent)) > 0.2)
    assert found.period_s == pytest.approx(600, abs=0.15)
    assert found.phase_s == pytest.approx(184.7, abs=0.5)
    assert 0 < found.jitter_s < 0.8
    assert found.drift_s_per_h == pytest.approx(-3.66, abs=1)
    assert found.shape_distance_s < 4


def test_a_burst_is_several_deliveries_and_begins_with_the_first():
    sent, label, ingested = columns()
    in_burst = (label - label[0]) // 60 % 10 // 3 * 0.4
    found = fitted(sent, label, ingested + in_burst)
    assert found.n_bursts == len(np.unique(ingested))
    assert found.period_s == pytest.approx(600, abs=0.1)


def test_the_burst_gap_is_the_callers():
    sent, label, ingested = columns(period=10.0, phase=4.7, window=1.0, least_lag=0.2, hours=1, rate=5)
    assert fitted(sent, label, ingested) is None
    assert fitted(sent, label, ingested, burst_gap_s=0.5).period_s == pytest.approx(10)


def test_stragglers_are_no_bursts():
    sent, label, ingested = columns()
    straggles = np.arange(len(sent)) % 500 == 250
    found = fitted(sent, label, np.where(straggles, ingested + 150, ingested))
    assert found.n_bursts == len(np.unique(ingested))
    assert (found.period_s, found.phase_s) == pytest.approx((600, 184.7))
    assert found.lag_first_s == pytest.approx(found.lag_last_s)


def test_the_lag_of_a_last_burst_that_was_cut_short_is_not_believed():
    sent, label, ingested = columns()
    bursts = np.unique(ingested)
    cut = (ingested < bursts[-2]) | ((ingested == bursts[-2]) & (sent < bursts[-2] - 400))
    found = fitted(sent, label, ingested, cut)
    assert found.lag_last_s == pytest.approx(found.lag_first_s)
    assert found.shape_distance_s == pytest.approx(0, abs=1e-5)


def test_a_shape_that_is_no_sawtooth_is_told():
    sent, label, ingested = columns()
    held = sent - BEGIN > 5_400
    found = fitted(sent, label, np.where(held & (ingested % 1_200 < 600), ingested + 600, ingested))
    assert found.shape_distance_s > 100


def test_the_order_of_records_does_not_matter():
    each = columns(window=60.061)
    shuffled = np.random.default_rng(1).permutation(len(each[0]))
    assert fitted(*each, shuffled) == fitted(*each)


@pytest.mark.parametrize("n_bursts", range(BURSTS_FOR_FIT + 1))
def test_too_few_bursts_are_refused(n_bursts):
    sent, label, ingested = columns()
    found = fitted(sent, label, ingested, np.isin(ingested, np.unique(ingested)[:n_bursts]))
    assert (found is None) is (n_bursts < BURSTS_FOR_FIT)


def test_one_capture_window_is_enough_for_a_period():
    sent, _label, ingested = columns()
    assert fitted(sent, np.full(len(sent), float(BEGIN)), ingested).period_s == pytest.approx(600)


def test_many_bursts_are_fitted_as_few_are():
    sent, label, ingested = columns(period=60.0, phase=31.5, window=60.061, hours=24)
    found = fitted(sent, label, ingested)
    assert found.n_bursts > 1_400
    assert (found.period_s, found.phase_s) == pytest.approx((60, 31.5), abs=1e-4)
    assert found.drift_s_per_h == pytest.approx(-3.66, abs=0.1)


class TestNext:
    @given(after_s=st.floats(-100_000, 100_000), period=periods, phase=seconds_past)
    def test_the_next_burst_is_due_within_a_period_at_the_phase(self, after_s, period, phase):
        found = fitted(*columns(period=period, phase=phase))
        at = round((BEGIN + after_s) * SECOND)
        due = found.next_after(at)
        assert 0 < due - at <= period * SECOND
        distance = (due / SECOND - phase) % period
        assert min(distance, period - distance) < 0.01

    def test_a_burst_is_not_its_own_next(self):
        found = fitted(*columns())
        assert found.next_after(found.last_burst_at) == found.last_burst_at + 600 * SECOND
        assert found.next_after(found.last_burst_at - 1) == found.last_burst_at


@pytest.mark.skipif(
    not (EP18 / "logs-insights-results.csv").is_file(),
    reason="Episode 18's data is not beside this checkout: set FLOWLAG_EP18 to its folder",
)
def test_episode_18s_run_a():
    (flow_log,) = read([EP18 / "logs-insights-results.csv"], port=7_777, rate=1).series
    found = fit(flow_log.sent_at, flow_log.window_start, flow_log.ingested_at)
    assert found.n_bursts == 18
    assert found.period_s == pytest.approx(600, abs=0.05)
    assert found.phase_s == pytest.approx(184.7, abs=0.3)
    assert (round(found.lag_first_s, 1), round(found.lag_last_s, 1)) == (26.7, 17.1)
    assert found.drift_s_per_h == pytest.approx(-3.66, abs=0.1)  # windows of 60.061 s: (600 - 600.61) * 6
    assert found.jitter_s < 0.3
    assert found.shape_distance_s < 1
