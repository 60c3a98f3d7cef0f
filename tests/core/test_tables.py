from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag.first_delivery import FirstDelivery
from flowlag.ledger import LedgerEntry
from flowlag.observation import Observation
from flowlag.reconcile import Counts
from flowlag.tables import (
    FIRST_DELIVERIES,
    LEDGER,
    MISSING_REASONS,
    OBSERVATIONS,
    PROFILES,
    RUNS,
    TABLES,
    object_key,
    profile_key,
)

DELAYS = {"delay_s", "ingest_delay_s", "timestamp_error_s", "subscription_delay_s"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_a_key_names_its_table_region_day_and_object() -> None:
    key = object_key("observations", "eu-west-1", 1_646_334_040_999_999, "run-1-cloudwatch-600")
    assert key == "observations/region=eu-west-1/dt=2022-03-03/run-1-cloudwatch-600.parquet"


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds are naive
def test_the_day_of_a_key_is_the_utc_day_of_the_instant(at: datetime) -> None:
    key = object_key("runs", "eu-west-1", (at - EPOCH) // timedelta(microseconds=1), "run-1")
    assert key.split("/")[2] == f"dt={at:%Y-%m-%d}"


def test_the_last_microsecond_of_a_day_is_not_yet_the_next() -> None:
    midnight = 1_646_352_000_000_000
    assert "dt=2022-03-03" in object_key("runs", "eu-west-1", midnight - 1, "run-1")
    assert "dt=2022-03-04" in object_key("runs", "eu-west-1", midnight, "run-1")


def test_a_profile_lies_by_region_and_day_as_rows_do_and_in_no_table() -> None:
    at = 1_646_352_000_000_000
    key = profile_key("eu-west-1", at, "run-1", "cloudwatch-600")
    assert key == "profiles/region=eu-west-1/dt=2022-03-04/run-1.cloudwatch-600.json"
    assert key.rpartition("/")[0] == object_key("profiles", "eu-west-1", at, "run-1").rpartition("/")[0]
    assert PROFILES not in TABLES


def test_an_observations_row_is_an_observation_with_its_delays_and_without_its_partition() -> None:
    assert set(OBSERVATIONS) == set(Observation._fields) - {"region"} | DELAYS


def test_a_ledger_row_holds_what_the_ledger_says() -> None:
    assert set(LedgerEntry._fields) < set(LEDGER)


def test_a_row_of_a_first_delivery_holds_what_the_looks_have_shown() -> None:
    assert FirstDelivery().to_json().keys() < FIRST_DELIVERIES.keys()


def test_a_run_counts_for_each_arm_everything_that_was_counted() -> None:
    members = RUNS["arms"].removeprefix("array<struct<").removesuffix(">>").split(",")
    counted = {*Counts.__dataclass_fields__, *MISSING_REASONS} - {"missing"}
    assert {f"{name}:bigint" for name in counted} < set(members)


@pytest.mark.parametrize("table", TABLES)
def test_every_row_says_which_run_and_which_source_it_is_of(table: str) -> None:
    assert {"run_id", "source"} <= set(TABLES[table])


@pytest.mark.parametrize("table", TABLES)
def test_partitions_are_not_columns(table: str) -> None:
    assert not {"region", "dt"} & set(TABLES[table])
