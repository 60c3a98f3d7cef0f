"""moto, its gaps filled, in a process of its own: `python -m tests.contract.moto_cloud PORT`."""

import sys

from moto.server import main as serve

from tests import moto_gaps
from tests.ports import LOOPBACK


def main() -> None:
    """Serve until terminated."""
    moto_gaps.fill(setattr)
    serve(["-H", LOOPBACK, "-p", sys.argv[1]])


if __name__ == "__main__":
    main()
