"""README.md: its example of the demo is what the demo prints, and its pictures are as small as it promises."""

import io
import re

import pytest
from rich.console import Console

from local.checkout import CHECKOUT
from local.demo import DemoOptions
from local.render import demo_intro, demo_result
from tests.docs import screenshot
from tests.docs.shell import DOCUMENTS
from tests.report.browser import needs_chromium

TEXT = DOCUMENTS["README.md"]
WIDTH = 100
"""Columns of the terminal in the example."""

NUMBER = r"([\d.]+)"
ROW = re.compile(rf"^ (\S+) +{NUMBER} +(\d+) +none +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER}$", re.MULTILINE)


def test_the_demo_prints_what_the_example_shows():
    (example,) = re.findall(r"(?s)<!-- flowlag demo -->\n```\n(.*?)```", TEXT)
    (run,) = set(re.findall(r"out/demo-\w+", example))
    rows = ROW.findall(example)
    assert len(rows) == 4
    percentiles = ("min_s", "p50_s", "p95_s", "max_s")
    options = DemoOptions()
    result = {
        "n_runs": 1,
        "verdict": "complete",
        "reasons": [],
        "network": "namespaces",
        "results": run,
        "report": str(options.out / "report.html"),
        "burst_gap_s": options.request()["burst_gap_s"],
        "arms": {arm: {"first_delivery_s": float(first), "missing": {}} for arm, first, *_ in rows},
        "athena": [
            {"arm": arm, "n_packets": int(packets), **dict(zip(percentiles, map(float, delays), strict=True))}
            for arm, _, packets, *delays in rows
        ],
    }
    screen = Console(file=io.StringIO(), width=WIDTH, highlight=False)
    with screen.capture() as printed:
        screen.print(demo_intro(options.preset, options.time_scale))
        screen.print(demo_result(result))
    assert example.splitlines() == [line.rstrip() for line in printed.get().splitlines()]


def test_the_numbers_of_the_first_screen_are_those_of_the_page_behind_it():
    measured = TEXT.partition("<!-- begin: measured -->")[2].partition("<!-- end: measured -->")[0]
    durations = set(re.findall(r"\d+ min \d+ s", measured))
    page = DOCUMENTS["docs/episode-18-revisited.md"]
    assert len(durations) == 3
    assert durations <= set(re.findall(r"\d+ min \d+ s", page))
    assert re.findall(r"[\d,]+ packets, \d+ bursts, \d+ run", measured)[0] in page
    assert TEXT.index("end: measured") < 2_000  # it is on the first screen


def test_the_picture_of_the_report_is_small():
    picture = (CHECKOUT / "docs" / "images" / "report.png").read_bytes()
    size = [int.from_bytes(picture[at : at + 4]) for at in (16, 20)]
    assert size == [round(screenshot.SCALE * each) for each in (screenshot.WIDTH, screenshot.HEIGHT)]
    assert len(picture) < screenshot.AT_MOST


@needs_chromium
@pytest.mark.slow
def test_the_picture_of_the_report_can_be_taken_again(tmp_path, monkeypatch):
    monkeypatch.setattr(screenshot, "CAMPAIGN", ("--experiment", "default", "--runs", "1", "--hours", "0.2"))
    picture = screenshot.take(tmp_path)
    shown = (CHECKOUT / "docs" / "images" / "report.png").read_bytes()
    assert picture[:24] == shown[:24]
    assert len(picture) < screenshot.AT_MOST
