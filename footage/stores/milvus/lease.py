"""One writer at a time on a server, whatever machine it is on.

A writer has a row beside those of the videos, with a number that it raises every few seconds. Whoever wants to write
puts its own row there first and then reads all of them, so of two that come together at least one sees the other. A
number that moves is of somebody alive; one that stands still for a while is of somebody dead, and is removed. Only
whether it moves counts, and no clock of another machine. Of two that ask at once the one with the lesser id goes on.

Who was taken for dead, a machine that slept, finds its row gone, and writes no more. It may have slept between a look
at its row and the next one on its way, which then comes when the library is another's: so the last row stays until
that is known not to have happened.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from footage.errors import StoreError, StoreUnavailable
from footage.stores.milvus import tables
from footage.stores.milvus.link import Vanished
from footage.stores.milvus.tables import one_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from footage.stores.milvus.collections import Collections
    from footage.stores.milvus.link import Link

_BEAT = 3.0  # seconds
_DEAD = 12.0  # without a beat: a server that was restarted just now may keep one waiting for some seconds
_UNSURE = 8.0  # since the last beat, after which a writer looks at its row before it goes on
_POLL = 0.5
_STRONG = {"consistency_level": "Strong"}


@dataclass(slots=True)
class _Writer:
    """What the rows of one writer say."""

    beat: int = -1
    held: bool = False
    keys: list[str] = field(default_factory=list[str])


class Lease:
    """The right to write to one library, in a thread's keeping while it is held."""

    def __init__(self, link: Link, collections: Collections, name: str) -> None:
        self._link = link
        self._collections = collections
        self._name = name
        self._id = ""
        self._beat = 0
        self._sure = 0.0  # when the row was last seen; by the clock of the wall, which goes on while a machine sleeps
        self._lost = False
        self._beating = threading.Lock()
        self._over = threading.Event()

    @contextmanager
    def held(self) -> Generator[None]:
        """Be the only writer until the end of the block.

        Raises:
            StoreUnavailable: another one is writing.
        """
        self._id, self._beat, self._sure, self._lost = secrets.token_hex(8), 0, 0.0, False
        self._over = threading.Event()
        try:
            self._ask()
            self._wait()
            self._again()
            self.check()
            keeper = threading.Thread(target=self._keep, args=[self._over], name="writer's beat", daemon=True)
            keeper.start()
            try:
                yield
            finally:
                self._over.set()
                keeper.join(_BEAT)
        finally:
            if abs(time.time() - self._sure) < _DEAD:  # else the server is away, and would keep this one waiting
                with suppress(StoreError):  # the library was erased, or the next one finds it dead
                    self._remove(
                        [tables.writer_key(self._id, n) for n in range(max(1, self._beat - 1), self._beat + 2)]
                    )
            self._id = ""

    def check(self) -> None:
        """Look whether the right to write is still there, if it was taken.

        Raises:
            StoreUnavailable: this process was silent for so long that another one took over.
        """
        if self._id and not self._lost and abs(time.time() - self._sure) > _UNSURE:
            self._again()
        if self._id and self._lost:
            raise StoreUnavailable(
                f"this process was silent for too long, and another one may write to {self._link.shown} now",
                hint="run the command again: what was finished is kept",
            )

    def _wait(self) -> None:
        """Return when nobody else is there."""
        seen: dict[str, tuple[int, float]] = {}  # id -> beat, and since when
        beaten = time.monotonic()
        while others := {i: writer for i, writer in self._writers().items() if i != self._id}:
            now = time.monotonic()
            for i, other in others.items():
                beat, since = seen.setdefault(i, (other.beat, now))
                if other.beat == beat:
                    if now - since > _DEAD:
                        self._remove(other.keys)
                elif other.held or i < self._id:
                    raise StoreUnavailable(
                        f"another process is writing to the library at {self._link.shown}",
                        hint="wait until it is done; searching is possible",
                    )
                else:
                    seen[i] = other.beat, now  # it gives way, or has not seen this one and holds the lease soon
            if now - beaten > _BEAT:
                self._ask()
                beaten = now
            time.sleep(_POLL)

    def _keep(self, over: threading.Event) -> None:
        while not over.wait(_BEAT) and not self._lost:
            with suppress(StoreError):  # the server may come back; `check` asks again before anything is written
                self._again()

    def _again(self) -> None:
        """See that the row is there, and raise its number."""
        with self._beating:
            try:
                begun = time.time()
                self._lost = self._lost or self._gone()
                if not self._lost and not self._over.is_set():
                    self._put(held=True)
                    if abs(time.time() - begun) > _DEAD / 2 and self._gone():  # this one came back too late
                        self._lost = True
                        self._remove([tables.writer_key(self._id, self._beat + 1)])
                    else:
                        self._advance(begun)
            except Vanished:
                self._lost = True

    def _gone(self) -> bool:
        """Whether another one took this one for dead: the row of the last beat that is certain is not there."""
        mine = self._writers().get(self._id)
        return mine is None or tables.writer_key(self._id, self._beat) not in mine.keys

    def _writers(self) -> dict[str, _Writer]:
        found: dict[str, _Writer] = {}
        rows = self._collections.ask(self._name, f'key like "{tables.WRITER}%"', ["key", "facts"], _STRONG)
        for row in rows:
            writer = found.setdefault(row["facts"]["writer"], _Writer())
            writer.keys.append(row["key"])
            if row["facts"]["beat"] > writer.beat:
                writer.beat, writer.held = row["facts"]["beat"], row["facts"]["held"]
        return found

    def _ask(self) -> None:
        begun = time.time()
        self._put(held=False)
        self._advance(begun)

    def _put(self, *, held: bool) -> None:
        """Write the next beat beside the last one, so that a row is there at any time."""
        self._link.call("upsert", self._name, [tables.writer_row(self._id, self._beat + 1, held=held)])

    def _advance(self, sure: float) -> None:
        """The next beat is certain, and was not too late at a time: the last one is not needed any more."""
        self._beat += 1
        self._sure = sure
        if self._beat > 1:
            self._remove([tables.writer_key(self._id, self._beat - 1)])

    def _remove(self, keys: list[str]) -> None:
        self._link.call("delete", self._name, filter=one_of("key", keys))
