"""docs/method.md: the sizes in the error budget are those of the code."""

import json
import re

import pytest
from click.testing import CliRunner

from flowlag.errors import InvalidRequest, StampDisagreement
from flowlag.plan import RunRequest
from flowlag.stamp import CLOCK_TOLERANCE_US, PORTS, decode, decode_delivered, due_at, encode, tick_at
from flowlag_report.profile import SHARES
from local.cli import main
from local.sources import read
from tests.docs.shell import DOCUMENTS
from tests.local.test_analyze_sources import export, insights_time

TEXT = DOCUMENTS["docs/method.md"]
BUDGET = TEXT.partition("## The error of a delay\n")[2].partition("\n## ")[0]
TERMS = dict(re.findall(r"(?m)^\| (?!term|-)([^|]+) \| (.*) \|$", BUDGET))

SECOND = 1_000_000
T0 = 1_646_334_040
SLOWEST, FASTEST = 1, 10
"""Probes a second."""


def invoked(*arguments):
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_these_are_the_terms():
    assert [*TERMS] == [
        "reading the clock before the send",
        "the sender's clock",
        "AWS's clocks",
        "`ingestionTime`",
        "`LastModified`",
        "kept as microseconds",
        "no ledger",
        "the wrong tick",
    ]


def test_rates_are_from_one_to_ten_a_second():
    for rate in (SLOWEST - 1, FASTEST + 1):
        with pytest.raises(InvalidRequest, match=f"rate is a whole number from {SLOWEST} to {FASTEST}"):
            RunRequest.of_json({"rate": rate})


def test_without_a_ledger_a_probe_is_taken_for_the_beginning_of_its_tick(tmp_path):
    """Whenever in its tick it left: by up to a whole one the delay is too long."""
    for rate in (SLOWEST, FASTEST):
        last_ns = (T0 + 1) * 10**9 - 1
        tick = tick_at(last_ns, rate)
        assert 0 < last_ns / 1_000 - due_at(tick, rate) <= SECOND / rate
    path = export(
        tmp_path / "rows.csv", [(insights_time((T0 + 90) * SECOND), insights_time(T0 * SECOND), encode(T0))]
    )
    (series,) = read([path], port=7_777, rate=1).series
    assert series.sent_at.tolist() == [T0 * SECOND]
    assert TERMS["no ledger"].startswith(
        f"0 to +{1 / SLOWEST:g} at one probe a second, 0 to +{1 / FASTEST:g} at ten "
    )


def test_a_tick_is_right_within_half_a_horizon_and_else_refused():
    half_s = PORTS // 2
    for off in (-half_s + 1, half_s):
        assert decode(encode(T0), (T0 + off) * SECOND, SLOWEST) == T0
    assert decode(encode(T0), (T0 + half_s + 1) * SECOND, SLOWEST) == T0 + PORTS
    with pytest.raises(StampDisagreement):
        decode_delivered(encode(T0), T0 * SECOND, T0 * SECOND - CLOCK_TOLERANCE_US - 1, SLOWEST)
    told = TERMS["the wrong tick"]
    for phrase in (
        f"{PORTS / SLOWEST / 3_600:.1f} h ({PORTS / FASTEST / 3_600:.1f} h at ten a second)",
        f"{half_s / SLOWEST / 3_600:.1f} h ({half_s / FASTEST / 60:.0f} min)",
        f"with {CLOCK_TOLERANCE_US / SECOND:g} s for clocks that differ",
    ):
        assert phrase in told


def test_pooled_percentiles_of_the_report_are_within_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr("local.simulate.truth.FLOW_LOGS", 10)
    invoked("simulate", "--experiment", "default", "--runs", 5, "--out", tmp_path / "results")
    exact = {arm["arm"]: arm["delay_s"] for arm in invoked("analyze", tmp_path / "results")["arms"]}
    shown = invoked("report", tmp_path / "results", "-o", tmp_path / "page.html")["arms"]
    assert len(shown) == 4
    for arm, told in shown.items():
        for name in ("p50", "p90", "p95", "p99"):
            assert told["delay_s"][name] == pytest.approx(exact[arm][name], abs=1)
    assert f"some {len(SHARES)} percentiles of each run" in BUDGET
    assert "within a second of `flowlag analyze`" in " ".join(BUDGET.split())
