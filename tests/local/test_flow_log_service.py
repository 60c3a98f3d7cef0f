"""The flow-log service at work: packets in, records out, against moto's EC2, STS, CloudWatch Logs and S3.

Time runs 300 times as fast: capture windows of 0.2 s, a burst of four deliveries every 2 s (or, as on Nitro, of one
every 0.2 s), a file in S3 every second.
"""

import gzip
import json
import re
import socket
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection
from types import SimpleNamespace

import boto3
import pytest
from moto.server import ThreadedMotoServer

from flowlag.delivery import PRESETS
from flowlag.record import PROBE_FORMAT
from local.flow_logs.faults import Faults
from local.flow_logs.service import FlowLogService
from local.network.capture import InMemoryCapture, InterfaceCapture
from local.network.virtual import SENDER_ADDRESS, TARGET_ADDRESS, InMemoryNetwork, Network, unavailable
from sender.order import Order
from sender.packets import build
from tests.ports import port_of_ours

pytestmark = pytest.mark.slow

REGION = "eu-west-1"
PORT = 7777
PROBES = range(1, 41)
PAYLOAD = 100
PATIENCE_S = 60
A_BURST = 4
GROUP = "/flowlag/run-1"
BUCKET = "records"
ACCOUNT = "123456789012"
TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "delivery.logs.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/AWSLogs/{ACCOUNT}/*",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
            "ArnLike": {"aws:SourceArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:*"},
        },
    },
}


