"""Every second object in S3 is cut in its middle: what can be read of it counts, and nothing is lost in silence."""

import io
import re
import zlib
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowlag.plan import Arm, RunRequest
from local.flow_logs.faults import Faults
from tests.faults.virtual import VirtualRun
from tests.functions.run import NOON
from tests.functions.stack import Cloud

pytestmark = pytest.mark.slow

CLOUDWATCH, TEXT, PARQUET = Arm(), Arm(destination="s3"), Arm(destination="s3", file_format="parquet")


def test_what_a_cut_object_lacks_is_not_recorded_and_the_object_is_in_quarantine(
    take_place: Callable[..., VirtualRun], cloud: Cloud
) -> None:
    request = RunRequest(rate=4, arms=(CLOUDWATCH, TEXT, PARQUET))  # 240 records a minute: half a text holds some
    run = take_place(request, began_at=NOON, traffic_s=900, faults=Faults(truncated=True))

    (judged,) = run.rows("runs")
    assert (judged["verdict"], judged["reasons"]) == ("complete", [])
    assert run.counts(CLOUDWATCH.name)["not_recorded"] == 0
    cut: dict[Arm, dict[str, int]] = {}
    for arm in (TEXT, PARQUET):
        readable, cut[arm] = read(cloud, arm)
        assert run.observed(arm.name).keys() == {tick for tick in run.sent if tick % 65_536 in readable}
        counts = run.counts(arm.name)
        assert counts["ledger_ticks"] == counts["observed"] + counts["not_recorded"]
        assert counts["not_recorded"] > 0
        assert counts["unparsable"] == len(cut[arm]) > 1
        quarantined = {row["event_id"]: row for row in run.rows("quarantine") if row["arm"] == arm.name}
        assert quarantined.keys() == {key.rpartition("/")[2] for key in cut[arm]}
        for key, records in cut[arm].items():
            row = quarantined[key.rpartition("/")[2]]
            assert row["raw"] == key
            assert "cut short" in row["reason"]
            assert re.findall(r"\d+", row["reason"]) == [str(records)]
    assert max(cut[TEXT].values()) > 0  # of a text what is before the cut
    assert set(cut[PARQUET].values()) == {0}  # of Parquet nothing: what is where stands at its end


def read(cloud: Cloud, arm: Arm) -> tuple[set[int], dict[str, int]]:
    """The source ports that an arm's objects still tell; and those that are cut, with the records in them."""
    ports: set[int] = set()
    cut: dict[str, int] = {}
    for key, data in cloud.objects(f"deliveries/first-light/{arm.name}/").items():
        found, is_cut = (ports_of_text if arm == TEXT else ports_of_parquet)(data)
        ports.update(int(port) for port in found if port not in (None, "-"))
        if is_cut:
            cut[key] = len(found)
    return ports, cut


def ports_of_text(data: bytes) -> tuple[list[str], bool]:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    rows = [line.split() for line in inflate.decompress(data).decode().split("\n")[:-1]]
    return [row[rows[0].index("srcport")] for row in rows[1:]], not inflate.eof


def ports_of_parquet(data: bytes) -> tuple[list[int | None], bool]:
    try:
        return pq.ParquetFile(io.BytesIO(data)).read().column("srcport").to_pylist(), False
    except pa.ArrowInvalid:
        return [], True
