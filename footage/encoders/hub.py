"""The model hub over HTTP: what a repository holds, and its files, into the hub's own cache folder.

Standard library only. The hub's client (huggingface_hub 2) throws away what an interrupted download had got, and its
settings are read when it is imported; a model of 1.5 GB over a slow line wants to go on where it was. The layout of
its cache is kept (`models--OWNER--NAME/snapshots/COMMIT/FILE`), so that transformers and others find what we fetched,
and we find what they fetched.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from footage.errors import EncoderError, EncoderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    Request = urllib.request.Request

_ENDPOINT = "https://huggingface.co"
_CHUNK = 1 << 20
_REPO = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_AGAIN = (408, 429, 500, 502, 503, 504)  # statuses after which the same request may succeed
_LONGEST_PAUSE = 30.0  # seconds, whatever the server asks for


@dataclass(frozen=True, slots=True)
class Hub:
    """Where models are looked for."""

    cache: Path  # of the hub's client: models--OWNER--NAME folders
    endpoint: str = _ENDPOINT
    offline: bool = False
    token: str = ""
    timeout: float = 20.0  # seconds without a byte after which a connection is given up
    tries: int = 6  # in a row, without a byte gained
    pause: float = 0.5  # seconds before the second try; doubles


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository, as the hub describes it."""

    path: str
    size: int  # bytes; -1: not told
    sha256: str = ""  # of files in large storage
    blob: str = ""  # git's name of the content: a SHA-1


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit."""

    repo: str
    commit: str
    files: tuple[HubFile, ...]


def from_environment() -> Hub:
    """The hub as its own client would see it: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN."""
    env = os.environ
    base = env.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    home = Path(env.get("HF_HOME") or Path(base) / "huggingface").expanduser()
    cache = Path(env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or home / "hub").expanduser()
    offline = (env.get("HF_HUB_OFFLINE") or env.get("TRANSFORMERS_OFFLINE") or "").strip().upper()
    endpoint = (env.get("HF_ENDPOINT") or _ENDPOINT).rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        raise EncoderUnavailable(f"HF_ENDPOINT is no address: {endpoint}", hint="for example https://huggingface.co")
    return Hub(cache, endpoint, offline in ("1", "ON", "YES", "TRUE"), env.get("HF_TOKEN", "").strip())


def listing(hub: Hub, repo: str, revision: str | None = None) -> Listing:
    """Ask the hub what a repository holds.

    Raises:
        EncoderUnavailable: offline, not reachable, or no such repository.
    """
    _check_repo(repo)
    path = f"/api/models/{repo}/revision/{urllib.parse.quote(revision or 'main', safe='')}?blobs=true"
    try:
        with _open(hub, hub.endpoint + path) as answer:
            values: Any = json.loads(answer.read())
        files = [_file(entry) for entry in values["siblings"]]
        commit = str(values["sha"])
    except _BROKEN as error:
        raise _unavailable(hub, repo, error) from None
    except (ValueError, KeyError, TypeError) as error:
        raise EncoderUnavailable(f"{hub.endpoint} does not answer like a model hub: {_word(error)}") from None
    if not _COMMIT.fullmatch(commit) or (revision and _COMMIT.fullmatch(revision) and commit != revision):
        raise EncoderUnavailable(f"{hub.endpoint} answered with another revision of {repo}: {commit[:40]}")
    return Listing(repo, commit, tuple(files))


def _file(entry: dict[str, Any]) -> HubFile:
    path = str(entry["rfilename"])
    if path.startswith("/") or ".." in path.split("/") or "\\" in path or ":" in path:
        raise ValueError(f"a file outside of its repository: {path}")
    large: dict[str, Any] = entry.get("lfs") or {}
    size = large.get("size", entry.get("size"))
    return HubFile(path, -1 if size is None else int(size), str(large.get("sha256", "")), str(entry.get("blobId", "")))


def snapshot(hub: Hub, repo: str, revision: str | None = None) -> tuple[Path, str] | None:
    """The folder and commit of a repository in the cache, whoever fetched it; nothing is asked of the network."""
    _check_repo(repo)
    folder = hub.cache / f"models--{repo.replace('/', '--')}"
    commit = revision or "main"
    if not _COMMIT.fullmatch(commit):
        try:
            commit = (folder / "refs" / commit).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
    found = folder / "snapshots" / commit
    return (found, commit) if _COMMIT.fullmatch(commit) and found.is_dir() else None


def place(hub: Hub, what: Listing) -> Path:
    """The folder in the cache where the files of this commit belong."""
    return hub.cache / f"models--{what.repo.replace('/', '--')}" / "snapshots" / what.commit


def note(hub: Hub, what: Listing, revision: str | None = None) -> None:
    """Note in the cache, after all files are there, which commit the name of a revision stands for."""
    name = revision or "main"
    if _COMMIT.fullmatch(name):
        return
    ref = hub.cache / f"models--{what.repo.replace('/', '--')}" / "refs" / name
    ref.parent.mkdir(parents=True, exist_ok=True)
    partial = ref.with_name(ref.name + ".partial")
    partial.write_text(what.commit, encoding="ascii")
    partial.replace(ref)


def address(hub: Hub, what: Listing, file: HubFile) -> str:
    """The address of a file."""
    return f"{hub.endpoint}/{what.repo}/resolve/{what.commit}/{urllib.parse.quote(file.path)}"


def fetch(hub: Hub, url: str, file: HubFile, target: Path, on_bytes: Callable[[int], None]) -> str:
    """Fetch one file to `target`, going on where an earlier try ended; returns its SHA-256.

    `on_bytes` is told how many bytes of the file are here, now and then. The file appears under its name only when it
    is whole and what the hub says it is; what was got so far stays beside it as `NAME.partial`.

    Raises:
        EncoderUnavailable: the connection failed again and again, or the hub refused.
        EncoderError: the file is not what it should be; nothing is kept of it.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_all(hub, url, file, partial, on_bytes)
        digest = check(partial, file)
        partial.replace(target)  # atomic: other processes see the whole file or none
    except EncoderError as error:
        if not isinstance(error, EncoderUnavailable):
            partial.unlink(missing_ok=True)
        raise
    except OSError as error:
        raise EncoderUnavailable(f"cannot write {partial}: {error.strerror or error}") from None
    return digest


