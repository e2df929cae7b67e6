"""Home: the directory of one library. Its store, opened; the lock of its writer; where its vectors lie or move to."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from footage import encoders
from footage.config import Settings
from footage.errors import ConfigError, SpaceMismatch, StoreError, StoreUnavailable
from footage.frames.remote import keep_frames_at, open_frames
from footage.models import Models
from footage.stamp import Stamp, read_json, replace_json
from footage.stores import open_store
from footage.stores.address import Access, parsed
from footage.stores.cached import CachedReads

if TYPE_CHECKING:
    from collections.abc import Generator

    from footage.encoders.weights import Step
    from footage.frames import FrameStore
    from footage.stores import Store


class Home:
    """What the verbs of a library write to and read from; safe for several threads."""

    def __init__(self, path: Path, settings: Settings, models: Models) -> None:
        self.path, self.settings, self._models = path, settings, models
        self._store: Store | None = None
        self._store_of = ("", "")  # the place of that store
        self._left: list[Store] = []  # that were opened before the library moved away from them
        self._frames: FrameStore | None = None
        self._cached: tuple[Stamp, CachedReads] | None = None
        self._lazy = threading.RLock()  # of what is opened on first use, perhaps by two threads at once

    def close(self) -> None:
        """Release the store; it is opened again when it is needed."""
        with self._lazy:
            if self._store is not None:
                self._left.append(self._store)
                self._store = None
            while self._left:
                self._left.pop().close()

    @property
    def frames(self) -> FrameStore:
        """The key frames: beside the vectors, or where the library was made to keep them."""
        with self._lazy:
            if self._frames is None or not (self._frames.url or self._frames.root.exists()):
                self._frames = open_frames(self.path)
            return self._frames

    def opened(self) -> Store:
        """The library's store, kept open.

        Raises:
            NotIndexed: there is no library yet.
        """
        stamp = self._models.stamped()
        with self._lazy:
            return self._open_store((stamp.store, stamp.store_id))

    def _open_store(self, place: tuple[str, str]) -> Store:
        """The store at a place (URI and the library's id there), kept open; another one is left as it was moved."""
        if self._store is not None and self._store_of != place:
            self._left.append(self._store)  # somebody may be reading through it now
            self._store = None
        if self._store is None:
            self._store = self.store_at(place)
            self._store_of = place
        return self._store

    def store_at(self, place: tuple[str, str], rows: int = 0) -> Store:
        """The store at a place; `rows` are those it is going to hold, by which a server chooses its index."""
        s = self.settings
        access = Access(token=s.store_token, ca=s.store_ca, index=s.store_index, rows=rows)
        return open_store(place[0], root=self.path, name=place[1], access=access)

    def reads(self) -> Store:
        """The store through a memory, for searches, which only read; a new one when the models have changed."""
        store, stamp = self.opened(), self._models.stamped()
        with self._lazy:
            if self._cached is None or self._cached[0] is not stamp or self._cached[1].store is not store:
                self._cached = stamp, CachedReads(store)
            return cast("Store", self._cached[1])

    def changed(self) -> None:
        """Whoever reads from now on sees what this process has just written, whatever was remembered."""
        with self._lazy:
            self._cached = None

    def removed(self) -> None:
        """The same after a removal, of which what is remembered of other videos stays true."""
        cached = self._cached
        if cached is not None:
            cached[1].changed()

    @contextmanager
    def locked(self) -> Generator[ExitStack]:
        """Be the only one who writes: in this directory, and in the store where others may have a copy of that.

        A library that is created meanwhile gets its store's lock onto the stack.

        Raises:
            StoreUnavailable: another process is writing to this library.
            StoreError: the directory cannot be written.
        """
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise StoreUnavailable(
                f"another process is writing to {self.path}", hint="wait until it is done; searching is possible"
            ) from error
        except OSError as error:
            raise StoreError(
                f"cannot write to {self.path}: {error.strerror or error}",
                hint="choose another place with --library DIR",
            ) from error
        with ExitStack() as held:
            held.callback(lock.release)
            if self._models.stamp is not None:
                held.enter_context(self.opened().writing())
            yield held

    @contextmanager
    def writing(
        self, model: str | None, on_weights: Callable[[Step], None] = lambda _: None, store: str | None = None
    ) -> Generator[None]:
        """Hold the lock, with the library created or checked against the wanted model and store.

        Raises:
            ConfigError: not a store that a library could have.
            SpaceMismatch: the library was created with another model, or in another store.
        """
        with self.locked() as held:
            stamp = self._models.stamp
            if stamp is None:
                place = self._new_place(self.settings.store if store is None else store)
                with self._lazy:
                    made = self._open_store(place)
                held.enter_context(made.writing())
                if self.settings.frames:
                    keep_frames_at(self.settings.frames, self.path)
                    self._frames = None
                self._models.create(model or self.settings.model, self.settings, made, on_weights, place=place)
                self._creating.unlink(missing_ok=True)
            elif store is not None and parsed(store) != parsed(stamp.store):
                raise SpaceMismatch(
                    f"the library's vectors are in {parsed(stamp.store)}, not in {parsed(store)}",
                    hint=f"footage migrate {parsed(store)} moves them",
                )
            elif model not in (None, "auto") and not (stamp.chosen(model) or stamp.chosen(encoders.lookup(model).name)):
                raise SpaceMismatch(
                    f"the library was created with the model {stamp.model}, not {model}",
                    hint=f"footage models use {model} changes it; or index into another library: --library DIR",
                )
            yield

    @property
    def _creating(self) -> Path:
        return self.path / "creating.json"

    def _new_place(self, uri: str) -> tuple[str, str]:
        """The place of a new library; one that was interrupted when it was being created takes the same again."""
        address = parsed(uri)
        if address.kind == "memory":
            raise ConfigError("a library in memory would be forgotten at once", hint="leave out --store")
        if address.kind == "lance":
            return ("" if address.is_default else str(address), "")
        known = read_json(self._creating)
        if known.get("store") != str(address):
            known = {"store": str(address), "id": secrets.token_hex(8)}
            replace_json(self._creating, known)
        return (known["store"], known["id"])

    @property
    def _migration(self) -> Path:
        return self.path / "migration.json"

    def target_of(self, to: str, stamp: Stamp) -> tuple[str, str]:
        """The place that a library moves to: an empty one, or the one to which an interrupted run had begun to."""
        address, old = parsed(to), parsed(stamp.store)
        if address.kind == "memory":
            raise ConfigError("a library in memory would be forgotten at once", hint="name a directory or a server")
        known = read_json(self._migration)
        begun = known.get("from") == [stamp.store, stamp.store_id]
        resumed = begun and known.get("to") == str(address)
        if begun and not resumed:
            self._check_unused((known["to"], known["id"]))
        if address.kind == "lance":
            if old.kind == "lance" and address.folder(self.path).resolve() == old.folder(self.path).resolve():
                raise ConfigError(f"the library's vectors are in {address} already", hint="name another store")
            place = ("" if address.is_default else str(address), "")
        else:
            place = (str(address), known["id"] if resumed else secrets.token_hex(8))
        if not resumed:
            with closing(self.store_at(place)) as target:  # before anything is noted: it may be away, or not empty
                if target.spaces() or target.videos():
                    raise ConfigError(f"{address} holds a library already", hint="name another directory")
            known = {"to": str(address), "id": place[1], "from": [stamp.store, stamp.store_id]}
            replace_json(self._migration, known)
        return place

    def _check_unused(self, place: tuple[str, str]) -> None:
        """See that an interrupted run has left nothing there: no other note says where that is."""
        with suppress(StoreError), closing(self.store_at(place)) as target:  # that cannot be asked may hold something
            if not target.spaces() and not target.videos():
                target.erase()
                return
        raise ConfigError(
            f"the library was being moved to {place[0]}, and what is there would be forgotten",
            hint=f"footage migrate {self.path} {place[0]} goes on; or remove it there, and {self._migration}",
        )

    def moved(self, place: tuple[str, str]) -> None:
        """The vectors are at `target_of` now."""
        self._models.move(place)
        self._migration.unlink(missing_ok=True)
