"""The web page: Gradio Blocks around one HTML component, whose script is the page and talks to the REST API.

Gradio carries the page and nothing else: it has no events of its own, so of its many addresses (uploads, files by path,
proxies, queues) only the page itself and its assets are let through. The script lies in `page/`, one module a purpose,
served as it is: no build step, no other host.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from footage.api import App, Service

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_GRADIO = ("/", "/theme.css", "/static/{rest:path}", "/assets/{rest:path}", "/svelte/{rest:path}", "/manifest.json")
"""What the browser asks of Gradio for a page without events."""

# Gradio compiles a component's script in the browser, hence 'unsafe-eval'; the first word still rules out every other
# host, and no text of a video or user ever becomes markup (page/dom.js).
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_YEAR = 31_536_000

_TEMPLATE = '<div class="footage" data-guarded="${guarded}"></div>'
_HEAD = '<link rel="stylesheet" href="/page/{version}/page.css"><link rel="icon" href="/page/{version}/icon.svg">'
_SCRIPT = """
const root = element.querySelector(".footage");
import("/page/{version}/main.js").then((page) => page.start(root, {{ guarded: root.dataset.guarded === "true" }}));
"""
# Gradio's frame around the component gives way; its loading screen keeps our ground, so that nothing flashes.
_FRAME = """
body, gradio-app, .gradio-container { background: #f6f6f4 !important; margin: 0; }
@media (prefers-color-scheme: dark) { body, gradio-app, .gradio-container { background: #141414 !important; } }
.gradio-container, .gradio-container main.contain, .gradio-container .app, .gradio-container .fillable {
  padding: 0 !important; margin: 0 !important; max-width: none !important; min-width: 0 !important; }
.gradio-container .column, .gradio-container .block, .gradio-container .wrap { gap: 0; }
footer { display: none !important; }
"""


def mount(app: App) -> None:
    """Put the page on the app at `/`.

    Gradio takes seconds to import, so it is done on the side when the server starts: the API answers at once, and a
    page that is asked for earlier waits for it.
    """
    service: Service = app.state.service
    files = _files()
    version = _version(files)
    page = _Page(version, service.options.guarded)
    app.state.lifespans.append(page.lifespan)

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files or request.path_params["version"] != version:
            raise HTTPException(404)
        data, kind = files[name]
        return Response(data, media_type=kind, headers={"cache-control": f"private, max-age={_YEAR}, immutable"})

    async def icon(_: Request) -> Response:
        data, kind = files["icon.svg"]
        return Response(data, media_type=kind, headers={"cache-control": "private, max-age=86400"})

    routes = [Route("/page/{version}/{name}", file), Route("/favicon.ico", icon)]
    routes += [Route(path, page, methods=None) for path in _GRADIO]
    app.router.routes.extend(routes)


class _Page:
    """Gradio's app, made on the side, and only its harmless part."""

    def __init__(self, version: str, guarded: bool) -> None:
        self._version, self._guarded = version, guarded
        self._made: asyncio.Task[ASGIApp] | None = None

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self._made = asyncio.create_task(asyncio.to_thread(_gradio, self._version, self._guarded))
        yield
        with suppress(Exception):  # told to whoever asked for the page
            await self._made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"allow": "GET, HEAD"})
        if self._made is None:
            raise HTTPException(503)
        app = await asyncio.shield(self._made)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", _POLICY.encode())]
            await send(message)

        await app(scope, receive, sending)


def _gradio(version: str, guarded: bool) -> ASGIApp:
    """Build Gradio's app: one page, one component, no events, nothing shared or reported."""
    import gradio as gr
    from fastapi import FastAPI
    from gradio.themes import Base

    fonts = ["system-ui", "sans-serif"]  # the default ones come from another host
    with gr.Blocks(title="Footage", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(
            "",
            html_template=_TEMPLATE,
            js_on_load=_SCRIPT.format(version=version),
            apply_default_css=False,
            guarded=json.dumps(guarded),
        )
    return gr.mount_gradio_app(  # pyright: ignore[reportUnknownMemberType]
        FastAPI(openapi_url=None),
        blocks,
        path="",
        ssr_mode=False,
        show_error=False,
        run_history=False,
        footer_links=[],
        theme=Base(font=fonts, font_mono=["monospace"]),
        css=_FRAME,
        head=_HEAD.format(version=version),
    )


@lru_cache(maxsize=1)
def _files() -> Mapping[str, tuple[bytes, str]]:
    """The files of the page by name, with their types; nothing else can be asked for."""
    folder = Path(__file__).parent / "page"
    return {f.name: (f.read_bytes(), _TYPES[f.suffix]) for f in sorted(folder.iterdir()) if f.suffix in _TYPES}


def _version(files: Mapping[str, tuple[bytes, str]]) -> str:
    digest: Any = hashlib.sha256()
    for name, (data, _) in files.items():
        digest.update(name.encode() + b"\0" + data)
    return digest.hexdigest()[:12]
