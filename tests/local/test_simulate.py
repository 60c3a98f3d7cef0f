"""The simulator against what else is known: Episode 18's run A, the local flow-log service, reconciliation."""

from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from operator import attrgetter

import numpy as np
import pytest

from flowlag import stamp
from flowlag.delivery import PRESETS, Disturbance, Schedule
from flowlag.errors import InvalidRequest
from flowlag.first_delivery import DELIVERED, EXPIRED
from flowlag.ledger import MISSED, SENT, SKIPPED, Ledger, LedgerEntry
from flowlag.plan import Arm, RunRequest
from flowlag.probe import Event, Probe, Sifted
from flowlag.reconcile import EXPECTED_MISSING, LOST_ON_WIRE, NEVER_SENT, NOT_RECORDED, Evidence, reconcile
from flowlag.summary import ArmSummary, DelayColumns
from flowlag.tables import LEDGER, OBSERVATIONS
from flowlag_aws.parquet import decode
from local.flow_logs.records import EGRESS, Flow, Packet, Pipeline
from local.instants import of_iso
from local.simulate.campaign import BEGIN, FLEXIBLE_S, Campaign
from local.simulate.flow_log import MILLISECOND, NEVER, SECOND, happens, record
from local.simulate.run import Traffic, Trouble, simulate_run
from local.simulate.tables import objects
from local.simulate.truth import population, spread

XEN, OVERLAPPING, NITRO = (PRESETS[name] for name in ("xen-600", "xen-600-overlapping", "nitro-60"))
HOUR = 3_600
FOUR = (
    Arm(aggregation_interval_s=60),
    Arm(),
    Arm(destination="s3"),
    Arm(destination="s3", file_format="parquet"),
)
EVERYTHING = Trouble(loss=0.02, late=0.2, twice=0.3, wire_loss=0.05, missed=0.01)


def chance(seed=1):
    return np.random.default_rng(seed)


def a_campaign(**settings):
    usual = {
        "preset": XEN,
        "request": RunRequest(traffic_s=HOUR, arms=FOUR),
        "regions": ("us-east-1",),
        "runs": 1,
        "runs_per_day": 4,
        "trouble": Trouble(),
        "seed": 1,
    }
    return Campaign(**(usual | settings))


def only_run(**settings):
    (run,) = a_campaign(**settings).simulate()
    return run


def simulated(campaign, **plan):
    """A run of a campaign, with another plan."""
    changed = replace(next(campaign.plans()), **plan)
    return simulate_run(changed, campaign.preset, campaign.trouble, partial(campaign.chance, changed.run_id))


# ---------------------------------------------------------------- one flow log
RUN_A_BEGAN = of_iso("2022-03-03T19:00:00Z")
RUN_A_SENT_AT = RUN_A_BEGAN + np.arange(10_000) * SECOND


@pytest.fixture(scope="module")
def run_a():
    """Episode 18's run A: bursts 184.651 s after each ten minutes, a lag of 25.0 s at its beginning."""
    schedule = Schedule(XEN, RUN_A_BEGAN + 184_651_000, 25_000_000)
    since, until = RUN_A_BEGAN - 600 * SECOND, RUN_A_BEGAN + 11_000 * SECOND
    return record(schedule, RUN_A_SENT_AT, since=since, until=until, chance=chance())


def test_run_a_has_its_windows(run_a):
    assert len(np.unique(run_a.window_start)) == pytest.approx(168, abs=2)


def test_run_a_has_its_extremes(run_a):
    delays_s = (run_a.ingested_at - RUN_A_SENT_AT) / SECOND

    assert run_a.is_delivered.all()
    assert delays_s.min() == pytest.approx(18.315, abs=3)
    assert delays_s.max() == pytest.approx(626.307, abs=3)


def test_run_a_has_bursts_600_s_apart(run_a):
    deliveries = np.unique(run_a.ingested_at)
    begins = deliveries[np.diff(deliveries, prepend=0) > 30 * SECOND][1:]  # the first one's begin had no probe

    assert begins[0] == RUN_A_BEGAN + 784_651_000
    assert set(np.diff(begins)) == {600 * SECOND}


