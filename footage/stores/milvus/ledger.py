"""The collection of videos: what is visible, where spaces and texts lie, what is being written.

It is read as a whole, and believed until the row that changes with every write says otherwise.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Any

from footage.stores.columns import find_space
from footage.stores.milvus import tables
from footage.stores.milvus.collections import Collections, parts
from footage.stores.milvus.lease import Lease
from footage.stores.milvus.tables import MARK, Place, one_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from footage.stores.milvus.link import Link
    from footage.types import Space, Video

_FRESH = 10.0  # seconds for which a reader insists on what it knows to be written; later it is, everywhere
_STALE = 30.0  # seconds after which the videos are listed again, even if nothing says that they changed


@dataclass(slots=True)
class Known:
    """What the collection of videos holds."""

    change: str = ""
    written: int = 0  # the server's time of the last samples
    read: float = 0.0  # when it was read
    videos: dict[str, Video] = field(default_factory=dict[str, "Video"])
    pending: set[str] = field(default_factory=set[str])  # videos that are being written, or removed
    places: dict[str, Place] = field(default_factory=dict[str, Place])
    texts: str = ""  # their collection; "": there are none

    def spaces(self) -> list[Space]:
        """In the order in which they were created."""
        return [place.space for place in sorted(self.places.values(), key=lambda place: place.order)]

    @property
    def collections(self) -> list[str]:
        """Where the spaces and the texts lie."""
        return [place.collection for place in self.places.values()] + ([self.texts] if self.texts else [])

    def place(self, name: str) -> Place:
        """Where a space lies; raises SpaceMismatch if there is none."""
        find_space(self.spaces(), name)
        return self.places[name]


class Ledger:
    """The rows of the videos and of the spaces, and how recent a read must be. Safe to share between threads."""

    def __init__(self, link: Link, collections: Collections, name: str) -> None:
        self.name = name
        self._link = link
        self._collections = collections
        self._lock = RLock()
        self._exists = False
        self._opened = False
        self._own = 0  # the server's time of the last change by this process
        self._insist_until = 0.0
        self.known = Known()
        self.lease = Lease(link, collections, name)

    def open(self) -> None:
        """Read it for the first time, everything that was written before."""
        for name in self.current().collections:
            self._collections.make_ready(name)
        self._opened = True

    def exists(self) -> bool:
        """Whether there is a library of this name yet."""
        if not self._exists and self._link.call("has_collection", self.name):
            self._exists = True
            self._collections.make_ready(self.name, ("summary", "FLAT"))
        return self._exists

    def create(self) -> None:
        """Create it, if there is none."""
        if not self.exists():
            self._collections.create(self.name, "summary", "FLAT")
            self._exists = True
            self.write([])

    def current(self, *, anew: bool = False) -> Known:
        """What there is, read again when it changed; `anew`: in any case, and everything that was written."""
        self._link.check()
        if not self.exists():
            return self.known
        with self._lock:
            known = self.known
            believed = not anew and known.change and time.monotonic() - known.read < _STALE
            return known if believed and self._change() == known.change else self._read(strictly=anew)

    def _change(self) -> str:
        rows = self.query(f'key == "{MARK}"', ["facts"])
        return str(rows[0]["facts"]["change"]) if rows else ""

    def _read(self, *, strictly: bool) -> Known:
        known = Known(read=time.monotonic())
        level = {"consistency_level": "Strong"} if strictly and not self._link.able.lite else self.level()
        for row in self._collections.every(self.name, ["committed", "facts"], level):
            key, facts = row["key"], row["facts"]
            if key == MARK:
                known.change, known.written = facts["change"], int(facts["written"])
            elif key == tables.TEXTS:
                known.texts = facts["collection"]
            elif key.startswith(tables.WRITER):
                continue
            elif key.startswith("s"):
                place = tables.read_place(facts)
                known.places[place.space.name] = place
            elif row["committed"]:
                video = tables.read_video(facts)
                known.videos[video.id] = video
            else:
                known.pending.add(tables.read_name(key[1:]))
        if known.change != self.known.change:
            self._insist_until = time.monotonic() + _FRESH
        self.known = known
        return known

    def level(self, written: int = 0) -> dict[str, Any]:
        """What a read insists on: for some seconds what is known to be written, then what is some seconds old."""
        if self._link.able.lite:
            return {}
        if not self._opened:
            return {"consistency_level": "Strong"}
        least = max(self._own, written)
        if least and time.monotonic() < self._insist_until:
            return {"consistency_level": "Customized", "guarantee_timestamp": least}
        return {"consistency_level": "Bounded"}

    def query(self, where: str, fields: list[str]) -> list[Any]:
        """Rows of this collection."""
        return self._collections.ask(self.name, where, fields, self.level())

    # writing

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Write rows, and with them, in one request, the one that changes with all."""
        self.lease.check()
        known = self.known
        if known.change and self._change() != known.change:
            known.read = float("-inf")  # somebody else wrote too: list the videos again at the next question
        times = [self._link.written_at(name) for name in known.collections]
        change = tables.change_row(max([known.written, *times]))
        self._collections.wrote(self.name, len(rows) + 1)
        self._link.call("upsert", self.name, [*rows, change])
        known.change, known.written = change["facts"]["change"], change["facts"]["written"]
        self._own = self._link.written_at(self.name)
        self._insist_until = time.monotonic() + _FRESH

    def forget(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        for part in parts(keys):
            self._link.call("delete", self.name, filter=one_of("key", part))
        self.write([])

    def forget_all(self) -> None:
        """Note that the collection is gone."""
        self._exists, self.known = False, Known()

    def mark_pending(self, ids: Collection[str]) -> None:
        """Note that samples of these videos are being written; readers need not list anything anew for it."""
        self.lease.check()
        fresh = sorted(set(ids) - self.known.pending)
        if fresh:
            self.create()
            self._link.call("upsert", self.name, [tables.pending_row(i) for i in fresh])
            self.known.pending |= set(fresh)

    def hide(self, ids: Sequence[str]) -> None:
        """Take commit marks away; what the videos have is still to be removed."""
        known = self.known
        visible = [i for i in ids if i in known.videos]
        if visible:
            self.write([tables.pending_row(i) for i in visible])
            known.pending |= set(visible)
            for video_id in visible:
                del known.videos[video_id]
