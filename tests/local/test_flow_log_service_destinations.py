"""Where flow logs deliver to: what becomes of a delivery on its way, in parcels, log events and objects."""

import gzip
import io
import json
import zlib
from datetime import UTC, datetime
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowlag.delivery import PRESETS
from flowlag.plan import PARQUET, PLAIN_TEXT
from flowlag.record import DEFAULT_FORMAT, PROBE_FORMAT, RecordFormat
from local.flow_logs.destinations import (
    EVENT_OVERHEAD_BYTES,
    MAX_BATCH_BYTES,
    MAX_EVENTS,
    AccessRefused,
    CloudWatchLogs,
    Told,
    batches,
    destination_of,
    log_events,
)
from local.flow_logs.faults import NONE, Faults
from local.flow_logs.flow_log import FlowLog, LogGroup
from local.flow_logs.objects import Folder, parquet, text
from local.flow_logs.records import EGRESS, Flow, Interface, Traffic, Window, records

SECOND = 1_000_000
XEN = PRESETS["xen-600"]
OUT = Flow("10.99.0.10", "10.99.0.20", 4711, 7777, 6, EGRESS)
INTERFACE = Interface(
    interface_id="eni-1",
    account_id="123456789012",
    instance_id="i-1",
    subnet_id="subnet-1",
    vpc_id="vpc-1",
    region="eu-west-1",
    az_id="euw1-az1",
)
DESCRIPTION = {"FlowLogId": "fl-1", "ResourceId": "eni-1", "TrafficType": "ALL"}
POLICY = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "delivery.logs.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::records/deliveries/*",
    },
}


def second(instant: str) -> int:
    return round(datetime.fromisoformat(f"{instant}Z").timestamp())


def window(end: str, probes: int = 1, length: float = 60) -> Window:
    """A window that ends then, with so many probes in it."""
    end_us = round(datetime.fromisoformat(f"{end}Z").timestamp() * SECOND)
    flows = {OUT._replace(srcport=4711 + number): Traffic(1, 104, 2) for number in range(probes)}
    start = end_us - round(length * SECOND)
    return Window(start, end_us, start, flows)


def told(*windows: Window, record_format: RecordFormat = PROBE_FORMAT) -> list[Told]:
    return [Told(each, records(each, INTERFACE, record_format)) for each in windows]


def folder(**options: object) -> Folder:
    arn = options.pop("arn", "arn:aws:s3:::records/deliveries/run-1/arm")
    return Folder.of_arn(arn, **{"file_format": PLAIN_TEXT, "hive_compatible": False, "per_hour": False} | options)


class Cloud:
    """A bucket in memory, its policy, and S3's clock."""

    MODIFIED = datetime(2026, 11, 23, 16, 31, 7, tzinfo=UTC)

    def __init__(self, policy: object = POLICY) -> None:
        self.policy = policy
        self.objects: dict[str, bytes] = {}
        self.s3 = self

    def bucket_policy(self, bucket: str) -> str | None:
        assert bucket == "records"
        return self.policy and json.dumps(self.policy)

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803 - as boto3 has it
        assert Bucket == "records"
        assert Key not in self.objects
        self.objects[Key] = Body

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, object]:  # noqa: N803 - as boto3 has it
        assert (Bucket, Key in self.objects) == ("records", True)
        return {"LastModified": self.MODIFIED}


def to_s3(cloud: Cloud, faults: Faults = NONE, **options: object):
    flow_log = FlowLog(
        flow_log_id="fl-1",
        resource_id="eni-1",
        traffic_type="ALL",
        record_format=PROBE_FORMAT,
        aggregation_interval_s=600,
        destination=folder(**options),
    )
    return destination_of(flow_log, INTERFACE, cloud, faults)


def lines(body: bytes) -> list[str]:
    return gzip.decompress(body).decode().splitlines()


# ---------------------------------------------------------------- flow logs
@pytest.mark.parametrize(
    "destination",
    [
        {"LogGroupName": "/flowlag/run-1"},
        {"LogDestination": "arn:aws:logs:eu-west-1:000000000000:log-group:/flowlag/run-1"},
        {"LogDestination": "/flowlag/run-1"},
    ],
)
def test_a_flow_log_s_group_is_found_however_it_was_named(destination):
    flow_log = FlowLog.of_description(DESCRIPTION | destination | {"DeliverLogsPermissionArn": "arn:role"})
    assert flow_log.destination == LogGroup("/flowlag/run-1", "arn:role")
    assert flow_log.record_format == DEFAULT_FORMAT


