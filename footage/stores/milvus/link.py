"""The door to Milvus: connecting, asking what it can do, trying again, and its errors as ours.

Milvus Lite runs inside this process and answers on the loopback. It locks its directory for one process, so all stores
of a process that lie in one directory share one Lite, which ends with the last of them.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from footage.errors import FootageError, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from footage.stores.address import Access, Address

OLDEST = (2, 3)  # server that knows upsert, partition keys and JSON
_CONNECT_SECONDS = 10.0
_CALL_SECONDS = 60.0  # of one request; while the server is away, pymilvus asks again for so long
_PATIENCE = 90.0  # seconds for a server that answers, and is not ready: it was restarted just now
_PAUSE, _LONGEST_PAUSE = 0.1, 3.0
_POLL = 0.05

# Codes of the server (merr in its sources): a request that may succeed a little later, without having done anything.
_LATER = frozenset({1, 2, 4, 8, 103, 202, 400, 401, 500, 501, 503, 600, 601, 901, 902})
_LATER_WORDS = re.compile(
    r"not ready|service unavailable|not available|no available|shard (leader|delegator)|channel|node offline|"
    r"node not (found|match)|timeout on waiting|rate ?limit",
    re.IGNORECASE,
)
_NOT_LOADED, _NO_COLLECTION = 101, 100
_REFUSED = re.compile(r"auth check failure|unauthenticated|api ?key|permission deny|need authenticate", re.IGNORECASE)
_FULL = re.compile(r"no space left|disk (quota|is full)|memory quota|insufficient memory|quota exceeded", re.IGNORECASE)


class Vanished(StoreError):
    """The collection is not there, or not any more."""


@dataclass(frozen=True, slots=True)
class Able:
    """What was found when the store was opened; nothing is tried out later."""

    lite: bool
    version: tuple[int, int]

    @property
    def upserts(self) -> bool:
        """Upsert of rows with a partition key; up to 2.3.9 it puts them into the wrong partitions (issue 30607)."""
        return self.lite or self.version >= (2, 4)

    @property
    def newer_indexes(self) -> bool:
        """HNSW_SQ with refining, and IVF_RABITQ."""
        return not self.lite and self.version >= (2, 6)

    @property
    def texts(self) -> bool:
        """Full text search by BM25."""
        return self.lite or self.version >= (2, 5)

    @property
    def ranks_texts(self) -> bool:
        """BM25 over all texts: Lite 3.2 counts how rare a word is file by file, and compares what cannot be."""
        return self.texts and not self.lite


class _Lite:
    """One Milvus Lite in this process."""

    def __init__(self, folder: Path) -> None:
        server: Any = import_module("milvus_lite.adapter.grpc.server")
        errors: Any = import_module("milvus_lite.exceptions")
        _quiet("milvus_lite")
        try:
            self._server, self._database, self.port = server.start_server_in_thread(str(folder))
        except errors.DataDirLockedError as error:
            raise StoreUnavailable(
                f"another process has this Milvus Lite open: {folder}",
                hint="Milvus Lite is for one process at a time; for several, use Lance or a server",
            ) from error
        except (errors.MilvusLiteError, OSError, ValueError, RuntimeError) as error:
            raise StoreError(
                f"cannot open Milvus Lite in {folder}: {error}", hint="is the directory one of its own, and writable?"
            ) from error
        self.users = 0

    def stop(self) -> None:
        self._server.stop(grace=2).wait()
        self._database.close()  # releases the lock, which the client's own close does not


# By directory. Not state of ours: it mirrors which locks this process holds.
_RUNNING: WeakValueDictionary[str, _Lite] = WeakValueDictionary()
_STARTING = threading.Lock()


def _quiet(name: str) -> None:
    """Keep a library's own messages off stderr: what they tell comes as an error, without the credentials."""
    logger = logging.getLogger(name)
    logger.handlers = [logging.NullHandler()]
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1)


