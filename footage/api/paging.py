"""Page tokens: where the next page begins, of which query, and as of when.

A token says which videos existed when the first page was made (by the time at which they were committed), so that
what is indexed between two pages neither repeats nor pushes out a result. It holds nothing secret and is checked like
any other input, so it is not signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from footage.errors import QueryError

_VERSION = 1
MAX_OFFSET = 2000


@dataclass(frozen=True, slots=True)
class Page:
    """Where a page begins, among the videos that were there at a time."""

    offset: int
    as_of: float  # unix time


def fingerprint(query: Any) -> str:
    """Digest of a query in JSON: a token is of one query and no other."""
    return hashlib.sha256(json.dumps(query, sort_keys=True).encode()).hexdigest()[:16]


def encode(page: Page, query: str) -> str:
    """Write a token."""
    text = json.dumps([_VERSION, page.offset, page.as_of, query], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(token: str, query: str) -> Page:
    """Read a token.

    Raises:
        QueryError: it is damaged, or of another query or version.
    """
    try:
        raw = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        version, offset, as_of, of = json.loads(raw)
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise QueryError("this is no page token", hint="use `next` of the page before as it is") from error
    if version != _VERSION or of != query:
        raise QueryError("the page token is of another query", hint="begin again without it")
    if not isinstance(offset, int) or isinstance(offset, bool) or not 0 < offset <= MAX_OFFSET:
        raise QueryError("the page token is damaged", hint="begin again without it")
    if not isinstance(as_of, (int, float)) or isinstance(as_of, bool) or not math.isfinite(as_of):
        raise QueryError("the page token is damaged", hint="begin again without it")
    return Page(offset, float(as_of))
