"""docs/episode-18-revisited.md, its pictures and README.md's part of them are made of Episode 18's data alone."""

import os
import shutil
import struct
import zlib
from pathlib import Path

import pytest

from local.checkout import CHECKOUT
from local.documents.blocks import block
from local.episode_18 import words
from local.episode_18.__main__ import main
from local.episode_18.data import EXPORT, LISTED, read
from local.episode_18.plots import curve, plots

EP18 = Path(os.environ.get("FLOWLAG_EP18", Path(__file__).parents[3] / "shared" / "ep18"))

needs_its_data = pytest.mark.skipif(
    not (EP18 / EXPORT).is_file(),
    reason="Episode 18's data is not beside this checkout: set FLOWLAG_EP18 to its folder",
)


@pytest.fixture(scope="module")
def episode():
    return read(EP18)


@pytest.fixture
def copied(tmp_path):
    """Episode 18's data, to be changed."""
    folder = tmp_path / "ep18"
    folder.mkdir()
    for path in EP18.iterdir():
        shutil.copyfile(path, folder / path.name)
    return folder


# ---------------------------------------------------------------- the page
def contents(path):
    """Text, or pixels: another zlib compresses the same picture to other bytes."""
    data = path.read_bytes()
    if path.suffix != ".png":
        return data
    assert data.count(b"IDAT") == 1
    length, _ = struct.unpack_from(">I4s", data, data.index(b"IDAT") - 4)
    begin = data.index(b"IDAT") + 4
    return zlib.decompress(data[begin : begin + length])


