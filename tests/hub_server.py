"""A model hub on the loopback that behaves as the real one does: listings, redirects, ranges, and its bad days."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """What is served, and how badly."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []  # path and headers of each request
        self.fail: Counter[str] = Counter()  # path's end -> how often it answers 503 first
        self.cut: dict[str, int] = {}  # path's end -> bytes after which each connection breaks
        self.denied: set[str] = set()  # repositories that want an agreement
        self.swap: dict[str, bytes] = {}  # path's end -> other content of the same length than the listing says
        self.no_ranges = False
        self.slow = 0.0  # seconds before anything is answered
        self.held = ""  # path's end: not answered before `hold` is set
        self.hold = threading.Event()
        self.endpoint = ""

    def add(self, repo: str, folder: Path) -> None:
        files = (path for path in folder.rglob("*") if path.is_file())
        self.repos[repo] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def gets(self, end: str) -> list[dict[str, str]]:
        return [headers for path, headers in self.seen if path.endswith(end)]

    def listing(self, repo: str) -> dict[str, Any]:
        siblings = []
        for name, content in self.repos[repo].items():
            sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": sha1}
            if name.endswith(".onnx"):
                entry["blobId"] = "f" * 40  # of the pointer, not of the content
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        return {"id": repo, "sha": COMMIT, "siblings": siblings}


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.seen.append((path, dict(self.headers.items())))
        if hub.slow:
            hub.hold.wait(hub.slow)
        if hub.held and path.endswith(hub.held):
            hub.hold.wait(120)
        for end in list(hub.fail):
            if path.endswith(end) and hub.fail[end] > 0:
                hub.fail[end] -= 1
                return self.answer(503, b"busy", {"Retry-After": "0"})
        parts = path.strip("/").split("/")
        if path.startswith("/api/models/"):
            return self.api("/".join(parts[2:4]), parts[5])
        if path.startswith("/cdn/"):
            return self.content("/".join(parts[1:3]), "/".join(parts[3:]))
        return self.resolve("/".join(parts[:2]), parts, path)

    def api(self, repo: str, revision: str) -> None:
        if repo in self.hub.denied and "Authorization" not in self.headers:
            return self.answer(401, b'{"error": "gated"}')
        if repo not in self.hub.repos or revision not in ("main", COMMIT):
            return self.answer(404, b'{"error": "not found"}')
        return self.answer(200, json.dumps(self.hub.listing(repo)).encode())

    def resolve(self, repo: str, parts: list[str], path: str) -> None:
        name = "/".join(parts[4:])
        if repo not in self.hub.repos or parts[2] != "resolve" or name not in self.hub.repos[repo]:
            return self.answer(404, b"Entry not found")
        if name.endswith(".onnx"):  # large files lie elsewhere: a redirect, to another host name even
            port = self.server.server_address[1]
            content = self.hub.repos[repo][name]
            etag = {"X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Linked-Size": str(len(content))}
            return self.answer(302, b"", {"Location": f"http://localhost:{port}/cdn/{repo}/{name}", **etag})
        return self.content(repo, name)

    def content(self, repo: str, name: str) -> None:
        content = self.hub.swap.get(name, self.hub.repos[repo][name])
        wanted = self.headers.get("Range", "")
        if not wanted or self.hub.no_ranges:
            etag = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            return self.answer(200, content, {"ETag": f'"{etag}"'}, name=name)
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        told = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        return self.answer(206, content[start:], told, name=name)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, name: str = "") -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        limit = next((n for end, n in self.hub.cut.items() if name and name.endswith(end)), len(body))
        self.wfile.write(body[:limit])
        if limit < len(body):
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[FakeHub]:
    """Serve a hub on a free port of the loopback until the block ends."""
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        hub.hold.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def until(true: Any, seconds: float = 120) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
