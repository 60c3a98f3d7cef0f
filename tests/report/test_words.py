"""Durations in words: in the functions that write sentences, and in the page that draws."""

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlag_report.words import duration
from tests.report.browser import chromium, needs_chromium

WORDS = (files("flowlag_report") / "page" / "words.js").read_text(encoding="utf-8")
MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (-0.04, "0.0 s"),
        (5.44, "5.4 s"),
        (-5.44, f"{MINUS}5.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (10.5, "11 s"),
        (59.7, "1 min"),
        (326, "5 min 26 s"),
        (4_200, "1 h 10 min"),
        (-90, f"{MINUS}1 min 30 s"),
    ],
)
def test_a_duration_in_words(seconds, words):
    assert duration(seconds) == words


@given(st.integers(-(10**11), 10**11))
def test_a_duration_is_told_to_half_of_its_last_digit(micros):
    told = _seconds(duration(micros / 1e6))
    assert abs(told - micros / 1e6) <= (0.5 if abs(told) >= 10 else 0.05) + 1e-9


def _seconds(words):
    """What a duration in words says."""
    parts = words.removeprefix(MINUS).split(" ")
    size = sum(
        float(number) * {"h": 3_600, "min": 60, "s": 1}[unit]
        for number, unit in zip(*[iter(parts)] * 2, strict=True)
    )
    return -size if words.startswith(MINUS) else size


@pytest.mark.slow
@needs_chromium
def test_the_page_has_the_same_words_for_a_duration():
    every_50_ms = [50 * number / 1_000 for number in range(-2_000, 20_000)]
    with chromium() as browser:
        page = browser.new_page()
        page.add_script_tag(content=WORDS)
        assert page.evaluate("(all) => all.map(duration)", every_50_ms) == [duration(each) for each in every_50_ms]