class Link:
    """A connection to one Milvus. Safe to share between threads, not across a fork."""

    def __init__(self, address: Address, folder: Path | None, access: Access) -> None:
        self.shown = str(address) if folder is None else str(folder)
        self._token = access.token
        self._pid = os.getpid()
        self._closed = False
        try:
            self._pymilvus: Any = import_module("pymilvus")
            self._grpc: Any = import_module("grpc")
            if folder is not None:
                import_module("milvus_lite")
        except ImportError as error:
            raise StoreUnavailable(
                f"a store in Milvus wants the package {error.name}", hint="pip install 'footage[milvus]'"
            ) from error
        _quiet("pymilvus")
        self.folder = folder
        self._lite = _lite(folder) if folder is not None else None
        try:
            self._client: Any = self._connected(address, access)
            self.able = self._probe()
        except BaseException:
            self._release()
            raise

    @property
    def types(self) -> Any:
        """The names of the types of fields."""
        return self._pymilvus.DataType

    def _connected(self, address: Address, access: Access) -> Any:
        uri = f"http://127.0.0.1:{self._lite.port}" if self._lite is not None else address.place
        tls = {"server_pem_path": access.ca} if access.ca else {}
        options = {"token": access.token, "db_name": address.database, **tls}
        return self._mapped(lambda: self._pymilvus.MilvusClient(uri=uri, timeout=_CONNECT_SECONDS, **options))

    def _probe(self) -> Able:
        told = str(self._mapped(lambda: self._client.get_server_version(timeout=_CONNECT_SECONDS)))
        if self._lite is not None:
            return Able(True, OLDEST)
        found = re.search(r"(\d+)\.(\d+)", told)
        version = (int(found[1]), int(found[2])) if found else OLDEST
        if version < OLDEST:
            raise StoreError(
                f"the Milvus at {self.shown} is {told}, too old", hint=f"{OLDEST[0]}.{OLDEST[1]} or newer is needed"
            )
        return Able(False, version)

    # asking

    def call(self, method: str, *args: Any, seconds: float = _CALL_SECONDS, **kwargs: Any) -> Any:
        """Call a method of the client; again after a pause while the server is only not ready yet.

        Raises:
            Vanished: the collection is not there.
            StoreUnavailable: the server is away, or did not become ready.
        """
        self.check()
        until = time.monotonic() + _PATIENCE
        pause = _PAUSE
        while True:
            try:
                return getattr(self._client, method)(*args, timeout=seconds, **kwargs)
            except self._foreign() as error:
                again = self._code(error) == _NOT_LOADED or self._later(error)
                if not again or time.monotonic() + pause > until:
                    raise self._ours(error) from error
                loading = self._code(error) == _NOT_LOADED and method != "load_collection"
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            if loading:
                self.load(str(args[0]))

    def send(self, collection: str, rows: list[dict[str, Any]]) -> None:
        """Write rows with numbers in `pk`, once, however often it takes."""
        if self.able.upserts:
            self.call("upsert", collection, rows)
            return
        numbers = ", ".join(str(row["pk"]) for row in rows)
        until = time.monotonic() + _PATIENCE
        while True:
            self.check()
            try:
                # A single attempt: pymilvus would send it again without knowing whether it was done.
                self._client.insert(collection, rows, retry_times=0)
                return
            except self._foreign() as error:
                ours = self._ours(error)
                if not isinstance(ours, StoreUnavailable) or time.monotonic() > until:
                    raise ours from error
            self.call("delete", collection, filter=f"pk in [{numbers}]")  # waits for the server

    def plain(self, method: str, **kwargs: Any) -> Any:
        """Call a method that asks the server nothing."""
        return getattr(self._pymilvus.MilvusClient, method)(**kwargs)

    def words_function(self, source: str, target: str) -> Any:
        """What makes the server fill a field with the words of another."""
        kinds: Any = self._pymilvus.FunctionType
        return self._pymilvus.Function(
            name="bm25", function_type=kinds.BM25, input_field_names=[source], output_field_names=[target]
        )

    def guarded(self, work: Callable[[], Any]) -> Any:
        """Do something with an object that a call gave."""
        self.check()
        return self._mapped(work)

    def to_files(self, collection: str) -> None:
        """Have what was written put into files. A server that does not want to now does it by itself later."""
        try:
            self.call("flush", collection)
        except StoreError:
            if self.folder is not None:
                raise

    def load(self, collection: str) -> None:
        """Bring a collection into the server's memory, and wait until it is there."""
        try:
            self.call("load_collection", collection, _async=True)
        except StoreError:
            if not self._without_indexes(collection):
                raise
            self.call("load_collection", collection, _async=True)
        until = time.monotonic() + _PATIENCE
        while self.state(collection) != "Loaded":
            if time.monotonic() > until:
                raise StoreUnavailable(
                    f"the server does not finish loading {collection}", hint="has it memory enough? try again later"
                )
            time.sleep(_POLL)

    def _without_indexes(self, collection: str) -> bool:
        """Remove the index files of a collection of Milvus Lite, which makes them anew from the rows.

        One that was cut short, as a full disk or a power cut leaves it, would keep the collection from being loaded.
        """
        if self.folder is None:
            return False
        files = list((self.folder / "collections" / collection).glob("partitions/*/indexes/*.idx"))
        for file in files:
            file.unlink(missing_ok=True)
        return bool(files)

    def state(self, collection: str) -> str:
        """Whether a collection is `Loaded`, `Loading`, `NotLoad` or `NotExist`."""
        return str(self.call("get_load_state", collection)["state"].name)

    def written_at(self, collection: str) -> int:
        """The server's time of what this process has written to a collection last; 0: nothing."""
        clock: Any = import_module("pymilvus.client.ts_utils")
        handler: Any = self._client._get_connection()
        return int(clock.get_collection_ts(collection, handler.server_address, self._client._config.db_name))

    def check(self) -> None:
        """Raise StoreError if it was closed, or belongs to another process."""
        if self._closed:
            raise StoreError("the store is closed")
        if self._pid != os.getpid():  # the threads of gRPC do not live on in a forked child: it would wait for ever
            raise StoreError("the store was opened in another process", hint="open the library after the fork")

    def close(self) -> None:
        """End the connection; Lite ends with its last one."""
        if not self._closed:
            self._closed = True
            self._client.close()
            self._release()

    def _release(self) -> None:
        if self._lite is None:
            return
        with _STARTING:
            self._lite.users -= 1
            if self._lite.users == 0:
                _RUNNING.pop(str(self.folder), None)
                self._lite.stop()
        self._lite = None

    # errors

    def _foreign(self) -> tuple[type[Exception], ...]:
        return (self._pymilvus.MilvusException, self._grpc.RpcError, self._grpc.FutureTimeoutError)

    def _mapped(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except self._foreign() as error:
            raise self._ours(error) from error

    def _code(self, error: Exception) -> Any:
        code = getattr(error, "code", None)
        return code() if callable(code) else code

    def _later(self, error: Exception) -> bool:
        if self.folder is not None:  # Lite gives the code 1 to whatever it did not expect
            return False
        return self._code(error) in _LATER or bool(_LATER_WORDS.search(str(error)))

    def _ours(self, error: Exception) -> FootageError:
        code, text = self._code(error), str(getattr(error, "message", error)).strip()
        for secret in filter(None, (self._token, self._token.partition(":")[2])):
            text = text.replace(secret, "***")
        text = text[:500]
        if code == _NO_COLLECTION or "collection not found" in text:
            return Vanished(f"the store at {self.shown} lost a collection: {text}", hint="run `footage doctor`")
        if _REFUSED.search(text) or str(code).endswith("UNAUTHENTICATED"):
            return StoreError(
                f"the store at {self.shown} refuses the credentials",
                hint="set FOOTAGE_STORE_TOKEN to user:password or to an API key",
            )
        if _FULL.search(text):
            return StoreError(f"no space left in the store at {self.shown}: {text}", hint="make room, and try again")
        away = re.search(r"UNAVAILABLE|DEADLINE|Fail connecting|Retry|StatusCode|connect", f"{code} {text}")
        if away or self._later(error):
            return StoreUnavailable(
                f"cannot reach the store at {self.shown}: {text.splitlines()[0] if text else code}",
                hint="is the server running, and is the address right? then try again",
            )
        return StoreError(f"the store at {self.shown} failed: {text}", hint="run `footage doctor`")


def _lite(folder: Path) -> _Lite:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _STARTING:
        running = _RUNNING.get(str(folder))
        if running is None:
            running = _RUNNING[str(folder)] = _Lite(folder)
        running.users += 1
        return running
