"""Shared fixtures: the real clips (where they are), the ffmpeg program (where it is), a browser on a server."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from needs import milvus_server

if TYPE_CHECKING:
    from browsing import Tab
    from milvus_server import MilvusProcess
    from object_store import Store
    from playwright.sync_api import Browser

# The model `auto` would fetch 1.5 GB for a test; tests of fetching have a hub of their own on the loopback.
os.environ["HF_HUB_OFFLINE"] = "1"

# Whoever runs the tests in the background of a shell has them ignore Ctrl-C, and the processes that they interrupt too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
    server = milvus_server(tmp_path_factory.mktemp("milvus"))
    with pytest.MonkeyPatch.context() as patch:  # on a machine that is busy with other things it may answer late
        from footage.stores.milvus import link

        patch.setattr(link, "_PATIENCE", 300.0)
        patch.setitem(link.Link.call.__kwdefaults__, "seconds", 300.0)
        yield server
    server.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from browsing import chromium

    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def url(place: Path) -> Iterator[str]:
    """The page over what the module's `place` has: the folder `library`, made of the folder `films`."""
    from browsing import command

    with command(place / "library", "--allow-dir", place / "films") as address:
        yield address


@pytest.fixture
def tab(browser: Browser, url: str) -> Iterator[Tab]:
    from browsing import Tab

    opened = Tab(browser, url, locale="en-US")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """A real S3 server on the loopback."""
    from object_store import s3_server

    with s3_server() as found:
        yield found


@pytest.fixture
def s3(server: tuple[str, int], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A bucket of its own for each test: the server keeps them as long as the process lives."""
    from object_store import store

    module, test = (
        "".join(c for c in name.lower() if c.isalnum()) for name in (request.module.__name__, request.node.name)
    )
    with store(server, f"{module.removeprefix('test')[:12]}{test[-50:]}", monkeypatch) as found:
        yield found