def check(path: Path, file: HubFile) -> str:
    """Compare a file with the hub's description, and return its SHA-256.

    Raises:
        EncoderError: it differs.
    """
    size = path.stat().st_size
    if file.size >= 0 and size != file.size:
        raise EncoderError(f"{file.path} has {size} bytes, not {file.size}", hint="pull it again")
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    small = not file.sha256 and bool(file.blob)
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            sha256.update(chunk)
            if small:
                sha1.update(chunk)
    if file.sha256 and sha256.hexdigest() != file.sha256:
        raise wrong_hash(file.path, file.sha256, sha256.hexdigest())
    if small and sha1.hexdigest() != file.blob:
        raise wrong_hash(file.path, file.blob, sha1.hexdigest())
    return sha256.hexdigest()


def wrong_hash(path: str, wanted: str, found: str) -> EncoderError:
    """The error of a file whose digest is another than it should be."""
    return EncoderError(
        f"wrong hash: {path} is {found[:12]}..., not {wanted[:12]}...",
        hint="the file was damaged on its way, or replaced: pull it again, or from another place",
    )


def _fetch_all(hub: Hub, url: str, file: HubFile, partial: Path, on_bytes: Callable[[int], None]) -> None:
    """Append to `partial` until it is whole; only tries that gain nothing count as failed."""
    failed, pause = 0, hub.pause
    while True:
        have = partial.stat().st_size if partial.exists() else 0
        if file.size >= 0 and have > file.size:
            partial.unlink()
            have = 0
        on_bytes(have)
        if have and have == file.size:
            return
        wait = 0.0
        try:
            if _fetch_some(hub, url, partial, have, on_bytes) and file.size in (-1, partial.stat().st_size):
                return
            error: Exception = ConnectionError("the connection was cut")
        except _BROKEN as caught:
            error = caught
            if isinstance(error, urllib.error.HTTPError):
                if error.code == 416:  # what we have is longer than the file: it was another one
                    partial.unlink(missing_ok=True)
                elif error.code not in _AGAIN:
                    raise _unavailable(hub, file.path, error) from None
                wait = _retry_after(error)
        gained = (partial.stat().st_size if partial.exists() else 0) > have
        failed, pause = (0, hub.pause) if gained else (failed + 1, pause * 2)
        if failed >= hub.tries:
            raise _unavailable(hub, file.path, error)
        time.sleep(min(max(wait, pause), _LONGEST_PAUSE))


