"""Kill the real command at any moment: the same command again ends in the state of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import clip, library, remux, whole

from footage.library import Library

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
COMMAND = Path(sysconfig.get_path("scripts")) / "footage"
# Written, committed and compacted at every opportunity, so that a kill hits one of these and not only the decoder.
EAGER = """
import sys
import footage.ingest.writer as writer
writer._FLUSH_ROWS = writer._FLUSH_SECONDS = 0
writer._REFRESH_ROWS = 20
sys.argv[0] = "footage"
from footage.cli import main
main()
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clips of one to four scenes, two of them copies, one broken, one no video."""
    folder = tmp_path_factory.mktemp("kill") / "films"
    sources = [clip(folder.parent / f"source{n}.mp4", *range(10 * n, 10 * n + n + 1)) for n in range(4)]
    for number in range(18):
        remux(sources[number % 4], folder / f"{number:02}.mp4", str(number))
    (folder / "copy.mp4").write_bytes((folder / "03.mp4").read_bytes())
    (folder / "bad.mp4").write_bytes((folder / "02.mp4").read_bytes()[:300])
    return folder


def start(films: Path, lib: Path, *more: str, eager: bool = True) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")}
    command = [sys.executable, "-c", EAGER] if eager else [str(COMMAND)]
    command += ["index", str(films), "--library", str(lib), "--json", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)


def finish(films: Path, lib: Path, *more: str) -> list[dict[str, object]]:
    out, _ = start(films, lib, *more).communicate(timeout=600)
    return [json.loads(line) for line in out.splitlines()]


def state(lib: Library) -> dict[str, object]:
    """Everything that a library holds, but for when."""
    store = lib._opened()
    out: dict[str, object] = {v.id: replace(v, indexed_at=0.0) for v in lib.videos()}
    for video_id in list(out):
        out[f"frames of {video_id}"] = list(lib.frames.read_all(video_id))
        for space in store.spaces():
            rows = store.vectors(space.name, video_id)
            out[f"{space.name} of {video_id}"] = (rows.at.tolist(), rows.start.tolist(), rows.end.tolist())
    return out


def same(a: Library, b: Library) -> None:
    assert state(a) == state(b)
    stores = a._opened(), b._opened()
    for space in stores[0].spaces():
        for video in a.videos():
            one, two = (store.vectors(space.name, video.id).vectors for store in stores)
            # not to the bit: a batch of other company may round otherwise, and float16 is kept
            np.testing.assert_allclose(one, two, atol=2e-3)
    assert {f["path"] for f in a.failures()} == {f["path"] for f in b.failures()}


def leftovers(lib: Library) -> list[str]:
    names = (p.name for p in lib.path.rglob("*") if "store" not in p.parts)
    return sorted(n for n in names if n.endswith((".partial", ".tmp")))


@pytest.fixture(scope="module")
def undisturbed(films: Path) -> Path:
    lib = films.parent / "undisturbed"
    results = finish(films, lib)
    assert sorted(str(r["status"]) for r in results) == ["failed"] + 18 * ["indexed"] + ["unchanged"]
    return lib


def test_killed_at_any_moment(films: Path, undisturbed: Path, tmp_path: Path) -> None:
    chance = random.Random(5)
    lib, kills = tmp_path / "lib", 0
    told: set[str] = set()
    for number in range(30):  # on a fast machine some are done before
        if number >= 8 and kills >= 5:
            break
        process = start(films, lib, eager=number % 2 == 0)
        assert process.stdout is not None
        # at once, while it loads, or after some files; and then some milliseconds later
        lines = [process.stdout.readline() for _ in range(chance.choice((0, 0, 1, 1, 2, 3)))]
        time.sleep(chance.random() * (1.0 if not lines else 0.2))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
        kills += process.wait(120) == -signal.SIGKILL
        told |= {json.loads(line)["video"] for line in lines if line.strip() and line.rstrip().endswith("}")}
        if (lib / "library.json").exists():
            with library(lib) as seen:
                assert told - {None} <= {v.id for v in seen.videos()}, "what was told is kept"
                assert all(f.harmless for f in seen.doctor())
    assert kills >= 5, "it was too fast to be killed"
    assert len(told) >= 2
    results = finish(films, lib)
    assert len(results) == 20
    with library(lib) as mended, library(undisturbed) as expected:
        whole(mended)
        assert leftovers(mended) == []
        same(mended, expected)


def test_killed_while_it_follows_changes(films: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Renamed in a ring, changed, removed, sampled anew: killed in the middle, then done again."""
    chance = random.Random(7)
    mine, lib = tmp_path / "films", tmp_path / "lib"
    mine.mkdir()
    for file in films.iterdir():
        (mine / file.name).write_bytes(file.read_bytes())
    finish(mine, lib)
    ring = sorted(mine.glob("0*.mp4"))
    for path in ring:
        path.rename(path.with_suffix(".was"))
    for path, target in zip(ring, [*ring[1:], ring[0]], strict=True):
        path.with_suffix(".was").rename(target)
    (mine / "10.mp4").unlink()
    remux(mine / "11.mp4", tmp_path / "new.mp4", "changed").replace(mine / "12.mp4")
    more = ("--prune", "--every", "0.5")
    kills = 0
    for number in range(20):
        if number >= 4 and kills >= 3:
            break
        process = start(mine, lib, *more)
        assert process.stdout is not None
        for _ in range(chance.choice((1, 2, 4))):
            process.stdout.readline()
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
        kills += process.wait(120) == -signal.SIGKILL
    assert kills >= 3
    finish(mine, lib, *more)
    finish(mine, tmp_path / "fresh", *more)
    with library(lib) as mended, library(tmp_path / "fresh") as expected:
        whole(mended)
        assert leftovers(mended) == []
        same(mended, expected)
        assert {Path(v.path).name for v in mended.videos()} >= {"12.mp4"}
        assert "10.mp4" not in {Path(f.path).name for v in mended.videos() for f in v.files}
