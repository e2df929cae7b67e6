"""A real Milvus server for tests, in a network namespace of its own, reached through a relay on the loopback.

The standalone server of the package `milvus` listens on all interfaces. Here it is started where there are none but a
loopback of its own. The relay's socket was opened before the process left for that namespace, and sockets stay where
they were opened: so it hears the loopback outside and speaks to the one inside.

    python tests/milvus_server.py DIR       prints the port, or why not; then obeys lines on stdin: stop, start, kill
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import functools
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

_NO_NAMESPACE = "no network namespace"
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000  # of <sched.h>
_DIE_WITH_PARENT = 1  # of <sys/prctl.h>
# Milliseconds between looks of the server's own parts at each other: tests make many small collections.
_QUICK = {
    "queryCoord.checkInterval": 100,
    "queryCoord.checkChannelInterval": 100,
    "queryCoord.checkSegmentInterval": 100,
    "queryCoord.checkHandoffInterval": 500,
    "queryCoord.distPullInterval": 100,
    "queryCoord.updateNextTargetInterval": 1,
    "proxy.timeTickInterval": 50,
}
_SET_FLAGS, _UP = 0x8914, 0x1  # of <linux/sockios.h>, <net/if.h>


class NotHere(Exception):
    """This machine does not let us start a server that nobody else could reach."""


class MilvusProcess:
    """The server and its relay, in a process of their own; `uri` is where it answers."""

    def __init__(self, folder: Path, *, timeout: float = 300) -> None:
        command = [sys.executable, __file__, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.folder = folder
        told = self._answer(timeout)
        if not told.isdigit():
            self._process.wait(60)
            kind = NotHere if told.startswith(_NO_NAMESPACE) else OSError
            raise kind(told or "the server did not start")
        self.uri = f"http://127.0.0.1:{told}"

    def tell(self, word: str, timeout: float = 300) -> None:
        """Send `stop` (in order), `kill` (at once) or `start`, and wait until it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        answer = self._answer(timeout)
        assert answer == "done", answer

    def close(self) -> None:
        """Stop the server; afterwards neither it nor the relay is there."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(120)

    def _answer(self, timeout: float) -> str:
        import selectors

        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                self._process.kill()
                return f"no answer after {timeout:g} s"
        return self._process.stdout.readline().strip()


def _leave() -> None:
    """Go into a new network namespace, with the loopback up."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NET) != 0 and libc.unshare(_NEW_USER | _NEW_NET) != 0:
        raise OSError(f"{_NO_NAMESPACE}: {os.strerror(ctypes.get_errno())}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SET_FLAGS, struct.pack("16sh", b"lo", _UP))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


class _Server:
    def __init__(self, folder: Path) -> None:
        from milvus import MilvusServer, MilvusServerConfig

        # However this process ends, and whoever kills it: nothing of the server is left.
        subprocess.Popen = functools.partial(subprocess.Popen, preexec_fn=_die_with_parent)
        self._server = MilvusServer(MilvusServerConfig(data_dir=str(folder)))
        # The server takes what its file does not name from the environment.
        os.environ.update({name.upper().replace(".", "_"): str(value) for name, value in _QUICK.items()})

    def start(self) -> None:
        self._server.start()

    def stop(self, *, kill: bool = False) -> None:
        """End the process and wait for it; the package's own `stop` waits for a second only."""
        process = self._server.server_proc
        if process is not None:
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._server.server_proc = None
        self._server.stop()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._server.listen_port)
        except OSError:
            writer.close()
            return
        with contextlib.suppress(asyncio.CancelledError):  # the end of all
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))


async def _serve(folder: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        _leave()
    except OSError as error:
        print(error, flush=True)
        return
    server = _Server(folder)
    try:
        server.start()
        relay = await asyncio.start_server(server.relay, sock=listener)
        print(listener.getsockname()[1], flush=True)
        loop = asyncio.get_running_loop()
        while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            act = {"start": server.start, "stop": server.stop, "kill": lambda: server.stop(kill=True)}[word]
            await loop.run_in_executor(None, act)
            print("done", flush=True)
        relay.close()
    finally:
        server.stop()


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asyncio.run(_serve(Path(sys.argv[1])))
