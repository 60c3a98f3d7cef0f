"""Throttling on the embedded AWS: who asks with the rights of a role is refused, as each service says it."""

import pytest
from botocore.exceptions import ClientError

from local.cloud.region import Region
from local.flow_logs.cloud import SESSION
from local.flow_logs.faults import Faults
from tests.local.stacks import assumed, create, error_of, may, role

pytestmark = pytest.mark.slow

REFUSED = 2


@pytest.fixture(scope="module")
def region():
    with Region(faults=Faults(throttled=REFUSED)) as region:
        yield region


@pytest.fixture(scope="module")
def role_arn(region):
    everything = role("lambda.amazonaws.com", may("*"))
    return create(region, "throttled", {"Role": everything}, {"Arn": {"Fn::GetAtt": ["Role", "Arn"]}})["Arn"]


@pytest.fixture
def client(region, role_arn):
    def client(service, attempts, session="test"):
        retries = {"mode": "standard", "total_max_attempts": attempts}
        return assumed(region, role_arn, service, session, retries=retries)

    return client


CALLS = {
    "ec2": ("describe_flow_logs", "RequestLimitExceeded", 503),
    "logs": ("describe_log_groups", "ThrottlingException", 400),
    "s3": ("list_buckets", "SlowDown", 503),
    "ssm": ("describe_instance_information", "ThrottlingException", 400),
    "stepfunctions": ("list_state_machines", "ThrottlingException", 400),
    "sts": ("get_caller_identity", "Throttling", 400),
}


@pytest.mark.parametrize("service", CALLS)
def test_each_service_refuses_in_its_own_words(client, service):
    operation, code, status = CALLS[service]
    with pytest.raises(ClientError) as failure:
        getattr(client(service, attempts=1), operation)()
    assert failure.value.response["Error"]["Code"] == code
    assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


@pytest.mark.parametrize("service", ["ec2", "logs", "s3"])
def test_so_many_attempts_are_refused_and_no_more(client, service):
    operation, code, _ = CALLS[service]
    assert error_of(getattr(client(service, attempts=REFUSED), operation)) == code
    answer = getattr(client(service, attempts=REFUSED + 1), operation)()
    assert answer["ResponseMetadata"]["RetryAttempts"] == REFUSED


def test_who_plays_aws_is_not_refused(region, client):
    assert region.client("logs").describe_log_groups()["ResponseMetadata"]["RetryAttempts"] == 0
    assert client("logs", attempts=1, session=SESSION).describe_log_groups()["logGroups"] == []
