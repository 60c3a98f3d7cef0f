"""The traffic of a run: what a sender has sent, and what becomes of each probe. Nothing is left to chance."""

from dataclasses import dataclass

PORTS = 65_536

N_PROBES = 20
BEFORE_FLOW_LOG = range(3)
LOST_ON_WIRE = 9
NOT_RECORDED = 14
FIRST_BURST = range(3, 10)
SECOND_BURST = range(10, 20)
DELIVERED_TWICE = 5

STALE_S = 120
"""The record of an older flow log reports a probe that left so long before those of the run."""

type Order = dict[str, str]
"""What an instance is ordered: the parameters of the stack's document."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a sender that was ordered to send has sent, and what becomes of each probe, by its place in the run.

    All probes are past when the order is given, so that no test waits for one.
    """

    order: Order
    ordered_ns: int
    sender_interface: str
    target_interface: str

    @property
    def rate(self) -> int:
        """Probes a second."""
        return int(self.order["Rate"])

    @property
    def ticks(self) -> range:
        """The ticks, up to the order. None has source port 0, which is not sent."""
        first = self.ordered_ns * self.rate // 1_000_000_000 - N_PROBES
        if -first % PORTS < N_PROBES:
            first -= N_PROBES
        return range(first, first + N_PROBES)

    def sent_ns(self, tick: int) -> int:
        """When a probe left: up to 600 µs after it was due."""
        return -(-tick * 1_000_000_000 // self.rate) + tick % 7 * 100_000

    def seen_ns(self, tick: int) -> int:
        """When it arrived at the target."""
        return self.sent_ns(tick) + 350_000

    def recorded(self, burst: range) -> list[int]:
        """The ticks that a burst of deliveries reports."""
        return [self.ticks[place] for place in burst if place not in (LOST_ON_WIRE, NOT_RECORDED)]

    @property
    def observed(self) -> list[int]:
        """The ticks that a good run observes."""
        return self.recorded(FIRST_BURST) + self.recorded(SECOND_BURST)

    @property
    def ledger(self) -> str:
        """What the sender uploads when it is stopped."""
        lines = (f"{tick},{tick % PORTS},{self.sent_ns(tick)},sent" for tick in self.ticks)
        return "\n".join(["tick,srcport,sent_ns,outcome", *lines, "end", ""])

    @property
    def capture(self) -> str:
        """What the target uploads when it is stopped."""
        seen = [tick for place, tick in enumerate(self.ticks) if place != LOST_ON_WIRE]
        lines = (f"{tick % PORTS},{self.seen_ns(tick)}" for tick in seen)
        return "\n".join(["srcport,seen_ns", *lines, "end", ""])
