"""The figures for Prometheus, as a scrape of a real server sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import clip, library
from films import film, write
from object_store import Store, s3_server, store
from serving import serving

pytest.importorskip("uvicorn")
from footage.api import ServeOptions


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with s3_server() as server, store(server, "films", monkeypatch) as found:
        yield found


def scraped(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_every_stage_is_counted(tmp_path: Path, s3: Store) -> None:
    s3.put("a.mp4", clip(tmp_path / "a.mp4", 0, 1, 2))
    with (
        library(tmp_path / "library") as lib,
        serving(lib, ServeOptions(allow_urls=(s3.url(),))) as served,
    ):
        before = scraped(served.client.get("/metrics").text)
        job = served.client.post("/api/v1/index", json={"folders": [s3.url()]}).json()["id"]
        assert served.wait(job)["state"] == "done"
        for _ in range(3):
            found = served.client.post("/api/v1/search", json={"parts": [{"kind": "text", "value": "red"}]})
            assert found.status_code == 200
        after = scraped(served.client.get("/metrics").text)

    def grown(name: str) -> float:
        return after[name] - before[name]

    for stage in ("decode", "encode", "write"):
        assert grown(f'footage_index_stage_seconds_total{{stage="{stage}"}}') > 0, stage
    assert grown("footage_index_video_seconds_total") == pytest.approx(3.0, abs=0.2)
    for stage in ("encode", "videos", "candidates", "closer"):
        assert grown(f'footage_search_stage_total{{stage="{stage}"}}') == 3
        assert grown(f'footage_search_stage_seconds_total{{stage="{stage}"}}') > 0
    size = (tmp_path / "a.mp4").stat().st_size
    assert grown("footage_remote_bytes_total") == size
    assert 4 <= grown("footage_remote_requests_total") <= 12
    assert grown("footage_remote_failures_total") == 0 and grown("footage_remote_seconds_total") > 0


def test_copies_and_exports_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "films" / "a.mp4", film(1))
    write(tmp_path / "clip.mp4", film(1, 2.0, 6.0))
    with library(tmp_path / "library") as lib, serving(lib, ServeOptions()) as served:
        lib.index(tmp_path / "films")
        before = scraped(served.client.get("/metrics").text)
        with (tmp_path / "clip.mp4").open("rb") as data:
            found = served.client.post("/api/v1/copies/files", files={"clip": ("clip.mp4", data)})
        assert found.status_code == 200 and len(found.json()["matches"]) == 1
        moment = {"video": lib.videos()[0].id, "start": 1.0, "end": 2.0}
        for format in ("clip", "frame"):
            made = served.client.post("/api/v1/export", json={"moments": [moment], "format": format})
            assert made.status_code == 200, made.text
        after = scraped(served.client.get("/metrics").text)
    stages = {
        f'copies_stage_seconds_total{{stage="{s}"}}' for s in ("decode", "encode", "candidates", "geometry", "verify")
    }
    formats = {f'export_seconds_total{{format="{f}"}}' for f in ("clip", "frame")}
    for name in stages | formats:
        assert before[f"footage_{name}"] == 0 < after[f"footage_{name}"], name
