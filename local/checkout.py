"""Where this checkout is: the template, the queries and the built layers lie beside the code."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parent.parent
