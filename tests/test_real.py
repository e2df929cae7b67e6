"""Real clips (`../shared/data`): every awkward file has its answer, and pictures find their seconds."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import library, whole
from hub_server import until
from quality_moments import measure

from footage.errors import CorruptMedia, MediaError, UnsupportedMedia
from footage.library import Library
from footage.types import Indexed

pytestmark = pytest.mark.real
COMMAND = Path(sysconfig.get_path("scripts")) / "footage"

# What an independent loop over PyAV said of a file, and what may become of it.
ALLOWED: dict[str, tuple[type[MediaError] | None, ...]] = {
    "ok": (None,),
    "partial": (None, UnsupportedMedia),  # what decodes is kept; the other is encrypted
    "no_frames": (UnsupportedMedia, CorruptMedia),
    "no_video_stream": (UnsupportedMedia,),
    "open_error": (CorruptMedia,),
}


@pytest.fixture(scope="module")
def statuses(data: Path) -> dict[str, str]:
    """What the manifest says of each awkward file, by its name."""
    with (data / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["set"] == "awkward"]
    return {Path(r["path"]).name: r["status"].split()[0].partition(":")[0] for r in rows}


@pytest.fixture(scope="module")
def mixed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All awkward files, a file of no bytes, and three good ones."""
    folder = tmp_path_factory.mktemp("real") / "films"
    shutil.copytree(data / "awkward", folder)
    (folder / "empty.mp4").touch()
    for number, path in enumerate(sorted((data / "captioned").rglob("*.mp4"), key=lambda p: p.stat().st_size)[:3]):
        shutil.copy(path, folder / f"good{number}.mp4")
    return folder


@pytest.fixture(scope="module")
def indexed(mixed: Path) -> Iterator[tuple[Library, dict[str, Indexed]]]:
    pictures = [p for p in mixed.iterdir() if p.suffix in (".gif", ".webp")]
    before = threading.active_count()
    with library(mixed.parent / "library") as lib:
        results = lib.index([mixed, *pictures])  # named, so that a still picture is reported too
        until(lambda: threading.active_count() <= before + 1)
        yield lib, {Path(r.path).name: r for r in results}


def test_every_awkward_file_is_indexed_or_refused_with_the_right_error(
    indexed: tuple[Library, dict[str, Indexed]], statuses: dict[str, str]
) -> None:
    lib, results = indexed
    assert len(statuses) > 100 and statuses.keys() <= results.keys()
    stills = {
        "imageio-bina_imageio_issue245.gif",
        "small_gif.gif",
        "small_gif-transparent.gif",
        "small_webp.webp",
        "photoprism_norway-kjetil-moe.webp",
    }
    wrong: list[str] = []
    for name, status in statuses.items():
        error = results[name].error
        allowed = (UnsupportedMedia,) if name in stills else ALLOWED[status]
        if (type(error) if error else None) not in allowed:
            wrong.append(f"{name}: {status}, but {error!r}")
        if error is None:
            assert results[name].status in ("indexed", "unchanged"), "unchanged: the same content under two names"
            assert results[name].samples >= 1 and results[name].seconds > 0
        else:
            assert name in str(error) and "\n" not in str(error)
    assert wrong == []
    assert isinstance(results["empty.mp4"].error, MediaError)
    assert results["decord_corrupted.mp4"].warning
    whole(lib)


def test_good_files_among_them_are_indexed_and_the_command_says_that_some_failed(
    indexed: tuple[Library, dict[str, Indexed]], mixed: Path
) -> None:
    lib, results = indexed
    assert [results[f"good{n}.mp4"].status for n in range(3)] == ["indexed"] * 3
    env = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")}
    done = subprocess.run(
        [str(COMMAND), "index", str(mixed), "--library", str(lib.path), "--json"],
        capture_output=True, encoding="utf-8", env=env, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    again = {Path(row["path"]).name: row["status"] for row in map(json.loads, done.stdout.splitlines())}
    assert set(again.values()) == {"unchanged", "failed"}
    assert {n for n, s in again.items() if s == "failed"} <= {n for n, r in results.items() if r.error}


def test_every_sample_of_them_has_its_key_frame_and_its_place(
    indexed: tuple[Library, dict[str, Indexed]],
) -> None:
    lib, _ = indexed
    store = lib._opened()
    for video in lib.videos():
        rows = store.vectors(lib._stamped().roles["image"], video.id)
        assert rows.start[0] == 0.0 and rows.end[-1] == pytest.approx(video.duration), video.path
        assert (rows.start[1:] == rows.end[:-1]).all(), f"the ranges tile the video: {video.path}"
        assert ((rows.start <= rows.at) & (rows.at < rows.end)).all(), video.path
        assert lib.frames.times(video.id) == pytest.approx(rows.at.tolist(), abs=1e-6), video.path


def test_a_frame_finds_its_video_and_its_second(data: Path, tmp_path: Path) -> None:
    found = measure(data, ["long", "actions"], tmp_path / "library")
    told = {k: v for k, v in found.items() if k != "rows"}
    assert found["queries"] >= 90, told
    assert found["right_video"] >= 0.97, told
    assert found["inside"] >= 0.90, told
    assert found["median_error_s"] <= 0.5, told
    assert found["median_moment_s"] <= 6.0, told
