"""Results to keep: a run's tables and profiles copied out of the embedded AWS before that goes away."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flowlag.tables import PROFILES, TABLES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def download_results(client: S3Client, bucket: str, run_id: str, out: Path) -> Path:
    """Copy a run's tables and profiles to `out/<run_id>/`, whole or not at all, and return that folder."""
    out.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{run_id}.", dir=out))
    try:
        for table in (*TABLES, PROFILES):
            for key in _keys(client, bucket, f"{table}/", run_id):
                target = part / key
                target.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, key, str(target))
        part.chmod(0o755)
        return part.rename(out / run_id)
    except BaseException:
        shutil.rmtree(part)
        raise


def _keys(client: S3Client, bucket: str, prefix: str, run_id: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    return [key for key in keys if Path(key).name.split(".")[0] == run_id]
