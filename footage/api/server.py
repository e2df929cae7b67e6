"""Run the app: one process, one library, one port."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from footage.api import create_app
from footage.errors import ConfigError

if TYPE_CHECKING:
    from footage.api.options import ServeOptions
    from footage.library import Library

_CONNECTIONS = 1000  # more of them are refused at once
_KEEP_ALIVE = 15  # seconds that an idle connection is kept
_GOODBYE = 5  # seconds that running answers get at the end
_ARENAS = 2  # heaps of the C library
_M_ARENA_MAX = -8  # malloc.h


def listen(
    library: Library,
    options: ServeOptions,
    *,
    on_open: Callable[[str], None] = lambda _: None,
    certificate: tuple[Path, Path | None] | None = None,
) -> None:
    """Serve until Ctrl-C; `on_open` is told the address once requests can come.

    Raises:
        ConfigError: unsafe options, or the port is taken.
    """
    _few_arenas()
    app = create_app(library, options)
    # The faces that stand on this one; each mounts itself, so that this file need not know what they are.
    for face in ("footage.mcp", "footage.web"):
        if importlib.util.find_spec(face) is not None:
            importlib.import_module(face).mount(app)
    with _bound(options.host, options.port) as sock:
        scheme = "https" if certificate else "http"
        host = f"[{options.host}]" if ":" in options.host else options.host
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody in front of it is trusted to tell who the client is
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GOODBYE,
            ssl_certfile=certificate[0] if certificate else None,
            ssl_keyfile=certificate[1] if certificate else None,
        )
        on_open(f"{scheme}://{host}:{sock.getsockname()[1]}/")
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the way to end it; uvicorn raises it again
            uvicorn.Server(config).run(sockets=[sock])


def _few_arenas() -> None:
    """Keep glibc from giving each thread a heap of its own: what one frees, none of the others could use."""
    if sys.platform == "linux":
        mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, proto)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(socket.SOMAXCONN)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", hint="choose another one with --port"
        ) from error
    return sock
