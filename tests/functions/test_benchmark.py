"""The decoder's benchmark still measures the decoder: it replaces parts of it, which may move."""

import subprocess
import sys

import pytest

from tests.functions.stack import ROOT

pytestmark = pytest.mark.slow

ONE_TURN = """
import decoder
decoder.SIZES = {120: 2}
decoder.COLD_TURNS = 2
decoder.main()
"""


def test_the_decoders_benchmark_prints_a_row_for_everything_that_it_measures() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONE_TURN],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("base64, gunzip, JSON", "pyarrow alone", "boto3's S3 client alone", "the whole function"):
        assert name in done.stdout
    assert done.stdout.count("event to Parquet") == 2
