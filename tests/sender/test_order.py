"""Orders and the command line they come by."""

from dataclasses import replace

import pytest

from flowlag import signature
from flowlag.errors import InvalidRequest
from sender.__main__ import main

PUBLIC = "{} is a private IPv4 address (RFC 1918) of your own network, not {}: probes go to our own target only"
BAD = [
    ("--duration", "-1", "duration_s is a number from 1 to 172800, not -1"),
    ("--duration", "soon", "argument --duration: invalid int value: 'soon'"),
    ("--port", "65536", "port is a number from 1 to 65535, not 65536"),
    ("--port", "0", "port is a number from 1 to 65535, not 0"),
    ("--rate", "0", "rate is a number from 1 to 1000, not 0"),
    ("--payload-bytes", "9000", "payload_bytes is a number from 64 to 1087, not 9000"),
    ("--run-id", "../etc", "a run id is 1 to 64 letters, digits, '-' or '_', not '../etc'"),
    ("--bucket", "a/b", "'a/b' is not the name of an S3 bucket"),
    ("--source", "10.0.0", "source is an IPv4 address, not '10.0.0'"),
    ("--target", "example.com", "target is an IPv4 address, not 'example.com'"),
    ("--target", "8.8.8.8", PUBLIC.format("target", "8.8.8.8")),
    ("--target", "127.0.0.1", PUBLIC.format("target", "127.0.0.1")),
    ("--source", "203.0.113.7", PUBLIC.format("source", "203.0.113.7")),
]


@pytest.mark.parametrize(("option", "value", "sentence"), BAD)
@pytest.mark.parametrize("action", ["start-sending", "send", "stop-capture"])
def test_a_bad_value_gets_one_sentence_and_leaves_nothing(
    action, option, value, sentence, order, monkeypatch, capsys
):
    monkeypatch.setenv("FLOWLAG_HOME", str(order.home))
    assert main([action, *order.arguments(), option, value]) == 2
    assert capsys.readouterr() == ("", f"sender: {sentence}\n")
    assert not order.home.exists()


@pytest.mark.parametrize("arguments", [[], ["send"], ["dance", "--run-id", "run-1"]])
def test_an_unknown_or_incomplete_command_gets_one_sentence(arguments, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sender: ")
    assert err.count("\n") == 1


def test_an_unusable_home_gets_one_sentence(order, monkeypatch, capsys):
    order.home.write_text("in the way")
    monkeypatch.setenv("FLOWLAG_HOME", str(order.home))
    assert main(["start-sending", *order.arguments()]) == 1
    assert "Not a directory" in capsys.readouterr().err


def test_every_signature_can_be_ordered(order):
    for run in range(200):
        payload_bytes = signature.payload_bytes(f"run-{run}")
        assert replace(order, payload_bytes=payload_bytes).payload_bytes == payload_bytes
    with pytest.raises(InvalidRequest):
        replace(order, payload_bytes=signature.LONGEST + 1)


def test_files_go_under_control_in_the_bucket(order):
    assert order.uri(order.ledger) == "s3://results/control/run-1/ledger.csv"
    assert order.uri(order.capture) == "s3://results/control/run-1/capture.csv"