@pytest.mark.parametrize("habits", [XEN, XEN.under(60), XEN.to_s3, NITRO, NITRO.to_s3])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_it_delivers_as_the_local_flow_log_service_does(habits, share):
    """The two have nothing in common but the model."""
    schedule = Schedule.drawn(habits, share, share)
    since, until = BEGIN + 100 * SECOND, BEGIN + 5_000 * SECOND
    on_the_border = schedule.window_start(BEGIN + 2_000 * SECOND)
    sent_at = np.append(BEGIN + 3 + np.arange(3_000) * SECOND, [on_the_border - 1, on_the_border])
    service = Pipeline(schedule, since)
    for port, at in enumerate(sent_at.tolist()):
        service.add(Packet(at * 1_000, Flow("10.0.0.1", "10.0.0.2", port, 7_777, 6, EGRESS), 340, 2))
    told = {
        flow.srcport: (window.label, window.end // SECOND, delivery.at)
        for delivery in service.due(until - 1)
        for window in delivery.windows
        for flow in window.flows
    }

    found = record(schedule, sent_at, since=since, until=until, chance=chance(), clock=1)

    columns = (found.window_start // SECOND, found.window_end // SECOND, found.ingested_at)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    assert told
    assert {port: row for port, row in enumerate(rows) if row[2] != NEVER} == told


@pytest.mark.parametrize("clock", [MILLISECOND, SECOND])
def test_a_destination_s_clock_cuts_off(clock):
    schedule, sent_at = Schedule(XEN, 123_456_789, 11_000_000), np.arange(1_000) * SECOND
    record_ = partial(record, schedule, sent_at, since=0, until=3_000 * SECOND)

    exact, cut = (record_(chance=chance(), clock=each) for each in (1, clock))

    assert (exact.ingested_at % clock > 0).any()
    assert (cut.ingested_at == exact.ingested_at // clock * clock).all()
    assert cut.first_at == cut.ingested_at.min()
    assert (cut.received_at == exact.received_at).all()


def test_where_windows_overlap_a_packet_is_in_its_own_or_in_the_next_one():
    schedule, sent_at = Schedule.drawn(OVERLAPPING, 0.4, 0.6), BEGIN + np.arange(5_000) * SECOND

    records = record(schedule, sent_at, since=BEGIN, until=BEGIN + 6_000 * SECOND, chance=chance())

    own, latest = (
        np.array([schedule.label(schedule.window_start(at + ahead)) // SECOND * SECOND for at in sent_at.tolist()])
        for ahead in (0, 43 * SECOND)
    )
    is_own, is_latest = records.window_start == own, records.window_start == latest
    assert (is_own | is_latest).all()
    # Two thirds of a window's packets are in the overlap, and of them every second one left its window by then.
    assert np.mean(~is_own) == pytest.approx(43 / 60.061 / 2, abs=0.03)


def test_of_records_the_share_is_lost_that_was_asked_for():
    schedule, sent_at = Schedule.drawn(XEN, 0.1, 0.2), BEGIN + np.arange(10_000) * SECOND
    lossy = partial(record, schedule, sent_at, since=BEGIN, until=BEGIN + 20_000 * SECOND)

    one, all_ = (lossy(chance=chance(), disturbance=Disturbance(loss=loss)) for loss in (0.1, 1))

    assert one.is_lost.mean() == pytest.approx(0.1, abs=0.01)
    assert (one.is_lost == ~one.is_delivered).all()
    assert all_.is_lost.all()
    assert all_.first_at == one.first_at, "the delivery comes, with records of other traffic"


def test_late_deliveries_are_late_and_repeated_ones_come_again():
    schedule, sent_at = Schedule.drawn(NITRO, 0.1, 0.2), BEGIN + np.arange(20_000) * SECOND
    disturbed = partial(record, schedule, sent_at, since=BEGIN, until=BEGIN + 30_000 * SECOND)

    usual, late = (disturbed(chance=chance(), disturbance=Disturbance(late=late)) for late in (0, 0.25))
    twice = disturbed(chance=chance(), disturbance=Disturbance(twice=0.25))

    assert late.is_late.mean() == pytest.approx(0.25, abs=0.1)
    assert ((late.ingested_at > usual.ingested_at) == late.is_late).all()
    again = happens(twice.again_at)
    assert again.mean() == pytest.approx(0.25, abs=0.1)
    assert ((twice.again_at - twice.ingested_at)[again] == 1_500_000).all()
    assert (twice.ingested_at == usual.ingested_at).all()


def test_a_flow_log_without_a_burst_delivers_nothing():
    records = record(Schedule(XEN, 0, 0), np.arange(3) * SECOND, since=0, until=1, chance=chance())

    assert not records.is_delivered.any()
    assert not records.is_lost.any()
    assert records.first_at == NEVER


# ---------------------------------------------------------------- traffic
@pytest.mark.parametrize("rate", range(1, 11))
def test_probes_leave_less_than_a_millisecond_after_their_tick(rate):
    ticks = np.arange(BEGIN // SECOND * rate, BEGIN // SECOND * rate + 1_000)

    traffic = Traffic.of(ticks, rate, Trouble(), chance())

    assert traffic.due_ns.tolist() == [stamp.due_ns(tick, rate) for tick in ticks.tolist()]
    assert (traffic.due_ns // 1_000).tolist() == [stamp.due_at(tick, rate) for tick in ticks.tolist()]
    late_ns = traffic.sent_ns - traffic.due_ns
    assert 0 < late_ns.min() < np.median(late_ns) < late_ns.max() < 1_000_000
    assert np.median(late_ns) == pytest.approx(150_000, rel=0.1)
    assert (traffic.seen_at > traffic.sent_at).all()


def test_port_0_is_not_sent_and_missed_ticks_are_not_either():
    ticks = np.arange(stamp.PORTS - 500, stamp.PORTS + 500)

    traffic = Traffic.of(ticks, 1, Trouble(missed=0.5, wire_loss=0.5), chance())

    assert ticks[traffic.is_skipped].tolist() == [stamp.PORTS]
    assert not traffic.is_sent[500]
    assert traffic.is_sent.mean() == pytest.approx(0.5, abs=0.05)
    assert traffic.is_seen.mean() == pytest.approx(0.25, abs=0.05)
    assert not (traffic.is_seen & ~traffic.is_sent).any()


@pytest.mark.parametrize("name", ["loss", "late", "twice", "wire_loss", "missed"])
@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_one(name, share):
    with pytest.raises(InvalidRequest, match=rf"^{name} is a share from 0 to 1, not"):
        Trouble(**{name: share})


# ---------------------------------------------------------------- one run
@pytest.fixture(scope="module", params=[1, 2])
def troubled(request):
    """A run across the wrap of the source port, in which everything happens that may."""
    wrap_at = -(-BEGIN * request.param // SECOND // stamp.PORTS) * stamp.PORTS * SECOND // request.param
    settings = RunRequest(traffic_s=1_200, arms=FOUR, rate=request.param, drain_s=600)
    campaign = a_campaign(request=settings, trouble=EVERYTHING)
    return simulated(campaign, planned_at=wrap_at - 1_500 * SECOND)


def columns_of(run, table, columns):
    """The columns of a table's objects, by their keys' last part."""
    return {
        key.rpartition("/")[2].removesuffix(".parquet"): decode(data, columns)
        for key, data in objects(run)
        if key.startswith(f"{table}/")
    }


def reconciled(run, arm):
    """What ReconcileRun would make of the run: of its ledger, its capture and its deliveries, one by one."""
    traffic, records, plan = run.traffic, arm.records, run.plan
    seen = dict(zip(traffic.ticks.tolist(), traffic.seen_at.tolist(), strict=True))
    delivered, received = Sifted(), {}
    for row in arm.observed.tolist():
        tick = int(traffic.ticks[row])
        probe = Probe(
            tick=stamp.decode_delivered(
                stamp.encode(tick), int(records.window_start[row]), int(records.ingested_at[row]), plan.rate
            ),
            srcport=stamp.encode(tick),
            due_at=stamp.due_at(tick, plan.rate),
            window_start=int(records.window_start[row]),
            window_end=int(records.window_end[row]),
            packets=1,
            bytes=40 + plan.payload_bytes,
            tcp_flags=2,
            action="ACCEPT",
            log_status="OK",
        )
        event_id = f"{records.delivery[row]}#{tick}"
        delivered.probes.append((Event(event_id, "", int(records.ingested_at[row])), probe))
        if arm.arm.destination != "s3":
            received[event_id] = int(records.received_at[row])
        if records.again_at[row] != NEVER:
            delivered.probes.append((Event(f"{event_id} again", "", int(records.again_at[row])), probe))
    evidence = Evidence(
        ledger=Ledger(tuple(ledger_of(run)), closed=True),
        seen={tick: at for tick, at in seen.items() if at != NEVER},
        delivered=delivered,
        received={event_id: at for event_id, at in received.items() if at != NEVER},
        flow_log_id=arm.creation["flow_log_id"],
    )
    return reconcile(plan, arm.arm, evidence)


def ledger_of(run):
    for tick, sent_ns in zip(run.traffic.ticks.tolist(), run.traffic.sent_ns.tolist(), strict=True):
        port = stamp.encode(tick)
        is_sent = sent_ns != NEVER
        unsent = SKIPPED if port == 0 else MISSED
        yield LedgerEntry(tick, port, sent_ns if is_sent else None, SENT if is_sent else unsent)


@pytest.mark.parametrize("number", range(4), ids=[arm.name for arm in FOUR])
def test_an_arm_is_what_reconciliation_makes_of_it(troubled, number):
    arm = troubled.arms[number]
    known = reconciled(troubled, arm)

    assert arm.counts == known.counts
    assert set(arm.counts.missing) == {EXPECTED_MISSING, LOST_ON_WIRE, NEVER_SENT, NOT_RECORDED}
    assert min(arm.counts.duplicates, arm.counts.before_first_record) > 0
    told = columns_of(troubled, "observations", OBSERVATIONS)[f"{troubled.plan.run_id}.{arm.arm.name}"]
    for name in OBSERVATIONS:
        assert told[name] == list(map(attrgetter(name), known.observations)), name
    assert told["tick"] == sorted(told["tick"])


@pytest.mark.parametrize("number", range(4), ids=[arm.name for arm in FOUR])
def test_an_arm_s_summary_is_what_summarize_run_makes_of_it(troubled, number):
    arm = troubled.arms[number]
    told = columns_of(troubled, "observations", OBSERVATIONS)[f"{troubled.plan.run_id}.{arm.arm.name}"]
    delays = DelayColumns(**{name: told[name] for name in DelayColumns.__dataclass_fields__})
    first = arm.check.first_record_at - arm.creation["t0_before_call"]

    expected = asdict(ArmSummary.of(arm.arm.name, arm.counts, delays, first_delivery_s=first / SECOND))

    found = asdict(troubled.summary.arms[number])
    assert found.pop("counts") == expected.pop("counts")
    for name, value in expected.items():
        assert found[name] == (value if name == "arm" else pytest.approx(value, abs=1.1e-6)), name


def test_the_ledger_is_the_sender_s(troubled):
    entries, rate = list(ledger_of(troubled)), troubled.plan.rate

    told = columns_of(troubled, "ledger", LEDGER)[troubled.plan.run_id]

    assert told["tick"] == [entry.tick for entry in entries]
    assert told["srcport"] == [entry.srcport for entry in entries]
    assert told["intended_at"] == [stamp.due_at(entry.tick, rate) for entry in entries]
    assert told["sent_ns"] == [entry.sent_ns for entry in entries]
    assert told["lateness_s"] == [entry.lateness_s(rate) for entry in entries]
    assert told["outcome"] == [entry.outcome for entry in entries]
    assert set(told["outcome"]) == {SENT, MISSED, SKIPPED}
    assert set(told["clock_offset_s"]) == {0.0}


def test_a_run_has_the_course_of_the_state_machine():
    run = only_run()
    plan, sent = run.plan, run.traffic

    assert sent.sent_at[0] > plan.planned_at
    last_up = max(arm.check.first_hit_at for arm in run.arms)
    assert sent.sent_at[-1] - last_up == pytest.approx(HOUR * SECOND, abs=10 * SECOND)
    assert run.closed_at - sent.sent_at[-1] == pytest.approx(plan.request.drain_s * SECOND, abs=2 * SECOND)
    assert run.closed_at % SECOND == SECOND - 1
    for arm in run.arms:
        creation, check = arm.creation, arm.check
        assert sent.sent_at[0] < creation["t0_before_call"] <= creation["t0_service"] <= creation["t0_after_call"]
        assert arm.counts.before_first_record > 0
        assert sent.sent_at[arm.first - 1] < creation["t0_service"] <= sent.sent_at[arm.first]
        assert check.status == DELIVERED
        assert check.first_probe_at == arm.records.ingested_at.min()
        assert check.last_miss_at is None or check.last_miss_at < check.first_probe_at
        assert check.first_probe_at < check.first_hit_at
    assert (run.summary.verdict, run.summary.reasons) == ("complete", ())


def test_where_nothing_is_recorded_the_run_is_void_and_its_arms_are_expired():
    run = only_run(trouble=Trouble(loss=1))

    assert run.summary.verdict == "void"
    for arm in run.arms:
        assert arm.check.status == EXPIRED
        assert arm.check.first_record_at is not None
        assert (arm.counts.observed, arm.counts.before_first_record) == (0, 0)
        assert arm.counts.missing[NOT_RECORDED] == np.count_nonzero(run.traffic.is_sent)


def test_an_arm_has_the_same_packets_as_the_others_and_a_phase_of_its_own():
    run = only_run()

    assert len({arm.schedule.phase for arm in run.arms}) == len(FOUR)
    first = max(arm.first for arm in run.arms)
    assert all(
        (arm.observed[arm.observed >= first] == np.arange(first, len(run.traffic.ticks))).all() for arm in run.arms
    )


# ---------------------------------------------------------------- campaigns
def test_runs_are_spread_over_the_day_and_jittered():
    plans = list(a_campaign(runs=9, regions=("us-east-1", "eu-west-1")).plans())

    assert len({plan.run_id for plan in plans}) == 18
    for region in ("us-east-1", "eu-west-1"):
        begins = np.array([plan.planned_at for plan in plans if plan.region == region])
        jitter = begins - BEGIN - np.arange(9) * 6 * HOUR * SECOND
        assert 0 <= jitter.min() < jitter.max() < FLEXIBLE_S * SECOND


@pytest.mark.parametrize(("traffic_s", "runs_per_day"), [(HOUR, 24), (4 * HOUR, 4), (10 * HOUR, 4), (24 * HOUR, 1)])
def test_runs_in_a_region_do_not_overlap_and_keep_their_hours(traffic_s, runs_per_day):
    request = RunRequest(traffic_s=traffic_s)
    runs = list(a_campaign(request=request, runs=3, runs_per_day=runs_per_day).simulate())

    for run, next_run in pairwise(runs):
        assert run.closed_at < next_run.plan.planned_at
    for run in runs:
        assert (run.plan.planned_at - BEGIN) % (24 * HOUR // runs_per_day * SECOND) < FLEXIBLE_S * SECOND


def test_a_longer_campaign_has_the_same_runs_first():
    short, long = (list(a_campaign(runs=runs, trouble=EVERYTHING).simulate()) for runs in (1, 2))

    assert dict(objects(short[0])) == dict(objects(long[0]))
    assert dict(objects(long[0])) != dict(objects(long[1]))


def test_seeds_and_regions_differ_and_losses_leave_phases_alone():
    usual, seeded, lossy = (
        only_run(**each) for each in ({}, {"seed": 2}, {"trouble": Trouble(loss=0.1, wire_loss=0.1)})
    )
    elsewhere = only_run(regions=("eu-west-1",))

    phases = [
        [(arm.schedule.phase, arm.schedule.lag) for arm in run.arms] for run in (usual, seeded, elsewhere, lossy)
    ]
    assert phases[0] == phases[3]
    assert not set(phases[0]) & set(phases[1])
    assert not set(phases[0]) & set(phases[2])


# ---------------------------------------------------------------- what is true
@pytest.mark.parametrize("number", [1, 2, 3, 100, 101, 4_321])
@pytest.mark.parametrize("missing", [0, 1, 7, 400])
def test_percentiles_are_type_7_with_what_is_missing_later_than_all(number, missing):
    delays = chance(number).integers(0, 10**9, number)
    later = np.concatenate(
        [delays / SECOND, np.full(missing, np.nan)]
    )  # NumPy has NaN last, and in what touches it
    with np.errstate(invalid="ignore"):
        ordered = np.sort(later)
        places = [share * (len(ordered) - 1) for share in (0.5, 0.9, 0.95, 0.99)]
        expected = [
            ordered[int(np.floor(place + 1e-9))] * (1 - place % 1)
            + ordered[int(np.ceil(place - 1e-9))] * (place % 1)
            for place in places
        ]

    found = spread(delays, missing)

    assert (found["min"], found["max"]) == (delays.min() / SECOND, delays.max() / SECOND)
    for name, value in zip(("p50", "p90", "p95", "p99"), expected, strict=True):
        assert found[name] == (None if np.isnan(value) else pytest.approx(value, abs=1e-6)), name


def test_without_a_delay_there_is_no_spread():
    assert spread(np.empty(0, np.int64), 3) is None


def test_the_population_of_nitro_is_a_trapezoid():
    """A wait of 0 to 60 s and a lag of 20 to 40 s, uniform and independent: percentiles can be written down."""
    found = population(NITRO, Disturbance(), rate=10, clock=1, chance=chance())

    assert found["p50"] == pytest.approx(60, abs=0.1)
    assert found["p95"] == pytest.approx(100 - (2 * 60 * 20 * 0.05) ** 0.5, abs=0.1)
    assert found["min"] == pytest.approx(20, abs=0.2)
    assert found["max"] == pytest.approx(100, abs=0.2)


def test_the_population_has_losses_in_its_denominator():
    usual, lossy = (
        population(NITRO, Disturbance(loss=loss), rate=1, clock=MILLISECOND, chance=chance()) for loss in (0, 0.3)
    )

    assert lossy["p50"] == pytest.approx(60 + 60 * (0.5 / 0.7 - 0.5), abs=0.5)  # a sixtieth of all in each second
    assert lossy["p90"] is None
    assert usual["p90"] is not None


def test_the_runs_of_a_campaign_are_a_sample_of_the_population():
    request = RunRequest(traffic_s=600, first_delivery_timeout_s=600, arms=(Arm(aggregation_interval_s=60),))
    runs = a_campaign(preset=NITRO, request=request, runs=100).simulate()
    delays = [(run.arms[0].records.ingested_at - run.traffic.sent_at)[run.arms[0].observed] for run in runs]

    found = spread(np.concatenate(delays))

    expected = population(NITRO, Disturbance(), rate=1, clock=MILLISECOND, chance=chance())
    for name in ("p50", "p90", "p95", "p99"):
        assert found[name] == pytest.approx(expected[name], abs=2.5), name  # four standard errors of 100 lags
