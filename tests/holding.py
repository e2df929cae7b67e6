"""Hold an indexing run at a file for as long as a test wants: it is under way then, be the machine fast or slow."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from footage.ingest import loading

LONG = 120.0  # seconds: no test waits so long unless something hangs


class Hold:
    """Files that are `wanted`, by name, are stopped where their digest is made, which is before they are decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wanted: Callable[[str], bool]) -> None:
        self.reached, self._free = threading.Event(), threading.Event()
        real = loading.digest

        def digest(path: Any, beat: Callable[[], None]) -> str:
            if wanted(Path(path).name):
                self.reached.set()
                end = time.monotonic() + LONG
                while not self._free.wait(0.02):
                    beat()  # no stall; and a run that is paused or over is noticed
                    assert time.monotonic() < end, "held for ever"
            return real(path, beat)

        monkeypatch.setattr(loading, "digest", digest)

    def go(self) -> None:
        self._free.set()


HELD = """
import os, sys, time
from pathlib import Path
from footage.ingest import loading
real, end = loading.digest, time.monotonic() + 240
def digest(path, beat):
    while Path(path).name >= os.environ["HELD_FROM"] and Path(os.environ["HELD_WHILE"]).exists():
        assert time.monotonic() < end, "held for ever"
        beat()
        time.sleep(0.02)
    return real(path, beat)
loading.digest = digest
sys.argv[0] = "footage"
from footage.cli import main
main()
"""


def held_command(*arguments: object) -> list[str]:
    """The command `footage`, which stops as `Hold` does; for `held_environment`."""
    return [sys.executable, "-c", HELD, *map(str, arguments)]


def held_environment(hold: Path, first: str) -> dict[str, str]:
    """Files from this name on are held as long as there is a file `hold`, which this makes."""
    hold.touch()
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")}
    return kept | {"HELD_WHILE": str(hold), "HELD_FROM": first}
