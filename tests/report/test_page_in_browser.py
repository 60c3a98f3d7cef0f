"""The page in a browser, from a file and with networking off: what it draws, answers to, and who can use it."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from flowlag_report import build
from flowlag_report.lookback import missed_share, needed_s
from flowlag_stats.intervals import percentile_interval
from flowlag_stats.pooling import pooled_percentile
from tests.report.browser import VIEWS, WITHOUT_CHART, Opened, chromium, needs_chromium
from tests.report.campaigns import BEGIN, SECOND, campaign, profile

pytestmark = [pytest.mark.slow, needs_chromium]

NOW = (BEGIN + 3 * 86_400) * SECOND
HOSTILE = "</script><img src=x onerror=alert(1)>"
RUNS = campaign(7)
VOID = profile(number=40, verdict="void", reasons=[HOSTILE])
PARTIAL = [replace(each, verdict="partial", reasons=("the sender was cut short",)) for each in RUNS[:3]]
SEVERAL = [*PARTIAL, *RUNS[3:], VOID]


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A campaign of two regions, and a single run of which no more than an export is known."""
    folder = tmp_path_factory.mktemp("pages")
    bare = replace(
        profile(region=None, verdict=None, source="aws", cost_usd=None, hypervisor=None),
        stages={},
        first_delivery=None,
        arm="",
    )
    for name, profiles in {
        "several": SEVERAL,
        "single": [profile(source="local", unsent=(900, 1_400), lost=range(2_000, 2_010))],
        "bare": [bare],
    }.items():
        (folder / f"{name}.html").write_text(build(profiles, NOW).html, encoding="utf-8")
    return folder


@pytest.fixture
def opened(browser, files):
    """Open pages; in the end none has complained, and none has asked for anything but its own file."""
    pages = []

    def open_one(name="several", fragment="", **context):
        pages.append(Opened(browser, files / f"{name}.html", fragment, **context))
        return pages[-1]

    yield open_one
    for each in pages:
        each.close()
        assert each.faults == []


@pytest.fixture(scope="module")
def shared(browser, files):
    """Each page once, for tests that only look."""
    pages = {}

    def one(name):
        if name not in pages:
            pages[name] = Opened(browser, files / f"{name}.html")
        return pages[name]

    yield one
    for each in pages.values():
        each.close()
        assert each.faults == []


def of_arm(name, profiles=SEVERAL, regions=("eu-west-1", "us-east-1")):
    return [each for each in profiles if each.arm == name and each.region in regions and each.verdict != "void"]


# ---------------------------------------------------------------- what it shows
def test_the_first_screen_has_the_answer_the_source_the_age_and_the_three_ns(shared):
    page, data = shared("several").show(), build(SEVERAL, NOW).data

    assert page.text("#answer") == data["answer"]["sentence"]
    assert page.text("#slo") == data["answer"]["slo"]
    assert page.text("#source") == data["source_in_words"]
    numbers = [f"{data['answer'][f'n_{noun}s']:,} {noun}s" for noun in ("packet", "burst", "run")]
    assert page.text("#numbers") == ", ".join(numbers)
    newest = datetime.fromtimestamp(max(each.started_at for each in RUNS) / SECOND, UTC)
    assert f"({newest:%Y-%m-%d %H:%M} UTC)" in page.text("#age")
    assert "ago" in page.text("#age")
    box = page.page.locator("#slo").bounding_box()
    assert box["y"] + box["height"] < 900