@pytest.mark.parametrize(
    ("arn", "prefix"),
    [
        ("arn:aws:s3:::records", ""),
        ("arn:aws:s3:::records/", ""),
        ("arn:aws:s3:::records/a/b", "a/b"),
        ("arn:aws:s3:::records/a/b/", "a/b"),
    ],
)
def test_a_flow_log_s_folder_is_found_with_its_options_or_their_defaults(arn, prefix):
    description = DESCRIPTION | {
        "LogDestinationType": "s3",
        "LogDestination": arn,
        "LogFormat": "${version} ${end}",
    }
    options = {"FileFormat": "parquet", "HiveCompatiblePartitions": True, "PerHourPartition": True}
    plain = FlowLog.of_description(description)
    assert (plain.record_format, plain.destination) == (
        RecordFormat(("version", "end")),
        Folder(bucket="records", prefix=prefix, file_format="plain-text", hive_compatible=False, per_hour=False),
    )
    assert FlowLog.of_description(description | {"DestinationOptions": options}).destination == Folder(
        bucket="records", prefix=prefix, file_format="parquet", hive_compatible=True, per_hour=True
    )


@pytest.mark.parametrize(
    ("destination", "habits"),
    [({"LogGroupName": "g"}, XEN), ({"LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::b"}, XEN.to_s3)],
)
def test_a_schedule_s_phase_follows_from_the_flow_log_s_id(destination, habits):
    schedules = [
        FlowLog.of_description(DESCRIPTION | destination | {"FlowLogId": f"fl-{number}"}).schedule(XEN)
        for number in (*range(200), 0)
    ]
    assert {schedule.preset for schedule in schedules} == {habits}
    phases = {schedule.phase for schedule in schedules}
    assert schedules[0] == schedules[-1]
    assert len(phases) == 200
    assert min(phases) < 60 * SECOND
    assert 0.9 < max(phases) / (habits.publish_every_s * SECOND) < 1


# ---------------------------------------------------------------- log events
def test_an_event_carries_its_record_and_the_record_s_start():
    quiet, busy = window("2023-11-14T22:14:20", probes=0), window("2023-11-14T22:15:20.999999")
    (parcel,) = CloudWatchLogs(
        FlowLog.of_description(DESCRIPTION), LogGroup("g", "arn:role"), INTERFACE, None
    ).parcels(told(quiet, busy, record_format=DEFAULT_FORMAT))
    events = log_events(parcel.records, DEFAULT_FORMAT)
    start = second("2023-11-14T22:13:20")
    assert [event["timestamp"] for event in events] == [start * 1_000, (start + 60) * 1_000]
    parsed = [DEFAULT_FORMAT.parse(event["message"]) for event in events]
    assert [record.status for record in parsed] == ["NODATA", "OK"]
    assert [record.number("start") for record in parsed] == parcel.windows == [start, start + 60]


@pytest.mark.parametrize(
    ("message", "count"), [("x", 2 * MAX_EVENTS + 1), ("ü" * 100_000, 25), ("x" * MAX_BATCH_BYTES, 3)]
)
def test_batches_keep_within_the_limits_of_put_log_events(message, count):
    events = [{"timestamp": number, "message": message} for number in range(count)]
    sent = list(batches(events))
    assert [event for batch in sent for event in batch] == events
    size = len(message.encode()) + EVENT_OVERHEAD_BYTES
    for batch in sent:
        assert len(batch) <= MAX_EVENTS
        assert len(batch) * size <= MAX_BATCH_BYTES or len(batch) == 1
    for batch, following in pairwise(sent):
        assert len(batch) == MAX_EVENTS or (len(batch) + 1) * size > MAX_BATCH_BYTES
        assert following


def test_no_events_are_no_batch():
    assert list(batches([])) == []


# ---------------------------------------------------------------- keys
DAY = "deliveries/run-1/arm/AWSLogs/123456789012/vpcflowlogs/eu-west-1/2026/11/23/"
HIVE = "AWSLogs/aws-account-id=123456789012/aws-service=vpcflowlogs/aws-region=eu-west-1/year=2026/month=11/day=23/"
NAME = "123456789012_vpcflowlogs_eu-west-1_fl-1_20261123T0405Z_0badcafe.log"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, f"{DAY}{NAME}.gz"),
        ({"per_hour": True}, f"{DAY}04/{NAME}.gz"),
        ({"hive_compatible": True}, f"deliveries/run-1/arm/{HIVE}{NAME}.gz"),
        ({"hive_compatible": True, "per_hour": True}, f"deliveries/run-1/arm/{HIVE}hour=04/{NAME}.gz"),
        ({"file_format": PARQUET}, f"{DAY}{NAME}.parquet"),
        ({"arn": "arn:aws:s3:::records", "hive_compatible": True}, f"{HIVE}{NAME}.gz"),
    ],
)
def test_a_key_is_as_documented(options, key):
    assert folder(**options).key("fl-1", INTERFACE, second("2026-11-23T04:05:00"), "0badcafe") == key


