"""Every link and every picture of the documents leads somewhere, to the very heading."""

import re
from collections import Counter

import pytest

from local.checkout import CHECKOUT
from tests.docs.shell import DOCUMENTS

LINK = re.compile(r"\]\(([^)\s]+)\)|(?:href|src|srcset)=\"([^\"\s]+)\"")
CODE = re.compile(r"(?ms)^ *```.*?^ *```|`[^`\n]*`")
HEADING = re.compile(r"(?m)^#{1,6} (.+?)\s*$")

each_document = pytest.mark.parametrize("document", DOCUMENTS)


def links_of(document):
    """The targets in this checkout."""
    found = ("".join(each) for each in LINK.findall(CODE.sub("", DOCUMENTS[document])))
    return [each for each in found if not re.match(r"[a-z]+:", each)]


def anchors_of(text):
    """What GitHub makes of the headings: letters, digits, `_` and `-` stay; of two alike one gets `-1`."""
    seen = Counter()
    for heading in HEADING.findall(re.sub(r"(?ms)^ *```.*?^ *```", "", text)):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        yield f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor
        seen[anchor] += 1


@each_document
def test_every_link_leads_somewhere(document):
    for link in links_of(document):
        path, _, anchor = link.partition("#")
        target = (CHECKOUT / document).parent / path if path else CHECKOUT / document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors_of(target.read_text()), link


def test_anchors_are_those_of_github():
    text = "# `start` is not a packet's time\n## data.json\n```\n# no heading\n```\n## data.json\n"
    assert [*anchors_of(text)] == ["start-is-not-a-packets-time", "datajson", "datajson-1"]


def test_links_are_found():
    """In README.md: of Markdown and of HTML."""
    found = links_of("README.md")
    assert {"docs/method.md#the-error-of-a-delay", "docs/images/report.png", "#measure-aws"} <= set(found)
    assert "docs/images/episode-18-curve-dark.png" in found


def test_every_picture_is_shown():
    shown = {
        ((CHECKOUT / document).parent / link).resolve() for document in DOCUMENTS for link in links_of(document)
    }
    assert set((CHECKOUT / "docs" / "images").iterdir()) <= shown
