"""Profiles: what is kept of an arm in a run, of columns whose rows are known."""

import json

import numpy as np
import pytest

from flowlag_report.profile import (
    COUNTS,
    NULL,
    SHARES,
    SPANS_AT_MOST,
    Profile,
    UnreadableProfile,
    column,
    profile_of,
)
from tests.report.campaigns import ARMS, BEGIN, SECOND, columns, profile

RUN = {
    "run_id": "run-1",
    "region": "eu-west-1",
    "started_at": BEGIN * SECOND,
    "source": "simulated",
    "experiment": "default",
    "verdict": "complete",
    "reasons": ["a reason"],
    "hypervisor": "xen",
    "instance_type": "t2.micro",
    "code_version": "1",
    "rate": 1,
    "cost_usd": None,
}
ARM = {**ARMS["cloudwatch-600"], "arm": "cloudwatch-600", "level": "subnet", "bursts": 2}
NO_LEDGER = {"tick": column([]), "sent_ns": column([])}


def micros(*seconds):
    return np.array([round((BEGIN + each) * SECOND) for each in seconds], np.int64)


def observations(sent=(0, 1, 2, 3), ingested=(100, 100, 200, 200)):
    n = len(sent)
    return {
        "tick": np.array([BEGIN + int(each) for each in sent], np.int64),
        "sent_at": micros(*sent),
        "window_start": micros(*[0] * n),
        "window_end": micros(*[60] * n),
        "ingested_at": micros(*ingested),
        "received_at": micros(*(each + 1.5 for each in ingested)),
    }


def made(observed=None, ledger=NO_LEDGER, run=RUN, first=None, **counts):
    observed = observations() if observed is None else observed
    return profile_of(observed, ledger, run, {**ARM, "observed": len(observed["tick"]), **counts}, first)


def test_percentiles_are_type_7_of_the_raw_delays():
    found = made()

    assert found.delay_s == {
        "min": 99.0, "p50": 148.5, "p90": 197.7, "p95": 197.85, "p99": 197.97, "max": 198.0, "mean": 148.5,
    }  # fmt: skip
    assert found.knots == tuple(np.round(np.quantile([99, 100, 197, 198], SHARES), 2))


def test_what_never_came_is_in_the_denominator():
    found = made(not_recorded=1, lost_on_wire=1)

    assert (found.delivered, found.undelivered) == (4, 2)
    assert (found.delay_s["p50"], found.delay_s["p90"], found.delay_s["max"]) == (197.5, None, 198.0)


def test_the_order_of_rows_says_nothing():
    turned = {name: values[::-1].copy() for name, values in observations().items()}

    assert made(turned) == made()


def test_a_record_without_a_time_of_delivery_is_in_no_delay():
    observed = observations()
    observed["ingested_at"][3] = NULL

    assert made(observed).delay_s["max"] == 198.0
    assert made(observed).windows == made(observations(sent=(0, 1, 2), ingested=(100, 100, 200))).windows


def test_stages_are_what_lies_between_a_records_instants():
    found = made()

    assert found.stages == {
        "to_window_end": {"mean": 58.5, "p50": 58.5},
        "to_ingestion": {"mean": 90.0, "p50": 90.0},
        "to_lambda": {"mean": 1.5, "p50": 1.5},
    }
    assert sum(each["mean"] for each in found.stages.values()) == found.delay_s["mean"] + 1.5


def test_a_stage_that_nobody_saw_is_left_out():
    observed = observations() | {"received_at": np.full(4, NULL)}

    assert set(made(observed).stages) == {"to_window_end", "to_ingestion"}


def test_a_window_is_its_first_and_last_packet_its_label_and_its_delivery():
    assert made().windows == (
        tuple(micros(0, 1, 0, 100)),
        tuple(micros(2, 3, 0, 200)),
    )


def test_the_timestamp_error():
    assert made().timestamp_error_s == {"min": -3.0, "mean": -1.5, "max": 0.0}


def test_hours_begin_at_whole_hours_of_utc():
    found = made(observations(sent=(-1, 0, 10), ingested=(99, 110, 120)))

    assert found.hours == (
        ((BEGIN - 3_600) * SECOND, 1, 100.0, 100.0),
        (BEGIN * SECOND, 2, 110.0, 110.0),
    )


