"""The services themselves, through fsspec: requests with bounded waiting, and their errors in our words."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, TypeVar, cast

from footage.errors import FootageError, MediaDenied, MediaError, MediaNotFound, MediaUnreachable
from footage.places.address import SCHEMES, scheme_of
from footage.places.blocks import NoRanges

T = TypeVar("T")
_CONNECT, _READ = 5.0, 15.0  # seconds for a connection, and without a byte
PATIENCE = 25.0  # seconds for one request with all its retries: below the 30 after which `index` gives up a file
_TRIES = 4
_BACK_OFF = 0.3  # seconds before the second try, then three times as long each
_PIECE = 256 << 10
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE) or the role of the machine; "
    "for another service than Amazon's AWS_ENDPOINT_URL; for a public bucket FSSPEC_S3_ANON=true",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login` or the role of the machine",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or AZURE_CLIENT_ID "
    "with its secret",
    "http": "a line for this host in ~/.netrc",
    "sftp": "a key of the SSH agent, or in ~/.ssh",
}


@dataclass(slots=True)
class Traffic:
    """What was asked of services since the process began."""

    requests: int = 0
    bytes: int = 0
    failures: int = 0  # tries that failed
    seconds: float = 0.0  # waited for them
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, size: int, seconds: float, *, failed: bool = False) -> None:
        """Note one try."""
        with self._lock:
            self.requests += 1
            self.bytes += size
            self.seconds += seconds
            self.failures += failed


TRAFFIC = Traffic()


def filesystem(url: str) -> Any:
    """The fsspec file system that reads this URL; one for a service and host, shared by all threads.

    Raises:
        MediaUnreachable: its package is not installed.
    """
    scheme = scheme_of(url)
    host = url.partition("://")[2].partition("/")[0] if scheme == "sftp" else ""
    try:
        return _filesystem(scheme, host, os.getpid())
    except ImportError:
        package = SCHEMES[scheme]
        raise MediaUnreachable(
            f"cannot read {scheme}:// without the package {package}: {url}",
            uri=url,
            hint="pip install 'footage[cloud]'" if package in ("s3fs", "aiohttp") else f"pip install fsspec {package}",
        ) from None


@lru_cache(maxsize=32)
def _filesystem(scheme: str, host: str, _process: int) -> Any:
    """A client does not survive a fork, hence the process in the key."""
    fsspec: Any = import_module("fsspec")

    plain: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        retries = {"total_max_attempts": 1, "mode": "standard"}  # we try again ourselves, within our patience
        config = {"connect_timeout": _CONNECT, "read_timeout": _READ, "retries": retries}
        system = fsspec.filesystem("s3", config_kwargs=config, **plain)
        system.retries = 1
        return system
    if scheme in ("http", "https"):
        return fsspec.filesystem(scheme, client_kwargs=_http_client(), **plain)
    if scheme == "sftp":
        login, _, address = host.rpartition("@")
        name, _, port = address.partition(":")
        wanted = {"username": login} if login else {}
        wanted |= {"port": int(port)} if port.isdigit() else {}
        return fsspec.filesystem("sftp", host=name, timeout=_CONNECT, banner_timeout=_READ, **wanted, **plain)
    return fsspec.filesystem(scheme, **plain)


def _http_client() -> dict[str, Any]:
    import aiohttp

    async def stay(_session: Any, _context: Any, params: Any) -> None:
        """A redirect to another host could lead anywhere: into the network of a server that reads for others too."""
        target = params.response.headers.get("Location", "")
        there = params.url.join(type(params.url)(target))
        if (there.host, there.scheme) not in ((params.url.host, params.url.scheme), (params.url.host, "https")):
            raise Elsewhere(str(there.host))

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(stay)
    return {
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_READ),
        "headers": {"Accept-Encoding": "identity"},  # ranges are those of the file
        "trust_env": True,  # proxies, and logins in .netrc
        "trace_configs": [trace],
    }


class Elsewhere(Exception):
    """A server sent us to another host."""


def ask(url: str, what: Callable[[Any, float], T], *, size: Callable[[T], int] = lambda _: 0) -> T:
    """Ask the service of a URL, again after failures that may pass, for at most 25 seconds.

    `what` gets the file system and the seconds that are left.

    Raises:
        MediaNotFound: there is no such object, or it may not be read.
        MediaUnreachable: no answer.
    """
    system = filesystem(url)
    until = time.monotonic() + PATIENCE
    pause = _BACK_OFF
    for left in range(_TRIES - 1, -1, -1):
        started = time.monotonic()
        try:
            found = what(system, max(0.5, until - started))
        except (FootageError, NoRanges):
            raise
        except Exception as error:
            TRAFFIC.count(0, time.monotonic() - started, failed=True)
            ours, passing = explained(error, url)
            if not passing or not left or time.monotonic() + pause >= until:
                raise ours from error
        else:
            TRAFFIC.count(size(found), time.monotonic() - started)
            return found
        time.sleep(pause * random.uniform(0.7, 1.3))
        pause *= 3
    raise AssertionError("unreachable: the last try returns or raises")


def called(system: Any, name: str, *args: Any, timeout: float, **options: Any) -> Any:
    """Call a method of a file system; of those that are asynchronous within, for at most `timeout` seconds."""
    inner = getattr(system, f"_{name}", None)
    if not getattr(system, "async_impl", False) or inner is None:
        return getattr(system, name)(*args, **options)
    return import_module("fsspec.asyn").sync(system.loop, inner, *args, timeout=timeout, **options)


class Reader:
    """Fetches ranges of one object."""

    def __init__(self, url: str, size: int, ranges: bool) -> None:
        self.url, self.size, self.ranges = url, size, ranges

    def fetch(self, start: int, end: int) -> bytes:
        """Bytes [start, end), all of them."""

        def get(system: Any, seconds: float) -> bytes:
            data = (
                self._http(system, start, end, seconds)
                if self._is_http
                else _cat(system, self.url, start, end, seconds)
            )
            if len(data) != end - start:
                raise EOFError(f"{len(data)} of {end - start} bytes")
            return data

        try:
            return ask(self.url, get, size=len)
        except NoRanges:
            self.ranges = False
            raise

    def whole(self) -> Iterator[bytes]:
        """All of it, begun anew after a failure; what was given before is not given again."""
        done = 0
        for left in range(_TRIES - 1, -1, -1):
            try:
                with self._stream() as stream:
                    skip = done
                    while piece := self._piece(stream):
                        fresh, skip = piece[skip:], max(0, skip - len(piece))
                        done += len(fresh)
                        if fresh:
                            yield fresh
                if done >= self.size or not left:
                    return
            except MediaUnreachable:
                if not left:
                    raise
            time.sleep(_BACK_OFF * 3 ** (_TRIES - 1 - left))

    def _stream(self) -> Any:
        return ask(self.url, lambda system, _: system.open(self.url, block_size=0, size=self.size))

    def _piece(self, stream: Any) -> bytes:
        started = time.monotonic()
        try:
            data = cast("bytes", stream.read(_PIECE))
        except Exception as error:
            TRAFFIC.count(0, time.monotonic() - started, failed=True)
            message, hint = _unreachable(error, self.url)
            raise MediaUnreachable(message, uri=self.url, hint=hint) from error
        TRAFFIC.bytes += len(data)
        return data

    @property
    def _is_http(self) -> bool:
        return scheme_of(self.url) in ("http", "https")

    def _http(self, system: Any, start: int, end: int, seconds: float) -> bytes:
        file = system.open(self.url, size=self.size, block_size=1, cache_type="none")
        try:
            return cast(
                "bytes",
                import_module("fsspec.asyn").sync(system.loop, file.async_fetch_range, start, end, timeout=seconds),
            )
        except ValueError as error:  # so fsspec says that a server does not know ranges
            if "range requests" in str(error):
                raise NoRanges from None
            raise


def _cat(system: Any, url: str, start: int, end: int, seconds: float) -> bytes:
    return cast("bytes", called(system, "cat_file", system._strip_protocol(url), start=start, end=end, timeout=seconds))


# ------------------------------------------------------------------------------------------------------- errors


def explained(error: BaseException, url: str) -> tuple[MediaError, bool]:
    """Our error for one of a service, and whether it may pass by itself."""
    chain = list(_chain(error))
    denied = _denied(chain, url)
    if denied is not None:
        return denied, False
    status = _status_of(chain)
    if any("NoSuchBucket" in _code(e) for e in chain):  # its objects may well exist, at another address
        message, hint = f"no such bucket: {url}", "check its name, the region and AWS_ENDPOINT_URL"
        return MediaUnreachable(message, uri=url, hint=hint), False
    # fsspec calls everything that happens to HTTP "not found", and tells the truth in the cause.
    missing = isinstance(error, FileNotFoundError) and (len(chain) == 1 or scheme_of(url) not in ("http", "https"))
    if missing or status in (404, 410):
        return MediaNotFound(f"no such file: {url}", uri=url), False
    if elsewhere := next((e for e in chain if isinstance(e, Elsewhere)), None):
        message = f"its server sends us to another host ({elsewhere}): {url}"
        return MediaUnreachable(message, uri=url, hint="give the address on that host itself"), False
    if 400 <= status < 500 and status not in (408, 425, 429):
        return MediaUnreachable(f"its server refuses it ({status}): {url}", uri=url, hint="is the URL right?"), False
    message, hint = _unreachable(error, url)
    return MediaUnreachable(message, uri=url, hint=hint), True


def _denied(chain: list[BaseException], url: str) -> MediaDenied | None:
    names = {type(e).__name__ for e in chain}
    if names & {
        "NoCredentialsError",
        "PartialCredentialsError",
        "DefaultCredentialsError",
        "CredentialUnavailableError",
    }:
        return MediaDenied(f"no credentials for it: {url}", uri=url, hint=_how(url))
    if _status_of(chain) in (401, 403) or any(isinstance(e, PermissionError) for e in chain):
        hint = f"are these the right credentials? They come from {_how(url)}"
        return MediaDenied(f"not allowed to read: {url}", uri=url, hint=hint)
    return None


def _unreachable(error: BaseException, url: str) -> tuple[str, str]:
    """The words for a failure that may pass; the error's own words are left out, for they may hold what is secret."""
    chain = list(_chain(error))
    names = " ".join(type(e).__name__ for e in chain)
    if any(isinstance(e, socket.gaierror) for e in chain) or "DNS" in names:
        return (
            f"no host by that name: {url}",
            "check the name (of S3 also AWS_ENDPOINT_URL), and whether the network is there",
        )
    if any(isinstance(e, TimeoutError) for e in chain) or "Timeout" in names:
        return f"no answer in time: {url}", "the service or the network is slow; what is done is kept, so run it again"
    if any(isinstance(e, EOFError) for e in chain) or "Payload" in names or "IncompleteRead" in names:
        return f"cut off by its server: {url}", "run it again"
    status = _status_of(chain)
    if status:
        return f"its server fails ({status}): {url}", "run it again later"
    return f"cannot be reached: {url}", f"is the service up, and its address right? ({type(error).__name__})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        inner = getattr(seen, "os_error", None) or getattr(seen, "kwargs", {}).get("error")
        seen = seen.__cause__ or (inner if isinstance(inner, BaseException) else None) or seen.__context__


def _status_of(chain: list[BaseException]) -> int:
    return next((status for error in chain if (status := _status(error))), 0)


def _status(error: BaseException) -> int:
    found = getattr(error, "status", None) or getattr(error, "status_code", None)
    if type(error).__name__ == "HttpError":  # of gcsfs; aiohttp calls what is wrong with a body 400
        found = getattr(error, "code", None)
    if isinstance(found, int) and 400 <= found < 600:
        return found
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = cast("dict[str, Any]", response).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return found if isinstance(found, int) and 400 <= found < 600 else 0


def _code(error: BaseException) -> str:
    response = getattr(error, "response", None)
    return str(cast("dict[str, Any]", response).get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _how(url: str) -> str:
    scheme = scheme_of(url)
    return _CREDENTIALS.get(scheme) or _CREDENTIALS["http" if scheme == "https" else "az"]
