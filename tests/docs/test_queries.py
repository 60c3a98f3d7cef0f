"""docs/queries.md tells of every query what it asks, what its columns mean, and an example that is true."""

import re

import pytest

from local.query import named_queries
from tests.docs.queries_page import PAGE, example, with_examples

QUERIES = named_queries()
TEXT = PAGE.read_text()
SECTIONS = dict(re.findall(r"(?ms)^## (\w+)\n\n(.*?)(?=^## |\Z)", TEXT))


def test_every_query_has_its_section() -> None:
    assert list(SECTIONS) == list(QUERIES)


@pytest.mark.parametrize("name", QUERIES)
def test_a_section_has_the_question_and_every_column(name: str) -> None:
    assert SECTIONS[name].partition("\n")[0] == QUERIES[name].question
    assert re.findall(r"(?m)^\| `(\w+)` \| \w", SECTIONS[name]) == list(example(name))


def test_the_examples_are_what_the_queries_answer() -> None:
    assert with_examples(TEXT) == TEXT, "run 'python -m tests.docs.queries_page'"
