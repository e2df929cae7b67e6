"""Who may come in: the checks in front of every request, and the login.

In this order: the Host is one of ours (a name that was made to point here, DNS rebinding, is not), the request does not
come from another site's page, the body is within its limit and keeps coming, and the caller has logged in.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from footage.api import faults
from footage.api.faults import Busy, Forbidden, RequestRefused, TooLarge, TooSlow, Unauthorized
from footage.api.options import ServeOptions, is_loopback

if TYPE_CHECKING:
    from argon2 import PasswordHasher

COOKIE = "footage_session"
OPEN = frozenset(("/healthz", "/readyz", "/login"))  # answered to anyone
_TRIES, _TRY_SECONDS = 10, 60.0  # failed logins from one address in a minute
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # addresses hold queries
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Sessions:
    """Who is logged in by cookie. Kept in memory, by digest: a new start logs everyone out."""

    def __init__(self, limit: int, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._seconds, self._now = limit, seconds, now
        self._lock = threading.Lock()
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def new(self) -> str:
        """Begin a session; the oldest one ends when there are too many."""
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._until) >= self._limit:
                self._until.popitem(last=False)
            self._until[_digest(cookie)] = self._now() + self._seconds
        return cookie

    def known(self, cookie: str) -> bool:
        """Tell whether a session goes on."""
        with self._lock:
            until = self._until.get(_digest(cookie))
            if until is not None and until < self._now():
                del self._until[_digest(cookie)]
            return until is not None and until >= self._now()

    def end(self, cookie: str) -> None:
        """Log out."""
        with self._lock:
            self._until.pop(_digest(cookie), None)


class Keys:
    """The token and the passwords."""

    def __init__(self, token: str | None, users: Mapping[str, str]) -> None:
        self._token = _digest(token) if token is not None else None
        self._users = dict(users)
        self._hasher: PasswordHasher | None = None
        self._nobody = ""
        if users:
            self._hasher = hasher()
            self._nobody = self._hasher.hash(secrets.token_urlsafe())

    def token(self, given: str) -> bool:
        """Compare in a time that tells nothing: digests are of one length."""
        return self._token is not None and hmac.compare_digest(self._token, _digest(given))

    def password(self, name: str, given: str) -> bool:
        """Check a password; a name that does not exist takes as long as one that does. Slow on purpose."""
        if self._hasher is None:
            return False
        from argon2.exceptions import Argon2Error, InvalidHashError

        known = name in self._users
        try:
            return self._hasher.verify(self._users.get(name, self._nobody), given[:1000]) and known
        except (Argon2Error, InvalidHashError):
            return False


class Tries:
    """Counts failed logins by address."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise Busy when an address failed too often."""
        failed = self._failed.get(address)
        while failed and failed[0] < self._now() - _TRY_SECONDS:
            failed.popleft()
        if failed and len(failed) >= _TRIES:
            raise Busy("too many failed logins", hint="wait a minute")

    def failed(self, address: str) -> None:
        """Note a failure; only so many addresses are remembered."""
        self._failed.setdefault(address, deque(maxlen=_TRIES)).append(self._now())
        self._failed.move_to_end(address)
        while len(self._failed) > 10_000:
            self._failed.popitem(last=False)


def hasher() -> PasswordHasher:
    """Argon2id with the parameters of RFC 9106's second choice (64 MiB): some 50 ms a try."""
    from argon2 import PasswordHasher

    return PasswordHasher()


