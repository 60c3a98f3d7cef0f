"""The page as a file: whole, self-contained, and safe whatever its data is."""

import json
import re
from html.parser import HTMLParser

import pytest
import vl_convert

from flowlag_report import build
from flowlag_report.page import in_script, vega
from tests.report.campaigns import profile

NOW = 1_793_600_000_000_000
HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)> & \u2028"


class Page(HTMLParser):
    """The elements of a page with their attributes, and the texts of its scripts."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.scripts, self._script = [], {}, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._script = dict(attrs).get("id", str(len(self.scripts))) if tag == "script" else None

    def handle_data(self, data):
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    def handle_endtag(self, _tag):
        self._script = None


@pytest.fixture(scope="module")
def page():
    return Page(build([profile()], NOW).html)


def test_nothing_is_fetched(page):
    asked = [
        value
        for tag, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "srcset")
    ]

    assert [each for each in asked if not each.startswith(("#", "data:,"))] == []
    assert "@import" not in build([profile()], NOW).html.split("<script", 1)[0]


def test_the_data_in_the_page_is_the_reports(page):
    assert json.loads(page.scripts["data"]) == json.loads(json.dumps(build([profile()], NOW).data))


def test_texts_in_the_data_stay_texts():
    report = build(
        [profile(run_id=HOSTILE, region=HOSTILE, experiment=HOSTILE, verdict="partial", reasons=[HOSTILE])], NOW
    )
    found = Page(report.html)

    assert len(found.scripts) == 4
    assert json.loads(found.scripts["data"])["runs"]["run_id"] == [HOSTILE]
    assert [tag for tag, attributes in found.elements if tag == "img" or "onerror" in attributes] == []
    assert "&lt;/script&gt;" in report.html.split("<main>")[1].split("</h1>")[0]


@pytest.mark.parametrize("text", [HOSTILE, "]]>", "<!-- <script>"])
def test_json_in_a_script_cannot_end_it(text):
    assert not re.search(r"[<>&]", in_script([text]))
    assert json.loads(in_script([text])) == [text]


def test_the_vega_bundle_is_the_one_that_vl_convert_makes():
    assert vl_convert.javascript_bundle(vl_version="6.4") == vega()


def test_the_same_profiles_give_the_same_bytes():
    assert build([profile()], NOW).html == build([profile()], NOW).html
