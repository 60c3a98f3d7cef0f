"""The faults of the flow-log service, as values. What they do is in the tests of who does it."""

import pytest

from flowlag.errors import InvalidRequest
from local.flow_logs.faults import NONE, Faults


def test_faults_survive_a_command_line():
    faults = Faults(wire_loss=0.1, loss=0.05, twice=True, after_deletion=True, truncated=True, throttled=2, seed=7)
    assert Faults.of_json(faults.to_json()) == faults
    assert Faults.of_json("{}") == NONE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "5",
        '{"loss": 1.1}',
        '{"wire_loss": -0.1}',
        '{"loss": "much"}',
        '{"throttled": -1}',
        '{"noise": 1}',
    ],
)
def test_what_is_no_set_of_faults_is_refused(text):
    with pytest.raises(InvalidRequest):
        Faults.of_json(text)


def test_the_lost_records_of_a_window_are_the_same_each_time_and_others_in_other_windows():
    records = range(1_000)
    spared = [tuple(Faults(loss=0.05).spare(records, window)) for window in ("w1", "w1", "w2")]
    assert spared[0] == spared[1] != spared[2]
    assert Faults(loss=0.05, seed=1).spare(records, "w1") != list(spared[0])
    for each in spared:
        assert list(each) == sorted(each)
        assert 920 < len(each) < 980


@pytest.mark.parametrize(("loss", "left"), [(0, 100), (1, 0)])
def test_nothing_and_everything_can_be_lost(loss, left):
    assert len(Faults(loss=loss).spare(range(100), "w1")) == left
