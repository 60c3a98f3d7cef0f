"""Every API call is refused at first, as AWS refuses them to an account that asks too often."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.flow_logs.faults import Faults
from local.network.virtual import unavailable
from tests.faults.runs import Run, Stack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(unavailable() is not None, reason=f"no virtual network: {unavailable()}"),
]

REFUSED = 1
ARMS = {
    "cloudwatch-600": {"destination": "cloud-watch-logs", "aggregation_interval_s": 600},
    "s3-text-600": {"destination": "s3", "file_format": "plain-text", "aggregation_interval_s": 600},
}
"""One to each destination: every further arm waits for its refused calls, too."""


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults(throttled=REFUSED)


@pytest.fixture(scope="module")
def throttled(stack: Stack) -> Run:
    return stack.start("throttled", arms=[*ARMS.values()]).ended()


def test_the_run_is_complete(throttled: Run) -> None:
    assert (throttled.row["verdict"], throttled.row["reasons"]) == ("complete", [])
    assert {tick for tick, outcome in throttled.ledger.items() if outcome == "sent"} == set(throttled.left)


@pytest.mark.parametrize("arm", ARMS)
def test_every_probe_is_observed(throttled: Run, arm: str) -> None:
    expected = throttled.account(arm)
    assert throttled.counts(arm).items() >= expected.items()
    assert expected["observed"] + expected["expected_missing"] == expected["ledger_ticks"] > 50
    begin = min(throttled.observations[arm])
    assert set(throttled.observations[arm]) == {tick for tick in throttled.left if tick >= begin}


def test_a_function_that_asks_no_further_is_refused(stack: Stack) -> None:
    """So the run was."""
    function = next(
        each["FunctionArn"]
        for page in stack.client("lambda").get_paginator("list_functions").paginate()
        for each in page["Functions"]
        if "PlanRunFunction" in each["FunctionName"]
    )
    role = stack.client("lambda").get_function_configuration(FunctionName=function)["Role"]
    credentials = stack.client("sts").assume_role(RoleArn=role, RoleSessionName="impatient")["Credentials"]
    s3 = boto3.client(
        "s3",
        endpoint_url=stack.region.endpoint,
        region_name=stack.region.name,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        config=Config(retries={"total_max_attempts": REFUSED}),
    )
    with pytest.raises(ClientError, match="SlowDown"):
        s3.list_objects_v2(Bucket=stack.work, Prefix="control/")
