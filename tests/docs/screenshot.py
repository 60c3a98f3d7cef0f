"""README.md's picture of the report: `python -m tests.docs.screenshot` takes it, of a simulated campaign."""

import sys
import tempfile
from pathlib import Path

from click.testing import CliRunner

from local.checkout import CHECKOUT
from local.cli import main as flowlag
from local.pictures import smaller
from tests.report.browser import Opened, chromium

PICTURE = CHECKOUT / "docs" / "images" / "report.png"
CAMPAIGN = ("--experiment", "default", "--regions", "eu-west-1,us-east-1", "--runs", "30", "--seed", "18")
WIDTH, HEIGHT = 1200, 1180
SCALE = 0.75
"""Pixels of the picture to one of the page: as wide as README.md is shown."""
AT_MOST = 150_000
"""Bytes, so that README.md loads at once."""


def take(folder: Path) -> bytes:
    """The first screen of the page.

    Raises:
        ValueError: it does not say on it that all is simulated.
    """
    results, page = folder / "results", folder / "report.html"
    for arguments in (["simulate", *CAMPAIGN, "--out", str(results)], ["report", str(results), "-o", str(page)]):
        CliRunner().invoke(flowlag, arguments, catch_exceptions=False)
    with chromium() as browser:
        opened = Opened(browser, page, width=WIDTH, device_scale_factor=SCALE)
        source = opened.page.get_by_text("These are simulated, not AWS, delays").first.bounding_box()
        if source is None or source["y"] + source["height"] > HEIGHT:
            raise ValueError("the picture would not say that it is of a simulation")
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}
        picture = opened.page.screenshot(clip=clip, full_page=True)
        opened.close()
    if opened.faults:
        raise ValueError(f"the page is not well: {opened.faults}")
    return smaller(picture)


def main() -> int:
    """Take it, and put it in its place; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_bytes(take(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