def test_ticks_without_a_record_have_a_fate():
    ticks = np.arange(BEGIN - 2, BEGIN + 9)
    sent = ticks * 10**9
    sent[[5, 6]] = NULL  # BEGIN + 3 and BEGIN + 4
    found = made(
        observations(sent=(0, 1, 2, 7), ingested=(100,) * 4),
        {"tick": ticks, "sent_ns": sent},
        {**RUN, "verdict": None},
    )

    assert found.missing == {
        "never_sent": [(BEGIN + 3, 2)],
        "unrecorded": [(BEGIN + 5, 2)],
        "before_first_record": [(BEGIN - 2, 2)],
        "after_last_record": [(BEGIN + 8, 1)],
    }


def test_what_comes_after_the_last_record_of_a_closed_run_is_unrecorded():
    ticks = np.arange(BEGIN, BEGIN + 6)
    found = made(ledger={"tick": ticks, "sent_ns": ticks * 10**9})

    assert found.missing == {"unrecorded": [(BEGIN + 4, 2)]}


def test_port_0_is_not_never_sent():
    tick = (BEGIN // 65_536 + 1) * 65_536

    assert made(ledger={"tick": np.array([tick]), "sent_ns": column([None])}).missing == {
        "expected_missing": [(tick, 1)]
    }


def test_a_flood_of_losses_does_not_make_a_large_profile():
    found = profile(lost=range(700, 3_600, 2))

    assert len(found.missing["unrecorded"]) == SPANS_AT_MOST
    assert found.counts["not_recorded"] == 1_450


def test_first_delivery_counts_from_the_flow_logs_creation():
    row = {
        "t0_before_call": int(micros(0)[0]),
        "t0_service": int(micros(0.2)[0]),
        "status": "delivered",
        "polls": 4,
        "last_miss_at": int(micros(50)[0]),
        "first_hit_at": int(micros(80)[0]),
        "first_record_s": 61.5,
        "first_probe_s": 62.5,
    }

    assert made(first=row).first_delivery == {
        "status": "delivered",
        "polls": 4,
        "last_miss_s": 50.0,
        "first_hit_s": 80.0,
        "first_record_s": 61.5,
        "first_probe_s": 62.5,
    }


def test_an_arm_that_delivered_nothing_has_no_delay_and_all_its_losses():
    nothing = {name: values[:0] for name, values in observations().items()}
    found = made(nothing, not_recorded=10)

    assert (found.delay_s, found.knots, found.random_probe_s, found.windows, found.hours) == (
        None,
        (),
        None,
        (),
        (),
    )
    assert (found.sample.n_packets, found.sample.missing) == (10, 10)


def test_an_arm_of_which_nothing_is_known_has_no_sample():
    nothing = {name: values[:0] for name, values in observations().items()}

    assert made(nothing).sample is None


def test_the_sample_is_the_delays_to_what_the_knots_resolve():
    found = profile(lost=(700, 701))
    exact = columns("cloudwatch-600", BEGIN, 3_600, 7.0)
    delays = np.delete((exact["ingested_at"] - exact["sent_at"]) / SECOND, [700, 701])

    assert found.sample.missing == 2
    assert np.abs(found.sample.delays - np.sort(delays)).max() < 1.5


def test_the_tail_has_knots_of_its_own():
    late = np.arange(3_600) + 1.0
    late[-36:] += 10_000  # one in a hundred
    observed = observations(sent=range(3_600), ingested=np.arange(3_600) + late)
    p95, p985 = np.quantile(made(observed).sample.delays, (0.95, 0.985))

    assert (p95, p985) == pytest.approx((3_420, 3_546), abs=2)


def test_the_rhythm_is_fitted():
    found = profile(traffic_s=7_200)

    assert found.burst_period_s == 600
    assert found.capture_window_s == 60
    assert found.sawtooth["period_s"] == 600


# ---------------------------------------------------------------- as a file
def test_a_profile_comes_back_as_it_was():
    original = profile(lost=(3, 4, 5), unsent=(9,))

    assert Profile.of_bytes(original.to_bytes()) == original
    assert Profile.of_json(json.loads(json.dumps(original.to_json()))) == original


def test_a_profile_of_three_hours_is_a_few_kilobytes():
    assert len(profile(traffic_s=10_800).to_bytes()) < 20_000


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"[]", "it is no profile"),
        (b"{}", "it is no profile"),
        (b"nothing", "it is not JSON"),
        (b'{"profile_version": 99}', "version 99, and this flowlag reads 1"),
        (b'{"profile_version": 1}', "it lacks run_id, region"),
    ],
)
def test_what_is_no_profile_is_refused_in_a_sentence(data, sentence):
    with pytest.raises(UnreadableProfile, match=sentence):
        Profile.of_bytes(data)


def test_every_count_of_the_run_is_in_its_profile():
    assert set(profile().counts) == set(COUNTS)