# ---------------------------------------------------------------- bodies
def test_a_text_file_begins_with_its_field_names_in_the_order_of_the_format():
    fields = RecordFormat(("srcport", "log-status", "pkt-dst-aws-service", "interface-id"))
    body = text(fields, records(window("2026-11-23T04:05:00", 2), INTERFACE, fields))
    assert gzip.decompress(body).decode() == (
        "srcport log-status pkt-dst-aws-service interface-id\n4711 OK - eni-1\n4712 OK - eni-1\n"
    )


def test_a_text_file_is_one_gzip_member():
    member = zlib.decompressobj(wbits=31)
    member.decompress(text(PROBE_FORMAT, records(window("2026-11-23T04:05:00"), INTERFACE, PROBE_FORMAT)))
    assert member.eof
    assert member.unused_data == b""


def test_a_parquet_file_has_the_types_and_the_names_that_aws_documents():
    every = RecordFormat((*PROBE_FORMAT.names, "traffic-path", "vpc-id", "type"))
    file = pq.ParquetFile(io.BytesIO(parquet(every, records(window("2026-11-23T04:05:00"), INTERFACE, every))))
    assert file.schema_arrow.names == [name.replace("-", "_") for name in every.names]
    types = {field.name: field.type for field in file.schema_arrow}
    int_32 = {"version", "srcport", "dstport", "protocol", "tcp_flags", "traffic_path"}
    int_64 = {"packets", "bytes", "start", "end"}
    assert {name for name, kind in types.items() if kind == pa.int32()} == int_32
    assert {name for name, kind in types.items() if kind == pa.int64()} == int_64
    assert {types[name] for name in types.keys() - int_32 - int_64} == {pa.string()}
    assert {file.metadata.row_group(0).column(number).compression for number in range(len(types))} == {"GZIP"}


def test_a_parquet_file_holds_what_the_text_does():
    some = [*records(window("2026-11-23T04:05:00", 3), INTERFACE, PROBE_FORMAT)]
    some += records(window("2026-11-23T04:06:00", 0), INTERFACE, PROBE_FORMAT)
    rows = pq.read_table(io.BytesIO(parquet(PROBE_FORMAT, some))).to_pylist()
    written = [" ".join("-" if value is None else str(value) for value in row.values()) for row in rows]
    assert written == lines(text(PROBE_FORMAT, some))[1:]
    assert (rows[-1]["srcaddr"], rows[-1]["srcport"], rows[-1]["log_status"]) == ("-", None, "NODATA")


# ---------------------------------------------------------------- to S3
def test_records_go_into_the_five_minutes_that_they_end_in():
    cloud = Cloud()
    destination = to_s3(cloud)
    ends = ("16:19:59.999999", "16:20:00", "16:24:59.999999", "16:25:00")
    parcels = destination.parcels(told(*(window(f"2018-06-20T{end}") for end in ends)))
    assert [parcel.place["key"].split("_")[-2] for parcel in parcels] == [
        "20180620T1615Z",
        "20180620T1620Z",
        "20180620T1625Z",
    ]
    for parcel in parcels:
        destination.send(parcel)
    found = [
        [PROBE_FORMAT.parse(line).number("end") for line in lines(cloud.objects[parcel.place["key"]])[1:]]
        for parcel in parcels
    ]
    first = second("2018-06-20T16:20:00")
    assert found == [[first - 1], [first, first + 299], [first + 300]]


@pytest.mark.parametrize(
    ("hive", "days"), [(False, ["2026/11/23/", "2026/11/24/"]), (True, ["month=11/day=23/", "month=11/day=24/"])]
)
def test_midnight_begins_a_new_folder_by_the_end_of_the_record(hive, days):
    ends = ("2026-11-23T23:59:59", "2026-11-24T00:00:00")
    keys = [
        parcel.place["key"]
        for parcel in to_s3(Cloud(), hive_compatible=hive).parcels(told(*(window(end) for end in ends)))
    ]
    assert [day in key for day, key in zip(days, keys, strict=True)] == [True, True]
    assert [key.split("_")[-2] for key in keys] == ["20261123T2355Z", "20261124T0000Z"]


