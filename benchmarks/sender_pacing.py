"""How far from its tick does a probe arrive?

Runs the sender and the capture as an instance does, on two network namespaces of this machine, at several rates one
after the other, and prints the offset of the kernel's receive time from the instant at which each tick was due.
Takes about a minute; --seconds makes it longer. Needs Linux and the right to make network namespaces.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flowlag.capture import parse_capture
from flowlag.distribution import Distribution
from flowlag.ledger import MISSED, SENT, parse_ledger
from flowlag.stamp import due_at
from local.network.virtual import Host, Network, become_network_root, unavailable
from sender.order import Order


def main() -> None:
    """Print one row for each rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[1, 10, 100], metavar="RATE")
    parser.add_argument("--seconds", type=int, default=19, help="for each rate")
    arguments = parser.parse_args()
    become_network_root()
    if reason := unavailable():
        sys.exit(f"sender_pacing: {reason}")
    print(f"{'rate/s':>7}{'sent':>7}{'missed':>8}{'seen':>7}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    with tempfile.TemporaryDirectory() as home, Network() as network:
        for rate in arguments.rates:
            order = Order(
                run_id=f"pacing-{rate}",
                bucket="none",
                source=network.sender.address,
                target=network.target.address,
                port=7777,
                rate=rate,
                payload_bytes=500,
                duration_s=arguments.seconds,
                home=Path(home),
            )
            measure(order, network)


def measure(order: Order, network: Network) -> None:
    """Send and capture one run, and print its row."""
    capturing = _worker("capture", order, network.target)
    while not (order.capture.exists() and order.capture.read_text()):
        time.sleep(0.05)
    _worker("send", order, network.sender).wait()
    capturing.terminate()
    capturing.wait()
    outcomes = [entry.outcome for entry in parse_ledger(order.ledger.read_text()).entries]
    seen = parse_capture(order.capture.read_text(), order.rate).seen
    offsets = Distribution.of([(at - due_at(tick, order.rate)) / 1_000 for tick, at in seen.items()])
    if offsets is None:
        sys.exit(f"sender_pacing: no probe arrived at {order.rate} a second")
    counts = f"{order.rate:7}{outcomes.count(SENT):7}{outcomes.count(MISSED):8}{len(seen):7}"
    print(f"{counts}{offsets.p50:9.3f}{offsets.p99:9.3f}{offsets.max:9.3f}")


def _worker(action: str, order: Order, host: Host) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(order.home), "FLOWLAG_HOME": str(order.home)}
    return host.popen([sys.executable, "-m", "sender", action, *order.arguments()], env=environment)


if __name__ == "__main__":
    main()
