"""Long searches: they say how far they are, and stop when nobody waits for them any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from footage.api.copy_models import HowFarOut
from footage.api.downloads import ClientLeft, watching
from footage.api.faults import body, internal_body
from footage.api.service import Service
from footage.errors import FootageError

T = TypeVar("T")
_EVENTS = "text/event-stream"
_TICK = 0.25  # seconds between two looks at the work
_BEAT = 10.0  # seconds: a comment keeps the connection from being taken for dead


@dataclass(slots=True)
class Waiting:
    """Somebody who waits for a search, which stops at its next good place when they do no more."""

    over: bool = False
    what: str = "waiting"
    done: float = 0.0
    of: float = 0.0  # 0: not known yet

    def check(self) -> None:
        """Raise ClientLeft when nobody waits."""
        if self.over:
            raise ClientLeft("the client has left")

    def tell(self, what: str, done: float, of: float) -> None:
        """Say how far it is; raises ClientLeft when nobody waits."""
        self.check()
        self.what, self.done, self.of = what, done, of

    def out(self) -> HowFarOut:
        """For the client."""
        return HowFarOut(what=self.what, done=round(self.done, 2), of=round(self.of, 2))


def described(found: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """What a route may answer that also tells how far it is."""
    said = "Server-sent events, for who accepts them: `progress` at every change, then `answer` or `error`"
    return {200: {"description": said, "content": {_EVENTS: {"schema": {"type": "string"}}}}, **found}


async def waited(
    request: Request | None, service: Service, work: Callable[[Waiting], T], told: Waiting | None = None
) -> T:
    """Do the work behind the gate of copies, as long as somebody waits for it."""
    told = told or Waiting()
    run: Awaitable[T] = service.copying.run(lambda: work(told))
    try:
        if request is None:
            return await run
        async with watching(request.receive, told):
            return await run
    finally:
        told.over = True  # it may have taken too long


async def answered(request: Request, service: Service, work: Callable[[Waiting], BaseModel]) -> Any:
    """The answer; where the client accepts events, a stream of how far it is, and the answer at its end."""
    if _EVENTS not in request.headers.get("accept", ""):
        return await waited(request, service, work)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(service, work), media_type=_EVENTS, headers=headers)


async def _events(service: Service, work: Callable[[Waiting], BaseModel]) -> AsyncGenerator[str]:
    told = Waiting()
    task = asyncio.ensure_future(waited(None, service, work, told))
    seen, still = "", 0.0
    try:
        while not task.done():
            now = told.out().model_dump_json()
            still = 0.0 if now != seen else still + _TICK
            if now != seen:
                yield f"event: progress\ndata: {now}\n\n"
            elif still >= _BEAT:
                still = 0.0
                yield ": still here\n\n"
            seen = now
            await asyncio.wait({task}, timeout=_TICK)
        if (now := told.out().model_dump_json()) != seen:  # it ended between two looks
            yield f"event: progress\ndata: {now}\n\n"
        yield _last(task)
    finally:
        told.over = True  # the client may have left
        task.cancel()


def _last(task: asyncio.Future[BaseModel]) -> str:
    try:
        return f"event: answer\ndata: {task.result().model_dump_json()}\n\n"
    except FootageError as error:
        return f"event: error\ndata: {body(error).model_dump_json()}\n\n"
    except Exception:  # noqa: BLE001 - the top of a face, where the status is sent already
        # The server's log has the traceback.
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a copy search broke", "exception": task.exception(), "future": task}
        )
        return f"event: error\ndata: {internal_body().model_dump_json()}\n\n"
