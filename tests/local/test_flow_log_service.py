"""The flow-log service at work: packets in, records out, against moto's EC2, STS and CloudWatch Logs.

Time runs 200 times as fast: capture windows of 0.3 s, a burst every 3 s.
"""

import json
import socket
import struct
import time
from collections import Counter
from contextlib import closing
from threading import active_count
from types import SimpleNamespace

import boto3
import pytest
from moto.server import ThreadedMotoServer

from flowlag.delivery import PRESETS
from flowlag.record import PROBE_FORMAT
from local.flow_log_service import FlowLogService
from local.network import SENDER_ADDRESS, TARGET_ADDRESS, InMemoryNetwork, Network, unavailable
from local.packet_capture import InMemoryCapture, InterfaceCapture
from sender.order import Order
from sender.packets import build

pytestmark = pytest.mark.slow

REGION = "eu-west-1"
PORT = 7777
PROBES = range(1, 41)
PAYLOAD = 100
PATIENCE_S = 60
GROUP = "/flowlag/run-1"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


# ---------------------------------------------------------------- a region to work in
@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def cloud(endpoint):
    """One subnet with a sender in it, a role and a log group."""

    def client(service):
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    ec2, logs, iam = client("ec2"), client("logs"), client("iam")
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.99.0.0/24")["Subnet"]["SubnetId"]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    (instance,) = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet, PrivateIpAddress=SENDER_ADDRESS
    )["Instances"]
    role = iam.create_role(RoleName="delivery", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    logs.create_log_group(logGroupName=GROUP)
    yield SimpleNamespace(
        ec2=ec2,
        logs=logs,
        role=role,
        vpc=vpc,
        subnet=subnet,
        instance=instance["InstanceId"],
        interface=instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
    )
    reset = boto3.session.Session()._session  # noqa: F841
    with closing(socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))) as connection:
        connection.sendall(b"POST /moto-api/reset HTTP/1.0\r\n\r\n")
        assert b" 200 " in connection.recv(100)


def create_flow_log(cloud, resource=None, group=GROUP, kind="NetworkInterface", **options):
    answer = cloud.ec2.create_flow_logs(
        ResourceIds=[resource or cloud.interface],
        ResourceType=kind,
        TrafficType=options.pop("TrafficType", "ALL"),
        LogDestinationType="cloud-watch-logs",
        LogGroupName=group,
        DeliverLogsPermissionArn=cloud.role,
        LogFormat=PROBE_FORMAT.log_format,
        **options,
    )
    assert not answer["Unsuccessful"]
    return answer["FlowLogIds"][0]


class Events:
    """The service's own log."""

    def __init__(self, path):
        self._path = path

    def of(self, kind, **facts):
        lines = [
            json.loads(line) for line in self._path.read_text().splitlines(keepends=True) if line.endswith("\n")
        ]
        return [each for each in lines if each.items() >= {"event": kind, **facts}.items()]

    def wait_for(self, kind, number=1, **facts):
        deadline = time.monotonic() + PATIENCE_S
        while len(found := self.of(kind, **facts)) < number:
            assert time.monotonic() < deadline, f"no {number} x {kind} {facts} in {self._path.read_text()[-3000:]}"
            time.sleep(0.02)
        return found


@pytest.fixture
def serve(endpoint, tmp_path):
    """Start a service on a network in memory, or on another source of packets."""
    services = []

    def start(packets, **options):
        log = tmp_path / "service.jsonl"
        service = FlowLogService(
            **{"endpoint": endpoint, "region": REGION, "preset": PRESETS["xen-600"], "time_scale": 200}
            | {"packets": packets, "log": log}
            | options
        )
        services.append(service)
        service.start()
        return Events(log)

    threads = active_count()
    yield start
    for service in services:
        service.stop()
    assert active_count() == threads


def stored(cloud, group=GROUP):
    """The log events of a group, and the flow records that they carry."""
    pages = cloud.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    return [(event, PROBE_FORMAT.parse(event["message"])) for page in pages for event in page["events"]]


def ok(cloud, group=GROUP):
    return [(event, record) for event, record in stored(cloud, group) if record.status == "OK"]


def probe(tmp_path, srcport):
    order = Order("run-1", "bucket", SENDER_ADDRESS, TARGET_ADDRESS, PORT, 1, PAYLOAD, 1, tmp_path)
    return build(order, srcport)


# ---------------------------------------------------------------- wires
@pytest.fixture
def in_memory(tmp_path):
    network = InMemoryNetwork()
    yield InMemoryCapture(network), lambda srcport: network.transmit(probe(tmp_path, srcport))