def _fetch_some(hub: Hub, url: str, partial: Path, have: int, on_bytes: Callable[[int], None]) -> bool:
    """One connection: append what comes; tell whether it ended where the server said it would."""
    with _open(hub, url, {"Range": f"bytes={have}-"} if have else {}) as answer:
        went_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        told = answer.headers.get("Content-Length")
        got = 0
        with partial.open("ab" if went_on else "wb") as out:
            start = have if went_on else 0
            while chunk := answer.read(_CHUNK):
                out.write(chunk)
                got += len(chunk)
                on_bytes(start + got)
    return told is None or got == int(told)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but give the token to no other host, and leave no https for http."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """Make the request that follows."""
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme, new.scheme) == ("https", "http"):
            raise urllib.error.URLError(f"a redirect to {new.scheme}://{new.netloc} is not followed")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and old.netloc != new.netloc:
            request.remove_header("Authorization")
        return request


def _open(hub: Hub, url: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    if hub.offline:
        raise urllib.error.URLError("HF_HUB_OFFLINE is set")
    request = urllib.request.Request(url, headers={"User-Agent": "footage", **(headers or {})})
    if hub.token and url.startswith(hub.endpoint + "/"):
        request.add_header("Authorization", f"Bearer {hub.token}")
    opener = urllib.request.build_opener(_Redirects)
    return cast("http.client.HTTPResponse", opener.open(request, timeout=hub.timeout))


_BROKEN = (OSError, http.client.HTTPException)  # URLError and timeouts are OSErrors


def _retry_after(error: urllib.error.HTTPError) -> float:
    try:
        return float(error.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0


def _unavailable(hub: Hub, what: str, error: BaseException) -> EncoderUnavailable:
    code = error.code if isinstance(error, urllib.error.HTTPError) else 0
    if isinstance(error, urllib.error.HTTPError):
        error.close()
    if hub.offline:
        hint = "unset HF_HUB_OFFLINE, or take the weights from a folder: footage models pull NAME --from DIR"
        return EncoderUnavailable(f"not here, and offline: {what}", hint=hint)
    if code in (401, 403):
        hint = "its makers want you to agree on its page first: do so, and give your token in HF_TOKEN"
        return EncoderUnavailable(f"not allowed by {hub.endpoint}: {what}", hint=hint)
    if code == 404:
        return EncoderUnavailable(f"not found at {hub.endpoint}: {what}", hint="check the name, or the revision")
    hint = "run the same command again: it goes on where it was; HF_ENDPOINT names a mirror, --from DIR a folder"
    return EncoderUnavailable(f"cannot fetch {what} from {hub.endpoint}: {_word(error)}", hint=hint)


def _word(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return " ".join(str(reason).split())[:160] or type(error).__name__


def _check_repo(repo: str) -> None:
    if not _REPO.fullmatch(repo) or ".." in repo:
        raise EncoderError(f"not a repository of models: {repo}", hint="OWNER/NAME")
