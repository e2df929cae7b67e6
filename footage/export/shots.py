"""Moments as an editing program counts them: in frames of their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

from footage.catalog import digest
from footage.errors import MediaChanged, MediaError, MediaNotFound, MediaUnreachable
from footage.export.names import Shown, as_it_is, plain, title_of
from footage.media.source import SourceInfo, source_info
from footage.places import Place, is_url, look, place
from footage.types import Moment, Video


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames [first, first + count) of one source, counted from its first frame."""

    moment: Moment
    path: Place
    source: str  # what the list calls the file: its path, or a part of it
    info: SourceInfo
    first: int
    count: int
    length: int  # frames of the whole source

    @property
    def name(self) -> str:
        """The file's name, on one line."""
        return plain(self.path.name)

    @property
    def title(self) -> str:
        """What the moment was found by."""
        return title_of(self.moment)

    @property
    def url(self) -> str:
        """The file as a URL, percent-encoded (RFC 8089); relative where the path is not to be told."""
        if is_url(self.source):
            return quote(self.source, safe=":/?#[]@!$&'()*+,;=%-._~")
        named = Path(self.source)
        return named.as_uri() if named.is_absolute() else quote(named.as_posix())

    @property
    def best(self) -> int:
        """The best frame, within the shot."""
        return min(max(self.info.frame_at(self.moment.at), self.first), self.first + self.count - 1)

    def count_at(self, rate: Fraction) -> int:
        """How many frames of another rate last as long; at least one."""
        return max(1, round(self.count * rate / self.info.rate))


def shots(moments: Sequence[Moment], shown: Shown = as_it_is) -> list[Shot]:
    """Look at every source once, and round every moment to the nearest frame boundaries; at least one frame.

    Raises MediaError: a file is gone, was changed, or cannot be read.
    """
    known: dict[str, tuple[Place, SourceInfo]] = {}
    out: list[Shot] = []
    for moment in moments:
        video = moment.video
        if video.id not in known:
            path = current_file(video)
            known[video.id] = path, source_info(path)
        path, info = known[video.id]
        length = max(1, info.frame_at(video.duration))
        first = min(info.frame_at(moment.start), length - 1)
        last = min(max(info.frame_at(moment.end), first + 1), length)
        out.append(Shot(moment, path, shown(str(path)), info, first, last - first, length))
    return out


def current_file(video: Video) -> Place:
    """A file that still holds what was indexed. One whose time has changed is read, to see whether it is the same.

    Raises MediaNotFound (all copies are gone), MediaChanged, or of a URL MediaUnreachable.
    """
    changed = ""
    silent: MediaUnreachable | None = None
    for file in video.files:
        try:
            now = look(file.path)
        except MediaUnreachable as error:
            silent = error
            continue
        except MediaError:
            continue
        same_size = now.size_bytes == file.size_bytes
        if same_size and (now.mtime_ns == file.mtime_ns or digest(file.path, lambda: None) == video.id):
            return place(file.path)
        changed = file.path
    if changed:
        raise MediaChanged(
            f"changed since it was indexed: {changed}", uri=changed, hint="index it again, then search again"
        )
    if silent is not None:
        raise silent
    raise MediaNotFound(
        f"no longer there: {video.path or video.id}", uri=video.path, hint="is the disk away? else run: footage index"
    )