@pytest.fixture
def in_kernel(tmp_path):
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Network() as network, network.sender.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as wire:
        yield (
            InterfaceCapture(network.sender),
            lambda srcport: wire.sendto(probe(tmp_path, srcport), (TARGET_ADDRESS, 0)),
        )


# ---------------------------------------------------------------- the service
@pytest.mark.parametrize(("wire", "answers"), [("in_memory", False), ("in_kernel", True)])
def test_every_captured_packet_is_delivered_when_the_service_says_so(cloud, serve, wire, answers, request):
    packets, send = request.getfixturevalue(wire)
    events = serve(packets)
    flow_log_id = create_flow_log(cloud)
    events.wait_for("delivery", flow_log_id=flow_log_id)

    before = time.time_ns()
    for srcport in PROBES:
        send(srcport)
        time.sleep(0.02)  # so that the probes fall into several windows
    after = time.time_ns()
    captured = events.wait_for("captured", (1 + answers) * len(PROBES))
    assert len(captured) == (1 + answers) * len(PROBES)
    assert all(before <= each["at_ns"] <= after + 1_000_000_000 for each in captured)

    def flow(event):
        return event["src"], event["srcport"], event["dst"], event["dstport"]

    sent_packets = Counter(flow(each) for each in captured)
    sent_bytes = Counter()
    for each in captured:
        sent_bytes[flow(each)] += each["length"]
    deadline = time.monotonic() + PATIENCE_S
    while sum(record.number("packets") for _, record in ok(cloud)) < len(captured):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    recorded_packets, recorded_bytes = Counter(), Counter()
    for _, record in ok(cloud):
        key = (
            record.text("srcaddr"),
            record.number("srcport"),
            record.text("dstaddr"),
            record.number("dstport"),
        )
        recorded_packets[key] += record.number("packets")
        recorded_bytes[key] += record.number("bytes")
    assert recorded_packets == sent_packets
    assert recorded_bytes == sent_bytes

    deliveries = events.of("delivery", flow_log_id=flow_log_id, log_group=GROUP)
    for event, record in stored(cloud):
        assert event["timestamp"] == record.window_start // 1_000
        assert event["logStreamName"] == f"{cloud.interface}-all"
        assert any(
            delivery["began_ns"] // 1_000_000 <= event["ingestionTime"] <= delivery["finished_ns"] // 1_000_000
            and record.number("start") in delivery["windows"]
            for delivery in deliveries
        )
    assert sum(delivery["records"] for delivery in deliveries) >= len(stored(cloud))
    assert {record.status for _, record in stored(cloud)} == {"OK", "NODATA"}


