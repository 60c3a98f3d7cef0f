"""MiniStack as a cloud, in a process of its own, which ends with its input.

    python -m tests.workflow.ministack_cloud PORT

It has the seams of the region that `flowlag demo` runs in. Orders to instances never come here.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local.cloud.settings import ministack_settings
from tests.ports import LOOPBACK


async def until_input_ends() -> None:
    """Return when there is nobody left to serve."""
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Serve until standard input ends."""
    port = sys.argv[1]
    with tempfile.TemporaryDirectory() as state:
        os.environ |= ministack_settings(Path(state), int(port))
        # MiniStack reads its settings when it is imported.
        from ministack.app import app  # noqa: PLC0415

        from local.cloud import flow_log_api, seams  # noqa: PLC0415

        seams.install({}, f"http://{LOOPBACK}:{port}", Path(state))
        flow_log_api.MOST_PER_RESOURCE = 1_000  # all runs share one sender
        config = Config()
        config.bind = [f"{LOOPBACK}:{port}"]
        asyncio.run(serve(app, config, shutdown_trigger=until_input_ends))
    os._exit(0)  # threads of MiniStack may still wait for what is gone


if __name__ == "__main__":
    main()
