"""Errors on their way out: one JSON shape, the status of each, and no path of the server in any of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from footage.api.models import ErrorBody
from footage.errors import FootageError, MediaError


class RequestRefused(FootageError):
    """What only a server can say; the others come from the core as they are."""

    headers: ClassVar[Mapping[str, str]] = {}


class NotFound(RequestRefused):
    """No such thing."""

    http_status: ClassVar[int] = 404


class Unauthorized(RequestRefused):
    """Not logged in."""

    http_status: ClassVar[int] = 401
    headers: ClassVar[Mapping[str, str]] = {"www-authenticate": "Bearer"}


class Forbidden(RequestRefused):
    """Not from there, or not this."""

    http_status: ClassVar[int] = 403


class Conflict(RequestRefused):
    """Not in this state."""

    http_status: ClassVar[int] = 409


class TooLarge(RequestRefused):
    """More than the server takes."""

    http_status: ClassVar[int] = 413


class Invalid(RequestRefused):
    """Not of the form that was asked for."""

    http_status: ClassVar[int] = 422


class TooSlow(RequestRefused):
    """The body did not arrive in time."""

    http_status: ClassVar[int] = 408
    retry = True


class Busy(RequestRefused):
    """As much is waiting as may wait."""

    http_status: ClassVar[int] = 429
    retry = True
    headers: ClassVar[Mapping[str, str]] = {"retry-after": "2"}


class TookTooLong(RequestRefused):
    """The work was given up."""

    http_status: ClassVar[int] = 503
    retry = True
    headers: ClassVar[Mapping[str, str]] = {"retry-after": "5"}


class NoRoom(RequestRefused):
    """The disk of the server is full."""

    http_status: ClassVar[int] = 503
    retry = True
    headers: ClassVar[Mapping[str, str]] = {"retry-after": "60"}


# A path in a message: two parts or more, the last of which is kept as the name that a user knows. Spaces belong to a
# path only between two separators, so that words after it are not swallowed. Addresses of ours are no paths.
_PATH = re.compile(r"(?!/api/)(?:(?<![\w.:/])|(?<=file:))(?:[A-Za-z]:)?[/\\](?:[^/\\:'\"\n]+[/\\])+([^/\\\s:;,'\"()]*)")


def scrub(text: str, *known: str) -> str:
    """Put names in the place of paths."""
    for path in sorted(filter(None, known), key=len, reverse=True):
        text = text.replace(path, _name(path))
    return _PATH.sub(lambda m: m[1] or "…", text)


def _name(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or "…"


def body(error: FootageError, *known: str) -> ErrorBody:
    """What a client gets to see of an error; `known` are paths that may be in it."""
    if isinstance(error, MediaError):
        known = (*known, error.uri)
    return ErrorBody(
        error=type(error).__name__.lstrip("_"),
        message=scrub(error.message, *known),
        hint=scrub(error.hint, *known),
        retry=error.retry,
    )


def response(error: FootageError) -> JSONResponse:
    """The answer to a request that ended in this error."""
    headers = dict(error.headers) if isinstance(error, RequestRefused) else {}
    if error.http_status == 503:
        headers.setdefault("retry-after", "5")
    return JSONResponse(body(error).model_dump(), error.http_status, headers)


def internal_body() -> ErrorBody:
    """What a client gets to see of what should not have happened."""
    return ErrorBody(
        error="InternalError", message="something went wrong in the server", hint="its log says what", retry=False
    )


def internal() -> JSONResponse:
    """The answer to what should not have happened."""
    return JSONResponse(internal_body().model_dump(), 500)


def install(app: FastAPI) -> None:
    """Make every error of the app one of ours."""

    async def expected(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, FootageError)
        return response(error)

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        words = {404: "no such address", 405: "not with this method"}.get(error.status_code, str(error.detail))
        text = ErrorBody(
            error={404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "BadRequest"),
            message=words,
            hint="/api/v1/openapi.json lists what there is",
            retry=False,
        )
        return JSONResponse(text.model_dump(), error.status_code, error.headers)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return response(Invalid(_first(error.errors()), hint="see /api/v1/openapi.json"))

    async def unexpected(_: Request, __: Exception) -> JSONResponse:
        return internal()  # Starlette raises the error again behind it, so that the server's log has the traceback

    app.add_exception_handler(FootageError, expected)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unexpected)


def _first(errors: Any) -> str:
    for error in errors:
        where = ".".join(str(part) for part in error["loc"][1:])  # the first one is body, query or path
        return f"{where or 'the request'}: {error['msg'][:1].lower()}{error['msg'][1:]}"
    return "the request is not of the right form"