def test_a_record_knows_its_interface_and_its_direction(cloud, serve, in_kernel):
    packets, send = in_kernel
    events = serve(packets)
    create_flow_log(cloud, cloud.subnet, kind="Subnet")
    events.wait_for("delivery")
    send(4711)
    deadline = time.monotonic() + PATIENCE_S
    while len(ok(cloud)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    zone = cloud.ec2.describe_subnets(SubnetIds=[cloud.subnet])["Subnets"][0]["AvailabilityZoneId"]
    lines = {record.text("flow-direction"): record.fields for _, record in ok(cloud)}
    common = {
        "version": 5,
        "account-id": "123456789012",
        "interface-id": cloud.interface,
        "protocol": 6,
        "packets": 1,
        "action": "ACCEPT",
        "instance-id": cloud.instance,
        "az-id": zone,
        "log-status": "OK",
    }
    assert (
        lines["egress"].items()
        >= {
            **common,
            "srcaddr": SENDER_ADDRESS,
            "dstaddr": TARGET_ADDRESS,
            "srcport": 4711,
            "dstport": PORT,
            "bytes": 40 + PAYLOAD,
            "tcp-flags": 2,
        }.items()
    )
    assert (
        lines["ingress"].items()
        >= {
            **common,
            "srcaddr": TARGET_ADDRESS,
            "dstaddr": SENDER_ADDRESS,
            "srcport": PORT,
            "dstport": 4711,
            "bytes": 40,
            "tcp-flags": 20,
        }.items()
    )


def test_flow_logs_on_interface_subnet_and_vpc_get_all_packets_and_others_none(cloud, serve, in_memory):
    packets, send = in_memory
    events = serve(packets)
    other = cloud.ec2.create_network_interface(SubnetId=cloud.subnet)["NetworkInterface"]["NetworkInterfaceId"]
    resources = {
        "NetworkInterface": cloud.interface,
        "Subnet": cloud.subnet,
        "VPC": cloud.vpc,
        "elsewhere": other,
        "rejects": cloud.interface,
    }
    ids = {}
    for name, resource in resources.items():
        cloud.logs.create_log_group(logGroupName=name)
        kind = name if name in ("NetworkInterface", "Subnet", "VPC") else "NetworkInterface"
        traffic = "REJECT" if name == "rejects" else "ALL"
        ids[name] = create_flow_log(cloud, resource, group=name, kind=kind, TrafficType=traffic)
    watched = [name for name in resources if name != "elsewhere"]
    for name in watched:
        events.wait_for("delivery", flow_log_id=ids[name])
    for srcport in PROBES:
        send(srcport)
    for name in watched:
        events.wait_for("delivery", len(events.of("delivery", flow_log_id=ids[name])) + 8, flow_log_id=ids[name])
    ports = {name: sorted(record.number("srcport") for _, record in ok(cloud, name)) for name in resources}
    everything = list(PROBES)
    assert ports == {
        "NetworkInterface": everything,
        "Subnet": everything,
        "VPC": everything,
        "elsewhere": [],
        "rejects": [],
    }
    assert events.of("delivery", flow_log_id=ids["elsewhere"]) == []
    (stream,) = cloud.logs.describe_log_streams(logGroupName="rejects")["logStreams"]
    assert stream["logStreamName"] == f"{cloud.interface}-reject"


def test_a_deleted_flow_log_is_delivered_once_more_and_forgotten(cloud, serve, in_memory):
    packets, _ = in_memory
    events = serve(packets)
    deleted = create_flow_log(cloud)
    cloud.logs.create_log_group(logGroupName="kept")
    kept = create_flow_log(cloud, group="kept")
    events.wait_for("delivery", 8, flow_log_id=deleted)
    cloud.ec2.delete_flow_logs(FlowLogIds=[deleted])
    gone_at = time.time()
    events.wait_for("delivery", len(events.of("delivery", flow_log_id=kept)) + 12, flow_log_id=kept)
    labels = [label for each in events.of("delivery", flow_log_id=deleted) for label in each["windows"]]
    assert max(labels) <= gone_at + 1
    assert max(label for each in events.of("delivery", flow_log_id=kept) for label in each["windows"]) > gone_at + 1


def test_a_missing_group_is_an_access_error_and_is_never_created(cloud, serve, in_memory):
    packets, send = in_memory
    events = serve(packets)
    cloud.logs.delete_log_group(logGroupName=GROUP)
    flow_log_id = create_flow_log(cloud)
    (failure, *_) = events.wait_for("undeliverable", flow_log_id=flow_log_id)
    assert failure["reason"].startswith("Access error: ")
    assert failure["log_group"] == GROUP
    assert failure["records"] == len(failure["windows"]) > 0
    assert cloud.logs.describe_log_groups()["logGroups"] == []
    cloud.logs.create_log_group(logGroupName=GROUP)
    events.wait_for("delivery", flow_log_id=flow_log_id)
    send(1)
    deadline = time.monotonic() + PATIENCE_S
    while not ok(cloud):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("loss", "least", "most"), [(0.0, 0, 0), (0.5, 1, len(PROBES)), (1.0, len(PROBES), 10_000)]
)
def test_what_is_lost_is_counted(cloud, serve, in_memory, loss, least, most):
    packets, send = in_memory
    events = serve(packets, loss=loss, seed=1)
    create_flow_log(cloud)
    events.wait_for("delivery")
    for srcport in PROBES:
        send(srcport)
    deliveries = events.wait_for("delivery", len(events.of("delivery")) + 8)
    delivered = len(ok(cloud))
    lost = sum(each["lost"] for each in deliveries)
    assert least <= lost <= most
    assert len(PROBES) - delivered <= lost
    assert delivered == len(PROBES) if not loss else delivered < len(PROBES)


def test_an_embedded_aws_that_does_not_answer_is_told_and_outlived(serve, in_memory):
    packets, send = in_memory
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    events = serve(packets, endpoint=nobody)
    events.wait_for("unreachable", 2)
    send(4711)
    (captured,) = events.wait_for("captured")
    assert captured == {
        "event": "captured",
        "at_ns": captured["at_ns"],
        "src": SENDER_ADDRESS,
        "srcport": 4711,
        "dst": TARGET_ADDRESS,
        "dstport": PORT,
        "length": 40 + PAYLOAD,
    }
