"""`python -m local.documents`: write what documents have from the code once more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from local.checkout import CHECKOUT
from local.cli import main as flowlag
from local.documents import commands, costs
from local.documents.blocks import with_block
from local.report import write

if TYPE_CHECKING:
    from pathlib import Path


def documents(checkout: Path) -> dict[str, str]:
    """Every document that has something from the code, as it should be, by its path in the checkout."""
    readme, cost = ((checkout / name).read_text(encoding="utf-8") for name in ("README.md", "docs/cost.md"))
    return {
        "README.md": with_block(readme, "cost", costs.totals()),
        "docs/commands.md": commands.page(flowlag),
        "docs/cost.md": costs.with_printed(cost),
    }


def main() -> int:
    """Write them; the exit code."""
    for name, text in documents(CHECKOUT).items():
        write(CHECKOUT / name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
