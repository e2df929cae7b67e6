"""The agent's face, driven by the client of the official package: over HTTP, over stdio, and behind the login."""

from __future__ import annotations

import asyncio
import base64
import io
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from clips import library as open_library
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from serving import Served, films, indexed, serving

from footage.api import ServeOptions

TOOLS = {"search", "moments_of", "frame_at", "list_videos", "copies", "copies_within", "index"}
TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    with serving(indexed(place), ServeOptions(allow_dirs=(place / "films",))) as found:
        yield found


def talk(target: Any, work: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Client(target, read_timeout_seconds=300) as client:
            await work(client)

    asyncio.run(main())


async def call(client: Client, tool: str, **arguments: object) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    assert answer.structured_content is not None
    return answer.structured_content


async def refused(client: Client, tool: str, **arguments: object) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    return str(answer.content[0].text)


async def find_the_cat(client: Client) -> None:
    """What an agent does: look for something, then look at it."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == TOOLS and all(tool.description for tool in tools.values())
    assert tools["search"].annotations is not None and tools["search"].annotations.read_only_hint
    best = (await call(client, "search", query="a cat", k=3))["moments"][0]
    assert best["name"] == "cat & coffee #1.mp4" and best["likely"] and 3 <= best["at"] <= 6
    answer = await client.call_tool("frame_at", {"video": best["video"], "at": best["at"], "full": True})
    picture = answer.content[0]
    assert not answer.is_error and picture.type == "image" and picture.mime_type == "image/jpeg"
    assert Image.open(io.BytesIO(base64.b64decode(picture.data))).size == (320, 180)
    inside = await call(client, "moments_of", video=best["video"], query="a cup of coffee", k=5)
    assert inside["moments"][0]["at"] < 3 and {m["video"] for m in inside["moments"]} == {best["video"]}
    listed = await call(client, "list_videos", limit=2)
    assert listed["total"] == 3 and len(listed["videos"]) == 2
    rest = await call(client, "list_videos", limit=2, page=listed["next"])
    assert len(rest["videos"]) == 1 and rest["next"] is None


async def go_wrong(client: Client) -> None:
    assert "no such video" in await refused(client, "frame_at", video="ffffffff", at=1)
    assert "not a date" in await refused(client, "search", query="x", after="soon")
    for arguments in ({"query": ""}, {"query": "x", "k": 0}, {}):
        await refused(client, "search", **arguments)


def test_over_http(served: Served) -> None:
    talk(f"{served.url}/mcp", find_the_cat)
    talk(f"{served.url}/mcp", go_wrong)


def test_over_stdio(served: Served, place: Path) -> None:
    command = ["-m", "footage.cli", "mcp", "--library", str(place / "library"), "--allow-dir", str(place / "films")]
    server = StdioServerParameters(command=sys.executable, args=command)
    talk(server, find_the_cat)
    talk(server, go_wrong)


def test_an_agent_indexes_and_then_finds(tmp_path: Path) -> None:
    films(tmp_path / "films", ("太空 100%+.mp4",))
    with serving(open_library(tmp_path / "library"), ServeOptions(allow_dirs=(tmp_path / "films",))) as served:

        async def work(client: Client) -> None:
            assert "no library" in await refused(client, "search", query="a rocket")
            done = await call(client, "index", folders=["films"])
            assert done["state"] == "done" and done["counts"] == {"indexed": 1}
            assert (await call(client, "index", job=done["job"]))["state"] == "done"
            assert (await call(client, "search", query="a rocket"))["moments"][0]["name"] == "太空 100%+.mp4"

        talk(f"{served.url}/mcp", work)


def test_an_agent_may_index_only_what_is_allowed(served: Served, place: Path) -> None:
    async def work(client: Client) -> None:
        for folder in ("/", str(place), "films/.."):
            said = await refused(client, "index", folders=[folder])
            assert "may be indexed" in said and str(place) not in said

    talk(f"{served.url}/mcp", work)


def test_the_tools_are_behind_the_login(place: Path) -> None:
    with serving(open_library(place / "library"), ServeOptions(token=TOKEN)) as served:

        async def work(client: Client) -> None:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS

        async def main() -> None:
            headers = {"authorization": f"Bearer {TOKEN}"}
            async with (
                httpx2.AsyncClient(headers=headers, trust_env=False) as http,
                Client(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client,
            ):
                await work(client)

        asyncio.run(main())
        with pytest.raises(BaseException) as told:  # a group of errors of the client
            talk(f"{served.url}/mcp", work)
        assert told.value is not None
        origin = {"authorization": f"Bearer {TOKEN}", "origin": "https://evil.example"}
        assert served.client.post("/mcp", headers=origin, json={}).status_code == 403
