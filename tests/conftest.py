"""Shared fixtures: the real clips (where they are) and the ffmpeg program (where it is)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

DATA = Path(os.environ.get("FOOTAGE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_data = pytest.mark.skip(reason="the real clips of shared/data are not here")
    no_ffmpeg = pytest.mark.skip(reason="the ffmpeg program is not installed")
    for item in items:
        if item.get_closest_marker("real") and not (DATA / "manifest.csv").exists():
            item.add_marker(no_data)
        if item.get_closest_marker("ffmpeg") and not shutil.which("ffmpeg"):
            item.add_marker(no_ffmpeg)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real clips; use it only in tests marked `real`."""
    return DATA