@pytest.mark.parametrize("name", ["several", "single"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_draws_and_has_its_table_and_its_data(shared, name, view):
    page = shared(name).show()
    card = page.page.locator(f"#{view}")

    assert card.locator("h3").inner_text()
    if view not in WITHOUT_CHART:
        assert card.locator(".chart svg path, .chart svg line, .chart svg text").count() > 5
    if card.locator("details").is_visible():
        card.locator("details").evaluate("each => { each.open = true; }")
        expect(card.locator("tbody tr").first).to_be_visible()
    assert len(page.rows(view)) == len(page.rows(view, "csv"))


def test_a_run_of_which_little_is_known_is_shown_as_far_as_it_goes(shared):
    page = shared("bare").show()

    assert page.text("#answer").startswith("Half of the flow records to CloudWatch Logs (600 s) were visible ")
    assert page.text("#stages .finding") == "When its capture windows ended is not known of these runs."
    assert page.text("#first-delivery .finding") == "When the flow logs of these runs were created is not known."
    assert page.text("#cost .finding") == "No price is known of these runs."
    assert page.page.locator("#sawtooth .chart svg").count() == 1


def test_texts_of_the_data_are_shown_as_texts(shared):
    page = shared("several").show()

    assert HOSTILE in page.text("#left-out")
    assert page.page.locator("img").count() == 0


def test_void_and_partial_runs_are_listed_with_their_reasons(shared):
    page = shared("several").show()

    assert page.rows("left-out")[0] | {"at": ""} == {
        "run": VOID.run_id,
        "region": "eu-west-1",
        "at": "",
        "verdict": "void",
        "reasons": HOSTILE,
    }
    assert page.rows("left-out")[1]["reasons"] == "the sender was cut short"
    assert VOID.run_id not in {each["run"] for each in page.rows("history")}


# ---------------------------------------------------------------- numbers
SELECTIONS = {
    "": (("eu-west-1", "us-east-1"), range(7)),
    "#region=us-east-1": (("us-east-1",), range(7)),
    "#from=2026-11-02&to=2026-11-02": (("eu-west-1", "us-east-1"), range(3, 7)),
    "#region=eu-west-1&to=2026-11-02": (("eu-west-1",), range(7)),
    "#region=eu-west-1&from=2026-11-02": (("eu-west-1",), range(3, 7)),
}


@pytest.mark.parametrize(("fragment", "chosen"), SELECTIONS.items())
def test_the_page_computes_of_any_selection_what_python_computes(shared, fragment, chosen):
    regions, numbers = chosen
    rows = {each["arm"]: each for each in reversed(shared("several").show(fragment).rows("percentiles"))}

    for name, label in (
        ("cloudwatch-60", "CloudWatch Logs (60 s)"),
        ("cloudwatch-600", "CloudWatch Logs (600 s)"),
        ("s3-text-600", "S3 text (600 s)"),
    ):
        profiles = [each for each in of_arm(name, regions=regions) if int(each.run_id.split("-")[-1]) in numbers]
        samples, row = [each.sample for each in profiles], rows[label]
        assert (row["n_runs"], row["n_packets"]) == (len(profiles), sum(each.delivered for each in profiles))
        assert row["undelivered"] == sum(each.undelivered for each in profiles)
        for percentile, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
            assert row[f"{percentile}_s"] == pytest.approx(pooled_percentile(samples, share)[0], abs=0.001)
            interval = percentile_interval(samples, share)
            bounds = [row[f"{percentile}_low_s"], row[f"{percentile}_high_s"]]
            expected = [None, None] if interval is None else [interval.low, interval.high]
            assert bounds == pytest.approx(expected, abs=0.001)


def test_below_five_runs_there_is_no_interval_and_no_band(shared):
    page = shared("several").show("#region=eu-west-1&from=2026-11-02")

    assert {each["p50_low_s"] for each in page.rows("percentiles")} == {None}
    assert {each["low_s"] for each in page.rows("delays")} == {None}
    assert "[" in page.text("#percentiles tbody")
    assert page.text("#delays .finding") == "No flow log has 5 runs, so there is no band."


@pytest.mark.parametrize(("every", "within"), [(300, 360), (60, 600), (900, 30)])
def test_the_look_back_is_what_python_computes(shared, every, within):
    rows = shared("several").show(f"#every={every}&within={within}").rows("lookback")

    for name, row in zip(("cloudwatch-60", "cloudwatch-600", "s3-text-600"), rows, strict=True):
        assert row["missed_share"] == pytest.approx(missed_share(of_arm(name), every, within), abs=1e-6)
        expected = needed_s(of_arm(name), every, 0.95)
        assert row["needed_for_95_percent_s"] == pytest.approx(expected, abs=0.002)


def test_the_service_level_is_what_python_says_of_as_many_runs(browser, tmp_path):
    enough = [profile(number=number, lag_s=number % 9, traffic_s=1_200) for number in range(95)]
    report = build(enough, NOW)
    (tmp_path / "page.html").write_text(report.html, encoding="utf-8")
    page = Opened(browser, tmp_path / "page.html")

    assert page.text("#slo") == report.data["answer"]["slo"]
    assert page.text("#slo").startswith("With 95 % confidence")
    page.close()


# ---------------------------------------------------------------- what it answers to
def test_filters_change_the_answer_and_the_charts(opened):
    page = opened()
    before = page.text("#answer")
    page.page.get_by_label("us-east-1", exact=True).click()
    page.settle()

    assert page.text("#answer") != before
    assert page.text("#answer").startswith("In eu-west-1, half of the flow records")
    assert page.text("#numbers").endswith("7 runs")
    assert {each["region"] for each in page.rows("history")} == {"eu-west-1"}

    page.page.get_by_label("Destination").select_option("S3")
    page.settle()
    assert "to S3 text (600 s) were visible" in page.text("#answer")
    assert {each["arm"] for each in page.rows("delays")} == {"S3 text (600 s)"}

    page.page.get_by_label("Runs from").fill("2026-11-02")
    page.settle()
    assert page.text("#numbers").endswith("4 runs")

    page.page.get_by_role("button", name="Show all").click()
    page.settle()
    assert page.text("#answer") == before


def test_a_selection_without_runs_is_said(opened):
    page = opened()
    page.page.get_by_label("Runs from").fill("2027-01-01")
    page.settle()

    assert page.text("#answer") == "No run is selected."
    assert page.text("#delays .finding") == "No run is selected: widen the filters."


def test_an_arm_is_chosen_by_its_tile(opened):
    page = opened()
    page.page.get_by_role("radio", name="S3 text (600 s)").check()
    page.settle()

    assert "to S3 text (600 s) were visible" in page.text("#answer")
    assert page.page.url.endswith("#arm=s3-text-600")
    assert page.text("#history .finding").startswith("S3 text (600 s), 14 runs")


def test_the_sliders_tell_what_a_rule_misses(opened):
    page = opened()
    slider = page.page.get_by_role("slider", name="and looks back")
    before = page.rows("lookback")
    slider.focus()
    for _ in range(6):
        page.page.keyboard.press("ArrowRight")
    page.settle()
    after = page.rows("lookback")

    assert after[0]["within_s"] == before[0]["within_s"] + 60
    assert after[1]["missed_share"] < before[1]["missed_share"]
    assert "looks back 7 min misses" in page.text("#lookback .finding")
    assert "within=420" in page.page.url


def test_the_hash_holds_the_whole_state(opened):
    page = opened()
    page.page.get_by_label("eu-west-1", exact=True).click()
    page.page.get_by_role("radio", name="CloudWatch Logs (60 s)").check()
    page.page.get_by_label("A cell shows").select_option("p50")
    page.page.get_by_role("button", name="Dark mode").click()
    page.settle()
    again = opened(fragment=page.page.url[page.page.url.index("#") :])

    assert again.text("#answer") == page.text("#answer")
    assert again.page.get_by_label("eu-west-1", exact=True).is_checked() is False
    assert again.page.get_by_label("A cell shows").input_value() == "p50"
    assert again.page.locator("html").get_attribute("data-theme") == "dark"


def test_a_changed_hash_changes_the_page(opened):
    page = opened()
    page.page.evaluate("location.hash = 'arm=cloudwatch-60'")
    expect(page.page.locator("#answer")).to_contain_text("CloudWatch Logs (60 s)")


@pytest.mark.parametrize("fragment", ["#arm=none&every=x&within=-1&region=nowhere", "#from=never&cell=3&close=%00"])
def test_a_hash_that_means_nothing_breaks_nothing(shared, fragment):
    assert shared("several").show(fragment).text("#answer")


def test_dark_mode_follows_the_system_and_can_be_changed(opened):
    page = opened(color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"

    assert page.page.evaluate(background) == "rgb(14, 18, 22)"
    page.page.get_by_role("button", name="Dark mode").click()
    assert page.page.evaluate(background) == "rgb(245, 246, 248)"
    assert page.page.url.endswith("#theme=light")


def test_all_data_can_be_downloaded(opened):
    page = opened()
    with page.page.expect_download() as download:
        page.page.get_by_role("button", name="Download all data of this page as JSON").click()

    assert json.loads(download.value.path().read_text()) == json.loads(json.dumps(build(SEVERAL, NOW).data))


def test_the_method_is_one_click_away(opened):
    page = opened()
    page.page.get_by_role("link", name="How measured").click()

    expect(page.page.locator("#how-measured h2")).to_be_in_viewport()


# ---------------------------------------------------------------- who can use it, and where
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_no_serious_violation(opened, scheme, width):
    page = opened(color_scheme=scheme, width=width)
    found = Axe().run(page.page).response["violations"]

    assert [
        (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
    ] == []


@pytest.mark.parametrize("name", ["several", "single", "bare"])
@pytest.mark.parametrize("width", [1440, 768, 390])
def test_nothing_is_wider_than_the_page_and_no_chart_is_cut(opened, name, width):
    page = opened(name, width=width)

    assert page.page.evaluate("document.documentElement.scrollWidth") == width
    cut = page.page.evaluate(
        """() => [...document.querySelectorAll('.chart svg text')].filter((text) => {
          const chart = text.closest('.chart').getBoundingClientRect(), box = text.getBoundingClientRect();
          const isBeside = box.left < chart.left - 1 || box.right > chart.right + 1;
          return box.width && (isBeside || box.bottom > chart.bottom + 1);
        }).map((text) => `${text.closest('.card').id}: ${text.textContent}`)"""
    )
    assert cut == []
    overlapping = page.page.evaluate(
        """() => [...document.querySelectorAll('.role-axis-label')].flatMap((axis) => {
          const shown = [...axis.querySelectorAll('text')].filter((text) => text.getAttribute('opacity') !== '0');
          const boxes = shown.map((text) => text.getBoundingClientRect());
          const isBeside = (a, b) => a.right <= b.left || b.right <= a.left;
          const isOver = (a, b) => !isBeside(a, b) && a.bottom > b.top + 2 && b.bottom > a.top + 2;
          return boxes.flatMap((box, at) => at && !axis.innerHTML.includes('rotate(-') && isOver(boxes[at - 1], box)
            ? [`${axis.closest('.card').id}: ${shown[at].textContent}`] : []);
        })"""
    )
    assert overlapping == []
    if width == 1440:
        scrolling = (
            "() => [...document.querySelectorAll('.scrolls')].filter((each) => each.scrollWidth > each.clientWidth)"
        )
        assert page.page.evaluate(f"({scrolling})().map((each) => each.closest('.card').id)") == []


def test_the_keyboard_reaches_everything(opened):
    page = opened()
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.activeElement.textContent") == "Skip to the charts"
    unreachable = page.page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, summary, a')]
          .filter((each) => each.checkVisibility() && each.tabIndex < 0).map((each) => each.outerHTML)"""
    )
    assert unreachable == []


def test_headings_are_in_order(shared):
    levels = shared("several").page.evaluate(
        "() => [...document.querySelectorAll('h1, h2, h3')].map((each) => each.tagName)"
    )

    assert levels.count("H1") == 1
    assert levels[:3] == ["H1", "H2", "H3"]


def test_a_new_width_draws_anew(opened):
    page = opened()
    page.page.set_viewport_size({"width": 600, "height": 900})
    page.page.wait_for_function(
        "document.querySelector('#delays .chart svg').getBoundingClientRect().width < 600 && "
        "Number(document.querySelector('#delays .chart svg').getAttribute('width')) < 600"
    )


def test_it_prints_by_day_and_without_its_controls(opened):
    page = opened(color_scheme="dark")
    page.page.emulate_media(media="print")

    assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for hidden in ("#filters", "#theme", ".downloads >> nth=0"):
        assert not page.page.locator(hidden).is_visible()
    assert page.page.pdf().startswith(b"%PDF")
