"""The REST face: every verb of `Library` under /api/v1, behind the checks of `security.py`.

`create_app` makes the ASGI app that `footage serve` runs; the web page is mounted on it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio.to_thread
from fastapi import APIRouter, FastAPI

from footage import __version__
from footage.api import (
    copy_routes,
    export_routes,
    faults,
    job_routes,
    judgement_routes,
    model_routes,
    search_routes,
    security,
    shared,
    system_routes,
    upload_routes,
    video_routes,
)
from footage.api.metrics import Measured
from footage.api.options import Limits, ServeOptions
from footage.api.service import Service

if TYPE_CHECKING:
    from footage.library import Library

App = FastAPI
"""What the other faces mount themselves on: they put routes on it, and may add to `state.lifespans`."""

__all__ = ["App", "Limits", "ServeOptions", "Service", "create_app"]


def create_app(library: Library, options: ServeOptions | None = None) -> FastAPI:
    """Make the app that serves one library.

    Raises:
        ConfigError: it would be open to others without a login.
    """
    options = (options or ServeOptions()).check()
    service = Service.of(library, options)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for enter in app.state.lifespans:  # of what is mounted on this app
                await stack.enter_async_context(enter())
            await anyio.to_thread.run_sync(service.warm)
            yield
        await anyio.to_thread.run_sync(service.close)

    app = FastAPI(
        title="Footage",
        version=__version__,
        summary="Find any moment in your video.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # their pages load scripts from other hosts
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.lifespans = []
    faults.install(app)
    root = APIRouter(prefix="/api/v1")
    routes = (search_routes, copy_routes, video_routes, export_routes, job_routes, model_routes, upload_routes)
    for part in (*routes, judgement_routes, system_routes):
        root.include_router(part.router)
    app.include_router(root)
    app.include_router(system_routes.outside)
    if options.shared:
        sessions = shared.SharedSessions(shared.room(library.path, "sessions"), options)
        service.board = shared.Board(
            shared.room(library.path, "jobs"), service.jobs, lambda job: job_routes.job_out(job, service)
        )
    else:
        sessions = security.Sessions(options.limits.sessions, options.limits.session_seconds)
    keys = security.Keys(options.token, options.users)
    login = security.Login(options, sessions, keys)
    app.add_route("/login", login.form, methods=["GET"])
    app.add_route("/login", login.submit, methods=["POST"])
    app.add_route("/logout", login.logout, methods=["POST"])
    app.add_middleware(security.Guard, options=options, sessions=sessions, keys=keys)
    app.add_middleware(Measured, metrics=service.metrics)
    return app
