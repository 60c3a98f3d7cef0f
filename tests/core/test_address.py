import pytest

from flowlag.address import check_private
from flowlag.errors import InvalidRequest


@pytest.mark.parametrize(
    "address",
    ["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
)
def test_private_addresses_may_be_probed(address: str) -> None:
    check_private(address, "target")


@pytest.mark.parametrize(
    "address",
    [
        "9.255.255.255",
        "11.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "8.8.8.8",
        "0.0.0.0",  # noqa: S104 - refused
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_every_other_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_private(address, "target")
    assert str(refused.value) == (
        f"target is a private IPv4 address (RFC 1918) of your own network, not {address}: "
        "probes go to our own target only"
    )


@pytest.mark.parametrize(
    "text", ["", "10.0.0", "10.0.0.0/8", "010.0.0.1", "10.0.0.1 ", "::ffff:10.0.0.1", "a.example"]
)
def test_what_is_no_ipv4_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_private(text, "the target's address")
    assert str(refused.value) == f"the target's address is an IPv4 address, not '{text}'"


def test_a_sentence_about_a_long_text_stays_short() -> None:
    with pytest.raises(InvalidRequest, match=r"not '1{80}'$"):
        check_private("1" * 1_000, "target")
