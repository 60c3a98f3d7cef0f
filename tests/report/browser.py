"""A report page in headless Chromium, opened from its file with networking off."""

import contextlib
import csv
import io
import json
import shutil

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: make system-deps brings it")

DOWNLOADS_APART_MS = 110
"""Blink drops the eleventh download that begins within a second, and says nothing (`kBurstDownloadLimit` in its
local_frame.cc). No person clicks so fast, but Playwright does."""

VIEWS = (
    "delays",
    "percentiles",
    "stages",
    "lookback",
    "sawtooth",
    "folded",
    "timestamp-error",
    "missing",
    "gaps",
    "hours",
    "history",
    "first-delivery",
    "losses",
    "cost",
    "left-out",
)
WITHOUT_CHART = ("percentiles", "left-out")


@contextlib.contextmanager
def chromium():
    """The browser, for as long as it is needed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page that was opened from its file with networking off, and all that it complained about or asked for."""

    def __init__(self, browser, file, fragment="", width=1440, **context):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, accept_downloads=True, reduced_motion="reduce", **context
        )
        self.context.set_offline(True)
        self.page, self.complaints, self.requests = self.context.new_page(), [], []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.url = f"file://{file}"
        self.page.goto(self.url + fragment)
        self.settle()

    def settle(self):
        """Wait until every view shows what is selected."""
        self.page.wait_for_function("document.documentElement.dataset.ready === 'true'", timeout=120_000)

    def show(self, fragment=""):
        """Show another selection."""
        self.page.evaluate(
            """(fragment) => new Promise((done) => {
              if (location.hash === fragment) { done(); return; }
              addEventListener("hashchange", () => done(), { once: true });
              location.hash = fragment;
            })""",
            fragment,
        )
        self.settle()
        return self

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def rows(self, view, kind="json"):
        """The data of a view, downloaded by a click."""
        self.page.wait_for_timeout(DOWNLOADS_APART_MS)
        with self.page.expect_download() as download:
            self.page.locator(f"#{view} button[data-kind={kind}]").click()
        text = download.value.path().read_text()
        return json.loads(text) if kind == "json" else list(csv.DictReader(io.StringIO(text)))

    def close(self):
        self.context.close()

    @property
    def faults(self):
        """What it complained about, and what it asked for beside its own file. Downloads are made in the page."""
        own = (self.url, "blob:")
        return [*self.complaints, *(url for url in self.requests if not url.startswith(own))]
