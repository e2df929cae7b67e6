"""Small clips of coloured scenes, one scene a second, for tests of everything between a file and an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import av
from media_samples import Picture, render, scene

from footage import encoders
from footage.encoders import Encoder
from footage.library import Library
from footage.types import Indexed

FPS = 10


@lru_cache(maxsize=1)
def encoder() -> Encoder:
    """The encoder of a default library, built once for all tests."""
    return encoders.Together(encoders.load("starter"), encoders.load("layout"))


def library(path: Path) -> Library:
    return Library.open(path, encoder=encoder())


def pictures(scenes: Sequence[int], seconds: float = 1.0) -> Iterator[Picture]:
    """Each scene for so many seconds, slowly moving."""
    for seed in scenes:
        for step in range(round(seconds * FPS)):
            yield scene(seed, 160, 120, shift=step)


def clip(path: Path, *scenes: int, seconds: float = 1.0) -> Path:
    """A clip of these scenes (0, 1 and 2 if none are named), each so many seconds long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return render(path, pictures(scenes or (0, 1, 2), seconds), fps=FPS, options={"preset": "ultrafast"})


def remux(source: Path, target: Path, comment: str, tail: bytes = b"") -> Path:
    """The same pictures in a file of other bytes, hence another video; `tail` is put behind every packet."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        new.metadata["comment"] = comment
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                out = lengthened(packet, tail) if tail else packet
                out.stream = stream
                new.mux(out)
    return target


def lengthened(packet: av.Packet, tail: bytes) -> av.Packet:
    longer = av.Packet(bytes(packet) + tail)
    longer.pts, longer.dts, longer.duration = packet.pts, packet.dts, packet.duration
    longer.time_base, longer.is_keyframe = packet.time_base, packet.is_keyframe
    return longer


def run(lib: Library, *paths: Path, **options: object) -> dict[str, Indexed]:
    """Index, and give what became of each file by its name."""
    results = lib.index(paths, **options)  # type: ignore[arg-type]
    named = {Path(r.path).name: r for r in results}
    assert len(named) == len(results), "a file was reported twice"
    return named


def statuses(lib: Library, *paths: Path, **options: object) -> dict[str, str]:
    return {name: result.status for name, result in run(lib, *paths, **options).items()}


def holdings(lib: Library) -> dict[str, list[str]]:
    """The ids of the library and the names of their files."""
    return {v.id: sorted(Path(f.path).name for f in v.files) for v in lib.videos()}


def identity(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def whole(lib: Library) -> None:
    """Nothing is missing, and nothing is left over."""
    assert lib.doctor() == []
    assert lib._opened().sweep() == 0
    assert lib.frames.leftovers() == []
    assert lib.frames.ids() == {v.id for v in lib.videos()}
    for video in lib.videos():
        assert len(lib.frames.times(video.id)) == video.samples > 0
