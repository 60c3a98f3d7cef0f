"""The examples of docs/queries.md, from the planted results: `python -m tests.docs.queries_page` writes them."""

import re
from pathlib import Path

from local.render_query import cell
from tests.local.planted import Row, plant
from tests.local.truths import TRUTH

PLANTED = plant()
PAGE = Path(__file__).parents[2] / "docs" / "queries.md"


def with_examples(text: str) -> str:
    """The page with the examples that it should have."""
    head, *sections = re.split(r"(?m)^(?=## \w+$)", text)
    return head + "".join(map(_with_example, sections))


def _with_example(section: str) -> str:
    name = section.partition("\n")[0].removeprefix("## ")
    row = example(name)
    return re.sub(
        r"(?m)^\| `(\w+)` \| (.*) \| .*\|$",
        lambda line: f"| `{line[1]}` | {line[2]} | {cell(row[line[1]])} |",
        section,
    )


def example(query: str) -> Row:
    """The first row of an answer that is of a named experiment and has no gap."""
    rows = TRUTH[query](PLANTED)
    return next(row for row in rows if row["experiment"] and None not in row.values())


if __name__ == "__main__":
    PAGE.write_text(with_examples(PAGE.read_text()))
