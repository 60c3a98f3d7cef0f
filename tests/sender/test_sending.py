"""Sending, with a clock, a wire and a stop of the test's own."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from flowlag.errors import InvalidRequest
from flowlag.ledger import FAILED, HEADER, MISSED, SENT, SKIPPED, Ledger, parse_ledger
from flowlag.stamp import PORTS, encode, tick_at
from sender.order import Order
from sender.sending import send

EPOCH_NS = 1_700_000_000_500_000_000
WRAP_TICK = 1_700_000_000 // PORTS * PORTS + PORTS


@dataclass
class World:
    """Time that passes only while one waits, and a wire that may refuse."""

    now_ns: int = EPOCH_NS
    oversleep_s: dict[int, float] = field(default_factory=dict)
    refuses: Callable[[int], bool] = lambda _: False
    on_wire: Callable[[], object] = lambda: None
    stop_after_waits: int = 1_000_000
    waits: int = 0
    wire: list[tuple[int, int]] = field(default_factory=list)

    def send(self, order: Order) -> Ledger:
        send(order, build=self._build, wire=self._send, wait=self._wait, clock=lambda: self.now_ns)
        return parse_ledger(order.ledger.read_text())

    def _build(self, srcport: int) -> bytes:
        return str(srcport).encode()

    def _send(self, probe: bytes) -> None:
        self.on_wire()
        if self.refuses(int(probe)):
            raise OSError(101, "Network is unreachable")
        self.wire.append((self.now_ns, int(probe)))

    def _wait(self, seconds: float) -> bool:
        self.waits += 1
        self.now_ns += round((seconds + self.oversleep_s.get(self.waits, 0)) * 1e9)
        return self.waits > self.stop_after_waits


@pytest.fixture
def order(order: Order) -> Order:
    return replace(order, rate=1, duration_s=10)


def test_each_tick_is_sent_at_its_second_and_the_ledger_says_so(order):
    world = World()
    ledger = world.send(order)
    first = tick_at(EPOCH_NS, 1) + 1
    assert ledger.closed
    assert [entry.tick for entry in ledger.entries] == list(range(first, first + 10))
    assert [entry.outcome for entry in ledger.entries] == [SENT] * 10
    assert [(entry.sent_ns, entry.srcport) for entry in ledger.entries] == world.wire
    assert [sent // 1_000_000_000 for sent, _ in world.wire] == [entry.tick for entry in ledger.entries]


def test_the_duration_counts_in_seconds_at_any_rate(order):
    ledger = World().send(replace(order, rate=4))
    assert len(ledger.entries) == 40
    assert {entry.lateness_s(4) for entry in ledger.entries} == {0.0}


def test_a_missed_tick_is_written_down_and_nothing_is_sent_for_it(order):
    world = World(oversleep_s={3: 2.5})
    ledger = world.send(order)
    outcomes = [entry.outcome for entry in ledger.entries]
    assert outcomes == [SENT, SENT, MISSED, MISSED, *[SENT] * 6]
    assert len(world.wire) == 8
    assert [entry.sent_ns for entry in ledger.entries if entry.outcome == MISSED] == [None, None]


def test_source_port_zero_is_skipped_at_the_wrap(order):
    world = World(now_ns=(WRAP_TICK - 4) * 1_000_000_000)
    ledger = world.send(order)
    skipped = [entry for entry in ledger.entries if entry.outcome == SKIPPED]
    assert [(entry.tick, entry.srcport, entry.sent_ns) for entry in skipped] == [(WRAP_TICK, 0, None)]
    assert [port for _, port in world.wire] == [65_533, 65_534, 65_535, 1, 2, 3, 4, 5, 6]


def test_source_port_zero_is_skipped_even_when_its_tick_passed_asleep(order):
    ledger = World(now_ns=(WRAP_TICK - 4) * 1_000_000_000, oversleep_s={3: 3.2}).send(order)
    outcomes = {entry.srcport: entry.outcome for entry in ledger.entries}
    assert (outcomes[65_535], outcomes[0], outcomes[1], outcomes[2]) == (MISSED, SKIPPED, MISSED, SENT)


def test_a_refused_probe_is_told_and_the_next_is_sent(order, caplog):
    refused = encode(tick_at(EPOCH_NS, 1) + 4)
    ledger = World(refuses=lambda port: port == refused).send(order)
    assert [entry.outcome for entry in ledger.entries] == [*[SENT] * 3, FAILED, *[SENT] * 6]
    assert "Network is unreachable" in caplog.text


def test_it_ends_at_once_when_the_very_first_probe_is_refused(order):
    ledger = World(refuses=lambda _: True).send(order)
    assert [entry.outcome for entry in ledger.entries] == [FAILED]


def test_told_to_stop_it_closes_the_ledger(order):
    ledger = World(stop_after_waits=4).send(order)
    assert ledger.closed
    assert len(ledger.entries) == 4


def test_every_line_is_in_the_file_before_the_next_probe_leaves(order):
    seen: list[int] = []
    World(on_wire=lambda: seen.append(len(parse_ledger(order.ledger.read_text()).entries))).send(order)
    assert seen == list(range(10))


def test_a_crash_leaves_a_ledger_without_its_end(order):
    def crash() -> None:
        if parse_ledger(order.ledger.read_text()).entries:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        World(on_wire=crash).send(order)
    ledger = parse_ledger(order.ledger.read_text())
    assert (len(ledger.entries), ledger.closed) == (1, False)


def test_a_run_is_sent_once(order):
    World().send(order)
    before = order.ledger.read_bytes()
    with pytest.raises(InvalidRequest, match="was sent before"):
        World().send(order)
    assert order.ledger.read_bytes() == before


def test_the_ledger_is_where_the_order_says(order, tmp_path: Path):
    World().send(order)
    assert order.ledger == tmp_path / "home" / "runs" / "run-1" / "ledger.csv"
    assert order.ledger.read_text().startswith(f"{HEADER}\n")