@pytest.fixture
def checkout(tmp_path):
    """One that has no more than a README.md, with nothing measured in it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "README.md").write_text("# flowlag\n\n<!-- begin: measured -->\n<!-- end: measured -->\n")
    return folder


@needs_its_data
def test_the_page_and_its_pictures_are_what_the_command_writes(checkout):
    assert main([str(EP18), "--checkout", str(checkout)]) == 0

    written = {str(path.relative_to(checkout)): path for path in checkout.rglob("*") if path.is_file()}
    pictures = ("curve", "curve-dark", "delay", "gaps", "missing", "timestamp-error")
    assert set(written) == {
        "README.md",
        "docs/episode-18-revisited.md",
        *(f"docs/images/episode-18-{name}.png" for name in pictures),
    }
    told = block(written.pop("README.md").read_text(), "measured")
    again = "run 'python -m local.episode_18 FOLDER'"
    assert told == block((CHECKOUT / "README.md").read_text(), "measured"), f"README.md: {again}"
    for name, path in written.items():
        assert contents(path) == contents(CHECKOUT / name), f"{name}: {again}"


@needs_its_data
def test_a_readme_without_a_place_for_it_is_left_as_it_is(checkout, capsys):
    (checkout / "README.md").write_text("# flowlag\n")

    assert main([str(EP18), "--checkout", str(checkout)]) == 2
    assert "has not one block 'measured'" in capsys.readouterr().err
    assert [path.name for path in checkout.rglob("*")] == ["README.md"]


@needs_its_data
def test_the_curve_goes_through_the_percentiles_that_it_names(episode):
    datasets = curve(episode)["datasets"]

    shares, delays = zip(*((each["share"], each["delay_s"]) for each in datasets["curves"]), strict=True)
    assert (delays[0], delays[-1]) == (18.315, 626.307)
    assert [*delays] == sorted(delays)
    for mark in datasets["marks"]:
        assert mark["delay_s"] == delays[shares.index(mark["share"])]
    assert [mark["label"] for mark in datasets["marks"]] == ["50 % within 5 min 26 s", "95 % within 9 min 52 s"]


# ---------------------------------------------------------------- the four plots
@needs_its_data
def test_the_delays(episode):
    windows = plots(episode)["delay"]["datasets"]["windows"]

    assert min(each["delay_last_s"] for each in windows) == 18.315
    assert max(each["delay_first_s"] for each in windows) == 626.307
    assert min(each["ingest_delay_s"] for each in windows) == 75.315
    assert max(each["ingest_delay_s"] for each in windows) == 625.307


@needs_its_data
def test_the_timestamp_errors(episode):
    windows = plots(episode)["timestamp-error"]["datasets"]["windows"]

    assert len(windows) == 168
    assert min(each["error_last_s"] for each in windows) == -60
    assert max(each["error_first_s"] for each in windows) == 1
    assert episode.window_s == pytest.approx(60.061, abs=0.0005)


@needs_its_data
def test_the_missing_data(episode):
    datasets = plots(episode)["missing"]["datasets"]

    assert {each["fate"]: each["n"] for each in datasets["fates"]} == {
        "recorded": 9_999,
        "left out by the time filter": 40,
        "cut off by the row limit": 706,
        "never sent": 56,
        "lost": 0,
    }
    (before,) = (each for each in datasets["spans"] if each["fate"] == "left out by the time filter")
    assert (before["first"], before["end"]) == ("2022-03-03T19:00:00.000Z", "2022-03-03T19:00:40.000Z")


@needs_its_data
def test_the_gaps_between_missing(episode):
    gaps = [each["gap_s"] for each in plots(episode)["gaps"]["datasets"]["gaps"]]

    assert (len(gaps), min(gaps), max(gaps)) == (55, 174, 197)


# ---------------------------------------------------------------- other data
@pytest.mark.parametrize("name", ["logs-insights-results.csv", "test3A.csv", "tcpdump.pcap", "missingSrcPorts.csv"])
def test_a_missing_file_is_one_sentence(name, tmp_path, capsys):
    for present in {"logs-insights-results.csv", "test3A.csv", "tcpdump.pcap", "missingSrcPorts.csv"} - {name}:
        (tmp_path / present).touch()
    elsewhere = tmp_path / "elsewhere"

    assert main([str(tmp_path), "--checkout", str(elsewhere)]) == 2
    assert capsys.readouterr().err == (
        f"flowlag: '{tmp_path}' lacks '{name}': give the folder that holds Episode 18's data\n"
    )
    assert not elsewhere.exists()


def refusal(folder, capsys):
    assert main([str(folder), "--checkout", str(folder / "elsewhere")]) == 2
    assert not (folder / "elsewhere").exists()
    return capsys.readouterr().err


def without_line(path, number):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:number] + lines[number + 1 :]))


@needs_its_data
def test_a_lost_packet_is_refused(copied, capsys):
    without_line(copied / EXPORT, 5_000)

    assert refusal(copied, capsys) == (
        "flowlag: this is not Episode 18's run A, of which the page tells: packets are lost or doubled\n"
    )


@needs_its_data
def test_an_export_that_ends_elsewhere_is_refused(copied, capsys):
    without_line(copied / EXPORT, 9_999)

    assert refusal(copied, capsys).endswith("it does not end at the row limit\n")


@needs_its_data
def test_other_missing_ports_are_refused(copied, capsys):
    without_line(copied / LISTED, 7)

    assert refusal(copied, capsys).endswith(f"'{LISTED}' lists other ports than the sender skipped\n")


@needs_its_data
def test_a_list_that_is_none_is_refused(copied, capsys):
    (copied / LISTED).write_text("no port\n")

    assert refusal(copied, capsys) == (f"flowlag: '{copied / LISTED}' is not a list of source ports, one a line\n")


@needs_its_data
def test_a_run_of_which_the_console_matched_another_number_is_refused(copied, capsys):
    without_line(copied / "test3A.csv", 10_700)

    assert refusal(copied, capsys).endswith("the console matched another number of records\n")


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path, capsys):
    folder = tmp_path / ("x" * 300)

    assert main([str(folder), "--checkout", str(tmp_path / "elsewhere")]) == 2
    assert capsys.readouterr().err == f"flowlag: '{folder / EXPORT}' cannot be used: File name too long\n"


# ---------------------------------------------------------------- words
@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (18.3, "18 s"), (59.6, "1 min"), (325.678, "5 min 26 s"), (600, "10 min")]
)
def test_durations(seconds, told):
    assert words.duration(seconds) == told


def test_numbers_in_words():
    assert words.signed(-60.0) == "\N{MINUS SIGN}60"
    assert words.signed(1.04, 1) == "+1.0"
    assert (words.percent(0.28973), words.percent(0.0012945)) == ("29.0 %", "0.129 %")
    assert (words.counted(1, "run"), words.counted(9_999, "packet")) == ("1 run", "9,999 packets")
