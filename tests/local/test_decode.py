"""`flowlag decode`: one stamp."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from flowlag.stamp import PORTS, encode
from local.cli import main
from local.decode import Decoded, Near


def decode(*arguments):
    result = CliRunner().invoke(main, ["decode", *arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_a_port_of_episode_18():
    answer = json.loads(decode("4184", "--near", "2022-03-03T19:00:40Z", "--json"))
    assert answer == {
        "port": 4184,
        "near": "2022-03-03T19:00:40Z",
        "zone_assumed": False,
        "rate": 1,
        "horizon_s": 65_536.0,
        "tick": 1_646_334_040,
        "due_at": "2022-03-03T19:00:40Z",
        "epoch_s": 1_646_334_040.0,
        "previous": {"tick": 1_646_268_504, "due_at": "2022-03-03T00:48:24Z", "epoch_s": 1_646_268_504.0},
        "next": {"tick": 1_646_399_576, "due_at": "2022-03-04T13:12:56Z", "epoch_s": 1_646_399_576.0},
    }


def test_people_read_the_tick_its_instant_and_the_candidates_beside_it():
    text = decode("4184", "--near", "1646334041")
    assert text.startswith("Source port 4184 is tick 1646334040, due at 2022-03-03T19:00:40Z.\n")
    assert "previous" in text
    assert "1646268504   2022-03-03T00:48:24Z" in text
    assert "1646399576   2022-03-04T13:12:56Z" in text


@pytest.mark.parametrize(
    "near", ["2022-03-03T19:00:40Z", "2022-03-03 20:00:40+01:00", "20220303T190040Z", "1646334040", "1646334040.0"]
)
def test_a_time_in_any_zone_or_in_epoch_seconds(near):
    assert Near.of(near) == (1_646_334_040_000_000, False)


def test_a_time_without_a_zone_is_utc_and_the_answer_says_so():
    assert json.loads(decode("4184", "--near", "2022-03-03T19:00:40", "--json"))["zone_assumed"] is True
    assert "without a zone, taken as UTC" in " ".join(decode("4184", "--near", "2022-03-03T19:00:40").split())


def test_the_nearest_tick_may_lie_on_the_other_side_of_a_wrap():
    wrap = 25_123 * PORTS
    before, after = Near.of(str(wrap - 10)), Near.of(str(wrap + 10))
    assert Decoded.of(encode(wrap + 5), before, 1).nearest.tick == wrap + 5
    assert Decoded.of(encode(wrap - 5), after, 1).nearest.tick == wrap - 5


def test_a_tick_between_two_seconds_has_decimals():
    answer = json.loads(decode("5", "--near", "2022-03-03T19:00:40Z", "--rate", "10", "--json"))
    assert answer["horizon_s"] == 6553.6
    assert answer["tick"] % PORTS == 5
    assert answer["epoch_s"] == answer["tick"] / 10
    assert datetime.fromisoformat(answer["due_at"]).timestamp() == pytest.approx(answer["tick"] / 10)


@given(
    tick=st.integers(10**9, 4 * 10**9),
    off=st.integers(-PORTS // 2 + 1, PORTS // 2 - 1),
    rate=st.integers(1, 10),
)
def test_every_tick_comes_back_from_anywhere_within_half_a_horizon(tick, off, rate):
    near = Near(((tick * rate + off) * 1_000_000 + rate - 1) // rate, zone_assumed=False)
    answer = Decoded.of(encode(tick * rate), near, rate)
    assert answer.nearest == (tick * rate, tick * 1_000_000)
    assert answer.next.tick - answer.nearest.tick == answer.nearest.tick - answer.previous.tick == PORTS


@pytest.mark.parametrize("port", ["0", "65535"])
@pytest.mark.parametrize("near", ["1970-01-03", "9999-12-29"])
def test_the_whole_calendar_has_candidates(port, near):
    answer = json.loads(decode(port, "--near", near, "--json"))
    assert answer["previous"]["due_at"] < answer["due_at"] < answer["next"]["due_at"]
    assert datetime.fromisoformat(answer["near"]) == datetime.fromisoformat(near).replace(tzinfo=UTC)