def eventually(condition):
    """Wait for the condition to be true, whatever else this machine does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


# ---------------------------------------------------------------- a region to work in
@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"127.0.0.1:{port}"
    server.stop()


@pytest.fixture(scope="module")
def clients(moto):
    session = boto3.Session("test", "test", region_name=REGION)
    return [session.client(service, endpoint_url=f"http://{moto}") for service in ("ec2", "logs", "iam", "s3")]


@pytest.fixture(scope="module")
def image(clients):
    ec2, *_ = clients
    return ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


@pytest.fixture
def cloud(moto, clients, image):
    """A subnet with a sender in it, a role, a log group and a bucket."""
    ec2, logs, iam, s3 = clients
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]
    (instance,) = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet, PrivateIpAddress=SENDER_ADDRESS
    )["Instances"]
    role = iam.create_role(RoleName="delivery", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    logs.create_log_group(logGroupName=GROUP)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(POLICY))
    yield SimpleNamespace(
        ec2=ec2,
        logs=logs,
        s3=s3,
        role=role,
        vpc=vpc,
        subnet=subnet,
        instance=instance["InstanceId"],
        interface=instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
    )
    with closing(HTTPConnection(moto)) as connection:
        connection.request("POST", "/moto-api/reset")
        assert connection.getresponse().status == HTTPStatus.OK


def create_flow_log(cloud, resource=None, *, kind="NetworkInterface", group=GROUP, traffic="ALL"):
    answer = cloud.ec2.create_flow_logs(
        ResourceIds=[resource or cloud.interface],
        ResourceType=kind,
        TrafficType=traffic,
        LogDestinationType="cloud-watch-logs",
        LogGroupName=group,
        DeliverLogsPermissionArn=cloud.role,
        LogFormat=PROBE_FORMAT.log_format,
    )
    assert not answer["Unsuccessful"]
    return answer["FlowLogIds"][0]


def create_flow_log_to_s3(cloud, resource=None, *, kind="NetworkInterface"):
    """Moto knows no prefix in a bucket, and no DestinationOptions."""
    answer = cloud.ec2.create_flow_logs(
        ResourceIds=[resource or cloud.interface],
        ResourceType=kind,
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{BUCKET}",
        LogFormat=PROBE_FORMAT.log_format,
    )
    assert not answer["Unsuccessful"]
    return answer["FlowLogIds"][0]


def stored(cloud, group=GROUP):
    """The log events of a group, and the flow records that they carry."""
    pages = cloud.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    return [(event, PROBE_FORMAT.parse(event["message"])) for page in pages for event in page["events"]]


def flows(cloud, group=GROUP):
    """The flow records of a group that tell of traffic."""
    return [record for _, record in stored(cloud, group) if record.status == "OK"]


def objects(cloud):
    """When each object of the bucket was last modified, by its key."""
    pages = cloud.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {each["Key"]: each["LastModified"] for page in pages for each in page.get("Contents", [])}


def body(cloud, key):
    return cloud.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def in_object(cloud, key):
    """The flow records of an object."""
    header, *lines = gzip.decompress(body(cloud, key)).decode().splitlines()
    assert header.split(" ") == list(PROBE_FORMAT.names)
    return [PROBE_FORMAT.parse(line) for line in lines]


def in_bucket(cloud):
    """The flow records of all objects."""
    return [record for key in objects(cloud) for record in in_object(cloud, key)]


def of_traffic(records):
    """What records tell of traffic, whatever their windows."""
    return Counter(
        tuple((name, value) for name, value in record.fields.items() if name not in ("start", "end"))
        for record in records
        if record.status == "OK"
    )


class Running:
    """A service at work, and what it wrote into its own log."""

    def __init__(self, log, *, preset="xen-600", time_scale=300, **options):
        self._log = log
        self._service = FlowLogService(
            log=log, region=REGION, preset=PRESETS[preset], time_scale=time_scale, **options
        )
        self._service.start()

    def events(self, kind, **facts):
        lines = [line for line in self._log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [each for each in map(json.loads, lines) if each.items() >= {"event": kind, **facts}.items()]

    def wait_for(self, kind, *, more=1, **facts):
        number = len(self.events(kind, **facts)) + more
        eventually(lambda: len(self.events(kind, **facts)) >= number)
        return self.events(kind, **facts)

    def stop(self):
        self._service.stop()


@pytest.fixture
def serve(tmp_path, started_threads):
    services = []

    def start(packets, endpoint, **options):
        services.append(Running(tmp_path / "service.jsonl", packets=packets, endpoint=endpoint, **options))
        return services[-1]

    yield start
    for service in services:
        service.stop()
    of_services = [thread for thread in started_threads if thread.name == "flow-log service"]
    assert [thread.is_alive() for thread in of_services] == [False] * len(services)


# ---------------------------------------------------------------- where packets are seen, and how probes are sent
@pytest.fixture
def probe(tmp_path):
    order = Order("run-1", "bucket", SENDER_ADDRESS, TARGET_ADDRESS, PORT, 1, PAYLOAD, 1, tmp_path)
    return lambda srcport: build(order, srcport)


@pytest.fixture
def in_memory(probe):
    network = InMemoryNetwork()
    return InMemoryCapture(network), lambda srcport: network.transmit(probe(srcport))


@pytest.fixture
def in_kernel(probe):
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Network() as network, network.sender.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as wire:
        yield InterfaceCapture(network.sender), lambda srcport: wire.sendto(probe(srcport), (TARGET_ADDRESS, 0))


# ---------------------------------------------------------------- the service
@pytest.mark.parametrize(("wire", "answers"), [("in_memory", 0), ("in_kernel", 1)])
def test_every_captured_packet_is_delivered_and_when_the_service_says(cloud, moto, serve, wire, answers, request):
    packets, send = request.getfixturevalue(wire)
    service = serve(packets, f"http://{moto}")
    flow_log_id = create_flow_log(cloud)
    service.wait_for("delivery", flow_log_id=flow_log_id)

    sent_ns = {}
    for srcport in PROBES:
        sent_ns[srcport] = time.time_ns()
        send(srcport)
        time.sleep(0.02)  # so that the probes fall into several windows
    expected = (1 + answers) * len(PROBES)
    eventually(lambda: sum(record.number("packets") for record in flows(cloud)) >= expected)
    service.stop()

    captured = service.events("captured")
    assert len(captured) == expected
    for each in captured:
        if each["dst"] == TARGET_ADDRESS:
            assert 0 <= each["at_ns"] - sent_ns[each["srcport"]] < 1_000_000_000

    seen, seen_bytes, told, told_bytes = Counter(), Counter(), Counter(), Counter()
    for each in captured:
        flow = each["src"], each["srcport"], each["dst"], each["dstport"]
        seen[flow] += 1
        seen_bytes[flow] += each["length"]
    for record in flows(cloud):
        flow = tuple(record.fields[name] for name in ("srcaddr", "srcport", "dstaddr", "dstport"))
        told[flow] += record.number("packets")
        told_bytes[flow] += record.number("bytes")
    assert (told, told_bytes) == (seen, seen_bytes)

    deliveries = service.events("delivery", flow_log_id=flow_log_id, log_group=GROUP)
    for event, record in stored(cloud):
        assert event["timestamp"] == record.window_start // 1_000
        assert event["logStreamName"] == f"{cloud.interface}-all"
        assert [
            delivery
            for delivery in deliveries
            if delivery["began_ns"] // 1_000_000 <= event["ingestionTime"] <= delivery["finished_ns"] // 1_000_000
            and record.number("start") in delivery["windows"]
        ]
    assert sum(delivery["records"] for delivery in deliveries) == len(stored(cloud))
    assert {record.status for _, record in stored(cloud)} == {"OK", "NODATA"}


def test_a_record_knows_its_interface_and_its_direction(cloud, moto, in_kernel, serve):
    packets, send = in_kernel
    service = serve(packets, f"http://{moto}")
    create_flow_log(cloud)
    service.wait_for("delivery")
    send(4711)
    eventually(lambda: len(flows(cloud)) == 2)
    zone = cloud.ec2.describe_subnets(SubnetIds=[cloud.subnet])["Subnets"][0]["AvailabilityZoneId"]
    found = {record.text("flow-direction"): dict(record.fields) for record in flows(cloud)}
    for fields in found.values():
        assert fields.pop("end") - fields.pop("start") in (0, 1)
    both = {
        "version": 5,
        "account-id": "123456789012",
        "interface-id": cloud.interface,
        "instance-id": cloud.instance,
        "az-id": zone,
        "protocol": 6,
        "packets": 1,
        "action": "ACCEPT",
        "log-status": "OK",
    }
    assert found == {
        "egress": both
        | {"srcaddr": SENDER_ADDRESS, "pkt-srcaddr": SENDER_ADDRESS, "srcport": 4711}
        | {"dstaddr": TARGET_ADDRESS, "pkt-dstaddr": TARGET_ADDRESS, "dstport": PORT}
        | {"bytes": 40 + PAYLOAD, "tcp-flags": 2, "flow-direction": "egress"},
        "ingress": both
        | {"srcaddr": TARGET_ADDRESS, "pkt-srcaddr": TARGET_ADDRESS, "srcport": PORT}
        | {"dstaddr": SENDER_ADDRESS, "pkt-dstaddr": SENDER_ADDRESS, "dstport": 4711}
        | {"bytes": 40, "tcp-flags": 20, "flow-direction": "ingress"},
    }


def test_flow_logs_of_the_subnet_and_the_vpc_see_the_interface_too_and_others_do_not(cloud, moto, in_memory, serve):
    packets, send = in_memory
    service = serve(packets, f"http://{moto}")
    elsewhere = cloud.ec2.create_network_interface(SubnetId=cloud.subnet)["NetworkInterface"]["NetworkInterfaceId"]
    for group in ("subnet", "vpc", "rejects", "elsewhere"):
        cloud.logs.create_log_group(logGroupName=group)
    create_flow_log(cloud, elsewhere, group="elsewhere")
    watched = {
        "subnet": create_flow_log(cloud, cloud.subnet, kind="Subnet", group="subnet"),
        "vpc": create_flow_log(cloud, cloud.vpc, kind="VPC", group="vpc"),
        "rejects": create_flow_log(cloud, group="rejects", traffic="REJECT"),
    }
    for flow_log_id in watched.values():
        service.wait_for("delivery", flow_log_id=flow_log_id)
    for srcport in PROBES:
        send(srcport)
    for group in ("subnet", "vpc"):
        eventually(lambda group=group: len(flows(cloud, group)) == len(PROBES))
    service.wait_for("delivery", more=2 * A_BURST, flow_log_id=watched["rejects"])
    assert flows(cloud, "rejects") == stored(cloud, "elsewhere") == []
    (stream,) = cloud.logs.describe_log_streams(logGroupName="rejects")["logStreams"]
    assert stream["logStreamName"] == f"{cloud.interface}-reject"


def test_a_deleted_flow_log_is_forgotten(cloud, moto, in_memory, serve):
    packets, _ = in_memory
    service = serve(packets, f"http://{moto}")
    cloud.logs.create_log_group(logGroupName="kept")
    deleted, kept = create_flow_log(cloud), create_flow_log(cloud, group="kept")
    service.wait_for("delivery", more=A_BURST, flow_log_id=deleted)
    cloud.ec2.delete_flow_logs(FlowLogIds=[deleted])

    def newest(flow_log_id):
        return max(max(each["windows"]) for each in service.events("delivery", flow_log_id=flow_log_id))

    service.wait_for("delivery", flow_log_id=kept)
    more_than_two_bursts_s = 5
    eventually(lambda: newest(kept) - newest(deleted) > more_than_two_bursts_s)


def test_a_missing_group_is_an_access_error_until_somebody_makes_it(cloud, moto, in_memory, serve):
    packets, send = in_memory
    service = serve(packets, f"http://{moto}")
    cloud.logs.delete_log_group(logGroupName=GROUP)
    flow_log_id = create_flow_log(cloud)
    failure = service.wait_for("undeliverable", flow_log_id=flow_log_id)[0]
    assert failure["reason"].startswith("Access error: ")
    assert failure["log_group"] == GROUP
    assert failure["records"] == len(failure["windows"]) > 0
    assert cloud.logs.describe_log_groups()["logGroups"] == []
    cloud.logs.create_log_group(logGroupName=GROUP)
    service.wait_for("delivery", flow_log_id=flow_log_id)
    send(4711)
    eventually(lambda: flows(cloud))


def test_what_is_lost_is_counted(cloud, moto, in_memory, serve):
    packets, send = in_memory
    service = serve(packets, f"http://{moto}", faults=Faults(loss=0.5, seed=1))
    create_flow_log(cloud)
    service.wait_for("delivery")
    for srcport in PROBES:
        send(srcport)
    service.wait_for("delivery", more=2 * A_BURST)
    service.stop()
    deliveries = service.events("delivery")
    lost = sum(delivery["lost"] for delivery in deliveries)
    assert 0 < len(flows(cloud)) < len(PROBES)
    assert len(PROBES) - len(flows(cloud)) <= lost
    assert sum(delivery["records"] for delivery in deliveries) == len(stored(cloud))


def test_twice_every_record_comes_again(cloud, moto, in_memory, serve):
    packets, send = in_memory
    service = serve(packets, f"http://{moto}", preset="nitro-60", faults=Faults(twice=True))
    to_group, to_bucket = create_flow_log(cloud), create_flow_log_to_s3(cloud)
    for flow_log_id in (to_group, to_bucket):
        service.wait_for("delivery", flow_log_id=flow_log_id)
    for srcport in PROBES:
        send(srcport)
    eventually(lambda: of_traffic(in_bucket(cloud)).total() == 2 * len(PROBES) == len(flows(cloud)))
    service.wait_for("delivery", more=2, flow_log_id=to_bucket)
    service.stop()
    for found in (of_traffic(in_bucket(cloud)), of_traffic(flows(cloud))):
        assert Counter(found.values()) == {2: len(PROBES)}
    keys = [delivery["key"] for delivery in service.events("delivery", flow_log_id=to_bucket)]
    assert sorted(keys) == sorted(objects(cloud))


# ---------------------------------------------------------------- after a deletion
def test_a_deleted_flow_log_s_records_come_into_the_group_of_a_newer_one(cloud, moto, in_memory, serve):
    """A third as fast: so that the flow log is deleted between two bursts, which come every 6 s."""
    packets, send = in_memory
    service = serve(packets, f"http://{moto}", time_scale=100, faults=Faults(after_deletion=True))
    older = create_flow_log(cloud)
    service.wait_for("delivery", flow_log_id=older)
    for srcport in PROBES:
        send(srcport)
    time.sleep(1.2)  # so that the windows of the probes end
    cloud.ec2.delete_flow_logs(FlowLogIds=[older])
    deleted_ns = time.time_ns()
    newer = create_flow_log(cloud, cloud.subnet, kind="Subnet")
    eventually(lambda: len(flows(cloud)) == len(PROBES))
    service.wait_for("delivery", flow_log_id=newer)
    service.stop()
    late = [each for each in service.events("delivery", flow_log_id=older) if each["began_ns"] > deleted_ns]
    assert {each["log_group"] for each in service.events("delivery", flow_log_id=newer)} == {GROUP}
    for event, record in stored(cloud):
        if record.status == "OK":
            assert record.window_start < deleted_ns // 1_000
            assert event["ingestionTime"] * 1_000_000 > deleted_ns
            assert [each for each in late if record.number("start") in each["windows"]]


def test_after_its_deletion_a_flow_log_still_needs_access(cloud, moto, in_memory, serve):
    """To S3, where what comes is at least seven windows old: so there is something left to deliver."""
    packets, _ = in_memory
    service = serve(packets, f"http://{moto}", faults=Faults(after_deletion=True))
    flow_log_id = create_flow_log_to_s3(cloud)
    service.wait_for("delivery", flow_log_id=flow_log_id)
    cloud.s3.delete_bucket_policy(Bucket=BUCKET)
    cloud.ec2.delete_flow_logs(FlowLogIds=[flow_log_id])
    deleted_ns = time.time_ns()
    failures = service.wait_for("undeliverable", more=2, flow_log_id=flow_log_id)
    assert failures[-1]["at_ns"] > deleted_ns
    assert failures[-1]["reason"].startswith("Access error: ")


# ---------------------------------------------------------------- S3
def test_s3_gets_the_records_that_cloudwatch_gets_and_when_the_service_says(cloud, moto, in_memory, serve):
    packets, send = in_memory
    service = serve(packets, f"http://{moto}", preset="nitro-60")
    to_group, to_bucket = create_flow_log(cloud), create_flow_log_to_s3(cloud)
    for flow_log_id in (to_group, to_bucket):
        service.wait_for("delivery", flow_log_id=flow_log_id)
    for srcport in PROBES:
        send(srcport)
        time.sleep(0.02)  # so that the probes fall into several windows
    eventually(lambda: of_traffic(in_bucket(cloud)).total() == len(PROBES) == len(flows(cloud)))
    service.stop()

    deliveries = {each["key"]: each for each in service.events("delivery", flow_log_id=to_bucket, bucket=BUCKET)}
    assert deliveries.keys() == objects(cloud).keys()
    found = {key: in_object(cloud, key) for key in deliveries}
    assert of_traffic(record for records in found.values() for record in records) == of_traffic(flows(cloud))
    for key, delivery in deliveries.items():
        path, _, name = key.rpartition("/")
        ends = {record.number("end") // 300 for record in found[key]}
        assert len(ends) == 1
        bucket_of_minutes = datetime.fromtimestamp(ends.pop() * 300, UTC)
        assert path == f"AWSLogs/{ACCOUNT}/vpcflowlogs/{REGION}/{bucket_of_minutes:%Y/%m/%d}"
        assert re.fullmatch(
            rf"{ACCOUNT}_vpcflowlogs_{REGION}_{to_bucket}_{bucket_of_minutes:%Y%m%dT%H%MZ}_[0-9a-f]{{8}}\.log\.gz",
            name,
        )
        assert delivery["records"] == len(found[key])
        assert [record.number("start") for record in found[key]] == sorted(
            record.number("start") for record in found[key]
        )
        assert {record.number("start") for record in found[key]} == set(delivery["windows"])
        last_modified = datetime.fromisoformat(delivery["last_modified"])
        assert last_modified == objects(cloud)[key]
        assert delivery["began_ns"] // 10**9 <= last_modified.timestamp() <= delivery["finished_ns"] / 1e9


def test_a_policy_that_does_not_let_it_in_is_an_access_error_until_it_does(cloud, moto, in_memory, serve):
    packets, send = in_memory
    service = serve(packets, f"http://{moto}")
    cloud.s3.delete_bucket_policy(Bucket=BUCKET)
    flow_log_id = create_flow_log_to_s3(cloud)
    failure = service.wait_for("undeliverable", flow_log_id=flow_log_id, bucket=BUCKET)[0]
    assert failure["reason"].startswith("Access error: ")
    assert failure["records"] == len(failure["windows"]) > 0
    assert objects(cloud) == {}
    cloud.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(POLICY))
    service.wait_for("delivery", flow_log_id=flow_log_id)
    send(4711)
    eventually(lambda: of_traffic(in_bucket(cloud)))


def test_a_bucket_that_went_away_is_an_access_error(cloud, moto, in_memory, serve):
    packets, _ = in_memory
    create_flow_log_to_s3(cloud)
    cloud.s3.delete_bucket(Bucket=BUCKET)
    service = serve(packets, f"http://{moto}")
    assert service.wait_for("undeliverable", bucket=BUCKET)[0]["reason"].startswith("Access error: ")


def test_truncated_every_second_object_is_cut_and_the_service_says_which(cloud, moto, in_memory, serve):
    packets, _ = in_memory
    service = serve(packets, f"http://{moto}", faults=Faults(truncated=True))
    create_flow_log_to_s3(cloud)
    deliveries = service.wait_for("delivery", more=4)[:4]
    assert [each["truncated"] for each in deliveries] == [False, True, False, True]
    for each in deliveries:
        if each["truncated"]:
            with pytest.raises(EOFError):
                gzip.decompress(body(cloud, each["key"]))
        else:
            assert len(in_object(cloud, each["key"])) == each["records"]


# ---------------------------------------------------------------- without a cloud
def test_an_embedded_aws_that_does_not_answer_is_told_and_outlived(in_memory, serve):
    packets, send = in_memory
    with port_of_ours() as port:
        service = serve(packets, f"http://127.0.0.1:{port}")
        service.wait_for("unreachable", more=2)
        send(4711)
        (captured,) = service.wait_for("captured")
    assert captured == {
        "event": "captured",
        "at_ns": captured["at_ns"],
        "src": SENDER_ADDRESS,
        "srcport": 4711,
        "dst": TARGET_ADDRESS,
        "dstport": PORT,
        "length": 40 + PAYLOAD,
    }
