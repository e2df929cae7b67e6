"""What OpenAPI says beside the models: the errors of each route, and bodies that are read as they arrive."""

from __future__ import annotations

from typing import Any

from footage.api.models import ErrorBody

_WORDS = {
    400: "The query or a setting is wrong",
    401: "Not logged in",
    403: "Not allowed, or from another site",
    404: "No such thing",
    408: "The body stopped coming",
    409: "Not in this state, or the file was changed since it was indexed",
    413: "Larger than the server takes",
    416: "No such range",
    422: "Not of the right form, or a file that cannot be used",
    429: "Too much at the same time; Retry-After says when to come again",
    500: "An error of the server",
    503: "Not now; may be tried again",
}
_ALWAYS = (401, 403, 413)  # the checks in front of every route


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route."""
    return {s: {"model": ErrorBody, "description": _WORDS[s]} for s in sorted({*statuses, *_ALWAYS})}


def multipart(description: str, *fields: str) -> dict[str, Any]:
    """A form with files, for a route that reads its body itself."""
    properties: dict[str, Any] = {name: {"type": "string"} for name in fields}
    properties["file"] = {"type": "array", "items": {"type": "string", "format": "binary"}}
    schema = {"type": "object", "properties": properties}
    return {
        "requestBody": {
            "description": description,
            "required": True,
            "content": {"multipart/form-data": {"schema": schema}},
        }
    }


def binary(media_type: str, description: str, *others: str) -> dict[int | str, dict[str, Any]]:
    """An answer that is a file."""
    file: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
    anything: dict[str, Any] = {"schema": {}}
    kinds = {kind: anything if kind == "application/json" else file for kind in (media_type, *others)}
    return {200: {"description": description, "content": kinds}}
