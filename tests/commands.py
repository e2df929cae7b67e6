"""The `footage` command in a process of its own, without the settings of whoever runs the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

SLOW = """
import sys, time
import footage.ingest.filling as filling
from footage.stores.lance import LanceStore
filling._FLUSH_SECONDS = 0
fill, count = LanceStore.fill, 0
def slowly(self, rows):
    global count
    fill(self, rows)
    if rows:
        count += 1
        print("filled", flush=True)
        time.sleep(0 if count < 2 else 300)
LanceStore.fill = slowly
sys.argv[0] = "footage"
from footage.cli import main
main()
"""
"""The command, which tells of each video that is filled and waits after the second, so that it is killed there."""


def environment(**more: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")} | more


def footage(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "footage", *map(str, arguments)],
        capture_output=True, encoding="utf-8", env=environment(**more), check=False, timeout=300,
    )  # fmt: skip


def killed_while_filling(*arguments: object, **more: str) -> None:
    """Run the command until two videos are filled, and kill it there."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=environment(FOOTAGE_BATCH="1", **more),
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(2):
        assert process.stdout.readline() == "filled\n"
    process.send_signal(signal.SIGKILL)
    assert process.wait(120) == -signal.SIGKILL
