"""Shared fixtures: the real clips (where they are) and the ffmpeg program (where it is)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from milvus_server import MilvusProcess, NotHere

# The model `auto` would fetch 1.5 GB for a test; tests of fetching have a hub of their own on the loopback.
os.environ["HF_HUB_OFFLINE"] = "1"

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


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProcess]:
    """A real Milvus server, in a network namespace of its own; it is stopped after the last test."""
    if find_spec("milvus") is None:
        pytest.skip("the package milvus, which carries a server, is not installed")
    try:
        server = MilvusProcess(tmp_path_factory.mktemp("milvus"))
    except NotHere as error:
        pytest.skip(f"no Milvus server: {error}")
    yield server
    server.close()