def test_a_service_that_is_faster_writes_several_files_with_the_same_five_minutes():
    destination = to_s3(Cloud())
    keys = [
        parcel.place["key"]
        for at in range(10, 50)
        for parcel in destination.parcels(told(window(f"2026-11-23T04:05:{at}", length=0.2)))
    ]
    assert len(set(keys)) == 40
    assert {key[: -len("0badcafe.log.gz")] for key in keys} == {f"{DAY}{NAME}"[: -len("0badcafe.log")]}


@pytest.mark.parametrize("file_format", [PLAIN_TEXT, PARQUET])
def test_a_parcel_is_an_object_and_its_last_modified_is_what_s3_says(file_format):
    cloud = Cloud()
    destination = to_s3(cloud, file_format=file_format)
    (parcel,) = destination.parcels(told(window("2026-11-23T04:05:00", 3), window("2026-11-23T04:06:00", 0)))
    assert destination.send(parcel) == {"last_modified": "2026-11-23T16:31:07+00:00"}
    body = parquet if file_format == PARQUET else text
    assert cloud.objects == {parcel.place["key"]: body(PROBE_FORMAT, parcel.records)}
    assert len(parcel.records) == 4
    assert parcel.place == {"bucket": "records", "key": parcel.place["key"], "truncated": False}
    assert parcel.windows == [second("2026-11-23T04:04:00"), second("2026-11-23T04:05:00")]


def test_where_all_records_got_lost_there_is_no_object():
    cloud = Cloud()
    destination = to_s3(cloud)
    empty = [Told(window("2026-11-23T04:05:00"), [], lost=1), Told(window("2026-11-23T04:06:00"), [], lost=2)]
    (parcel,) = destination.parcels(empty)
    assert destination.send(parcel) == {"last_modified": None}
    assert (parcel.place["key"], parcel.lost, parcel.records, cloud.objects) == (None, 3, [], {})


@pytest.mark.parametrize(
    "change",
    [
        None,
        {"Principal": {"Service": "vpc-flow-logs.amazonaws.com"}},
        {"Principal": {"AWS": "arn:aws:iam::123456789012:root"}},
        {"Action": "s3:GetObject"},
        {"Resource": "arn:aws:s3:::records/elsewhere/*"},
        {"Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}},
        {"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:logs:eu-west-2:123456789012:*"}}},
    ],
)
def test_a_policy_that_does_not_let_it_in_refuses_the_service(change):
    cloud = Cloud(change and {**POLICY, "Statement": {**POLICY["Statement"], **change}})
    destination = to_s3(cloud)
    (parcel,) = destination.parcels(told(window("2026-11-23T04:05:00")))
    with pytest.raises(AccessRefused, match="'records'"):
        destination.send(parcel)
    assert cloud.objects == {}


@pytest.mark.parametrize(
    "conditions",
    [
        {
            "StringEquals": {"aws:SourceAccount": "123456789012"},
            "ArnLike": {"aws:SourceArn": "arn:aws:logs:eu-west-1:123456789012:*"},
        },
        {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
    ],
)
def test_the_conditions_that_aws_documents_let_it_in_even_beside_a_denial_of_plain_http(conditions):
    denial = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::records/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    allowance = {**POLICY["Statement"], "Condition": conditions}
    cloud = Cloud({**POLICY, "Statement": [denial, allowance]})
    destination = to_s3(cloud)
    (parcel,) = destination.parcels(told(window("2026-11-23T04:05:00")))
    destination.send(parcel)
    assert set(cloud.objects) == {parcel.place["key"]}


@pytest.mark.parametrize(
    ("file_format", "damage"),
    [(PLAIN_TEXT, gzip.decompress), (PARQUET, lambda body: pq.ParquetFile(io.BytesIO(body)))],
)
def test_truncated_every_second_object_ends_in_its_middle_and_never_comes_again(file_format, damage):
    whole, cut = Cloud(), Cloud()
    journaled = []
    for cloud, faults in ((whole, NONE), (cut, Faults(truncated=True))):
        destination = to_s3(cloud, faults, file_format=file_format)
        for minute in range(6):
            (parcel,) = destination.parcels(told(window(f"2026-11-23T04:0{minute}:00", 50)))
            destination.send(parcel)
            journaled.append(parcel.place["truncated"])
    assert journaled == [False] * 6 + [False, True] * 3
    assert list(cut.objects) == list(whole.objects)
    for truncated, key in zip(journaled[6:], whole.objects, strict=True):
        body = whole.objects[key]
        assert cut.objects[key] == (body[: len(body) // 2] if truncated else body)
        if truncated:
            with pytest.raises((EOFError, pa.ArrowInvalid)):
                damage(cut.objects[key])
