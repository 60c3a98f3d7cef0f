"""MiniStack with its seams, in a process of its own: `python -m tests.contract.ministack_cloud PORT`.

An instance tagged `flowlag:role` = `sender` has an agent. No command is run for it, only answered.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local.cloud.settings import ministack_settings
from tests.contract.clouds import REGION
from tests.ports import LOOPBACK


def main() -> None:
    """Serve until terminated."""
    port = sys.argv[1]
    with tempfile.TemporaryDirectory() as state:
        os.environ |= ministack_settings(Path(state), int(port))
        # MiniStack reads its settings when it is imported.
        from ministack.app import app  # noqa: PLC0415

        from local.cloud import seams  # noqa: PLC0415
        from local.cloud.boxes import Outcome  # noqa: PLC0415

        class ScriptedBox:
            """Answers by the action that it is ordered to do."""

            def run(self, _script: str, environment: Mapping[str, str], _timeout_s: float) -> Outcome:
                if environment["SSM_Action"] == "stop-sending":
                    return Outcome(2, "", "python3: a warning\nsender: the ledger is gone\n")
                return Outcome(0, f"did {environment['SSM_Action']} of {environment['SSM_RunId']}\n", "")

        seams.install({(REGION, "sender"): ScriptedBox()}, f"http://{LOOPBACK}:{port}", Path(state))
        config = Config()
        config.bind = [f"{LOOPBACK}:{port}"]
        asyncio.run(serve(app, config))


if __name__ == "__main__":
    main()
