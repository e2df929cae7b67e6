"""A real S3 server (moto's) on the loopback, and in front of it a gate that counts, delays, refuses and cuts off."""

from __future__ import annotations

import http.client
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from footage.places import remote, system

DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@dataclass
class Gate:
    """An HTTP proxy on the loopback; its behaviour may be changed while it runs."""

    upstream: tuple[str, int]
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path, range) of what came in."""
    sent: int = 0  # bytes of bodies that were sent
    delay: float = 0.0  # seconds before an answer
    deny: Callable[[str], bool] = lambda _: False  # by path: 403
    cut: Callable[[str], bool] = lambda _: False  # by path: a body ends in the middle
    fail: int = 0  # so many of the next requests get a 503
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def clear(self) -> None:
        self.requests.clear()
        self.sent = 0


@contextmanager
def gate(upstream: tuple[str, int]) -> Iterator[Gate]:
    found = Gate(upstream)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            found.requests.append((self.command, self.path, self.headers.get("range", "")))
            time.sleep(found.delay)
            if found.deny(self.path):
                self._answer(403, {"content-type": "application/xml"}, DENIED)
                return
            if found.fail > 0:
                found.fail -= 1
                self._answer(503, {}, b"")
                return
            link = http.client.HTTPConnection(*found.upstream, timeout=120)
            link.request(self.command, self.path, body, dict(self.headers))
            answer = link.getresponse()
            data = answer.read()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
            link.close()
            self._answer(answer.status, kept, data, cut=found.cut(self.path))

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do

        def _answer(self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "content-length" not in {name.lower() for name in headers}:
                self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            data = data[: len(data) // 2] if cut else data
            self.wfile.write(data)
            found.sent += len(data)
            if cut:
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class Store:
    """One bucket, reached through the gate."""

    client: Any
    gate: Gate
    bucket: str
    environ: dict[str, str]

    def put(self, key: str, what: Path | bytes) -> str:
        """Store an object, past the gate; returns its URL."""
        data = what.read_bytes() if isinstance(what, Path) else what
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)
        return self.url(key)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def url(self, key: str = "") -> str:
        return f"s3://{self.bucket}/{key}" if key else f"s3://{self.bucket}"


def forget() -> None:
    """Drop the clients and what they read: another test has another server."""
    system._filesystem.cache_clear()
    remote._shared.cache_clear()


@contextmanager
def s3_server() -> Iterator[tuple[str, int]]:
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield host, int(port)
    finally:
        server.stop()


@contextmanager
def store(server: tuple[str, int], bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("s3fs")
    with gate(server) as found:
        environ = {
            "AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST",
            "AWS_SECRET_ACCESS_KEY": "a-very-secret-key",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": found.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=f"http://{server[0]}:{server[1]}")
        client.create_bucket(Bucket=bucket)
        forget()
        yield Store(client, found, bucket, environ)
        forget()
