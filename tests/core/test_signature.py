from hypothesis import given
from hypothesis import strategies as st

from flowlag.signature import HEADERS_BYTES, LONGEST, SHORTEST, is_signed, payload_bytes

LENGTHS = st.integers(SHORTEST, LONGEST)


@given(st.text())
def test_a_probe_is_never_longer_than_any_path_carries_unfragmented(run_id: str) -> None:
    assert SHORTEST <= payload_bytes(run_id) <= LONGEST
    assert HEADERS_BYTES + payload_bytes(run_id) < 1_280


def test_the_runs_of_a_campaign_use_the_whole_range_of_lengths() -> None:
    lengths = {payload_bytes(f"run-{number}") for number in range(20_000)}
    assert lengths == set(range(SHORTEST, LONGEST + 1))


def test_a_run_keeps_its_length_in_every_version_of_flowlag() -> None:
    assert payload_bytes("run-1") == 677


@given(LENGTHS, st.integers(0, 20))
def test_a_probe_followed_by_any_number_of_resets_is_signed(payload: int, resets: int) -> None:
    record_bytes = HEADERS_BYTES + payload + resets * HEADERS_BYTES
    assert is_signed(record_bytes, 1 + resets, payload)


@given(LENGTHS, LENGTHS, st.integers(0, 20))
def test_a_probe_is_signed_by_its_own_run_only(payload: int, other: int, resets: int) -> None:
    record_bytes = HEADERS_BYTES + payload + resets * HEADERS_BYTES
    assert is_signed(record_bytes, 1 + resets, other) == (payload == other)


@given(LENGTHS, st.integers(1, 20))
def test_packets_without_payload_are_not_signed(payload: int, packets: int) -> None:
    assert not is_signed(packets * HEADERS_BYTES, packets, payload)


@given(LENGTHS)
def test_two_probes_in_one_record_are_not_taken_for_one(payload: int) -> None:
    assert not is_signed(2 * (HEADERS_BYTES + payload), 2, payload)