class Guard:
    """The checks in front of every request, as ASGI middleware."""

    def __init__(self, app: ASGIApp, options: ServeOptions, sessions: Sessions, keys: Keys) -> None:
        self.app, self.options, self.sessions, self.keys = app, options, sessions, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with the reason why not."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._body_limit(scope, headers)
        body = _Body(receive, limit, self.options.limits.idle_seconds)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if body.refused is not None and not started:
                return  # what the app makes of a body that was cut off; the reason is told below
            if message["type"] == "http.response.start":
                started = True
                sent = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    sent.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    sent.setdefault("cache-control", "no-store")
            await send(message)

        try:
            self._check(scope, headers, limit)
            await self.app(scope, body, sending)
        except RequestRefused as error:
            if started:
                raise
            body.refused = error
        refused, body.refused = body.refused, None
        if refused is not None and not started:
            await self._refuse(refused, scope, headers)(scope, receive, sending)

    def _check(self, scope: Scope, headers: Headers, limit: int) -> None:
        host = headers.get("host", "")
        if not self._ours(host):
            raise Forbidden("this server is not known by that name", hint="open it by its address, or start it with "
                            "--name NAME")  # fmt: skip
        if _foreign(scope, headers, host):
            raise Forbidden("refused: the request comes from another site")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > limit:
            raise TooLarge(f"the request is larger than {max(1, limit >> 10)} KB")
        if self.options.guarded and scope["path"] not in OPEN and not self._authorised(headers):
            raise Unauthorized("not logged in", hint="send `Authorization: Bearer TOKEN`, or log in at /login")
        if scope["type"] == "websocket":
            raise Forbidden("no websockets here")

    def _ours(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        if name in self.options.hosts:
            return True
        if self.options.local:
            return name == "localhost" or is_loopback(name)
        return bool(name) and not self.options.hosts

    def _authorised(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.keys.token(given.strip()):
            return True
        cookie = Request({"type": "http", "headers": headers.raw}).cookies.get(COOKIE)
        return cookie is not None and self.sessions.known(cookie)

    def _body_limit(self, scope: Scope, headers: Headers) -> int:
        limits = self.options.limits
        if not headers.get("content-type", "").startswith("multipart/"):
            return limits.json_bytes
        path = scope["path"].rstrip("/")
        if path == "/api/v1/uploads":
            return limits.video_bytes
        if path in ("/api/v1/query-files", "/api/v1/search/files"):
            return limits.files * limits.clip_bytes
        return limits.json_bytes if path.startswith(("/api/", "/mcp", "/login")) else limits.clip_bytes

    def _refuse(self, error: RequestRefused, scope: Scope, headers: Headers) -> Response:
        wants_page = scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", "")
        if isinstance(error, Unauthorized) and wants_page and not scope["path"].startswith("/api/"):
            asked = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            return RedirectResponse(f"/login?next={quote(asked, safe='')}", 303)
        return faults.response(error)


class _Body:
    """The body of a request as it arrives, counted and timed."""

    def __init__(self, receive: Receive, limit: int, seconds: float) -> None:
        self._receive, self._limit, self._seconds = receive, limit, seconds
        self._got = 0
        self._ended = False
        self.refused: RequestRefused | None = None

    async def __call__(self) -> Message:
        if self._ended:  # from here on the app waits for the client to go away, for as long as it takes
            return await self._receive()
        try:
            with anyio.fail_after(self._seconds):
                message = await self._receive()
        except TimeoutError:
            self.refused = TooSlow(f"nothing came for {self._seconds:g} s", hint="send the request without a pause")
            raise self.refused from None
        if message["type"] == "http.request":
            self._got += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
            if self._got > self._limit:
                self.refused = TooLarge(f"the request is larger than {max(1, self._limit >> 10)} KB")
                raise self.refused
        return message


def _foreign(scope: Scope, headers: Headers, host: str) -> bool:
    """Whether a page of another site sent it. Programs send neither header; every current browser sends both."""
    origin = headers.get("origin")
    if origin is not None:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or parts.netloc.lower() != host.lower():
            return True
    site = headers.get("sec-fetch-site")
    if site in ("cross-site", "same-site"):  # same-site: another port of this machine
        link = headers.get("sec-fetch-mode") == "navigate" and scope.get("method") == "GET"
        return not (link and headers.get("sec-fetch-dest") == "document" and not scope["path"].startswith("/api/"))
    return False


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


# ---------------------------------------------------------------------------------------------------------- the login

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Footage</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><style>
body{{font:16px system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:0;background:Canvas;
color:CanvasText;color-scheme:light dark}}form{{display:grid;gap:.75rem;width:min(20rem,90vw)}}
input,button{{font:inherit;padding:.6rem}}p{{margin:0;color:#c33}}</style>
<form method="post" action="/login"><h1>Footage</h1>{message}<input type="hidden" name="next" value="{next}">
{name}<label>{word}<br><input type="password" name="secret" required autofocus
autocomplete="current-password" style="width:100%;box-sizing:border-box"></label>
<button>Log in</button></form></html>"""
_NAME = '<label>Name<br><input name="name" autocomplete="username" style="width:100%;box-sizing:border-box"></label>'


class Login:
    """The login form: a token, or a name and a password, becomes a cookie."""

    def __init__(self, options: ServeOptions, sessions: Sessions, keys: Keys) -> None:
        self.options, self.sessions, self.keys = options, sessions, keys
        self.tries = Tries()
        self._slow = anyio.Semaphore(2)  # each check of a password takes 64 MiB

    async def form(self, request: Request) -> Response:
        """Show the form."""
        return self._page(request.query_params.get("next", "/"))

    async def submit(self, request: Request) -> Response:
        """Check what was entered."""
        address = request.client.host if request.client else ""
        self.tries.check(address)
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
        name, secret = fields.get("name", [""])[0].strip(), fields.get("secret", [""])[0]
        target = fields.get("next", ["/"])[0]
        good = self.keys.token(secret)
        if not good and self.options.users:
            async with self._slow:
                good = await anyio.to_thread.run_sync(self.keys.password, name, secret)
        if not good:
            self.tries.failed(address)
            return self._page(target, "That is not right.", 401)
        answer = RedirectResponse(_inside(target), 303)
        answer.set_cookie(
            COOKIE,
            self.sessions.new(),
            max_age=round(self.options.limits.session_seconds),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def logout(self, request: Request) -> Response:
        """Forget the session."""
        self.sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/login" if self.options.guarded else "/", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    def _page(self, target: str, message: str = "", status: int = 200) -> Response:
        text = _PAGE.format(
            message=f"<p role=alert>{message}</p>" if message else "",
            next=html.escape(_inside(target)),
            name=_NAME if self.options.users else "",
            word="Password" if self.options.users else "Token",
        )
        policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
        return HTMLResponse(text, status, {"content-security-policy": policy, "cache-control": "no-store"})


def _inside(target: str) -> str:
    """A path on this server, whatever was asked for."""
    bad = not target.startswith("/") or target.startswith(("//", "/\\")) or any(c < " " for c in target)
    return "/" if bad else target[:2000]
