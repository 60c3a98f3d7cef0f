"""What a probe is, read back by scapy."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw

from flowlag.signature import is_signed
from sender.packets import build


# The order never changes: it is safe to share between examples.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 65_535))
def test_a_probe_is_a_bare_syn_from_its_port(order, srcport):
    packet = IP(build(order, srcport))
    assert (packet.version, packet.ihl, packet.proto) == (4, 5, 6)
    assert (packet.src, packet.dst) == (order.source, order.target)
    tcp = packet[TCP]
    assert (tcp.sport, tcp.dport, str(tcp.flags), tcp.options) == (srcport, order.port, "S", [])


def test_its_length_is_the_signature(order):
    probe = build(order, 1)
    assert IP(probe).len == len(probe) == 540
    assert is_signed(len(probe), packets=1, payload=order.payload_bytes)


def test_its_checksums_are_right(order):
    packet = IP(build(order, 54_321))
    sent = (packet.chksum, packet[TCP].chksum)
    del packet.chksum, packet[TCP].chksum
    right = IP(bytes(packet))
    assert sent == (right.chksum, right[TCP].chksum)


def test_its_payload_says_whose_it_is(order):
    assert IP(build(order, 1))[Raw].load.startswith(b"flowlag run-1 .....")


def test_no_path_needs_to_fragment_it(order):
    assert IP(build(order, 1)).flags == "DF"
