"""URLs of files: which are read, how they are written, and what must not stand in them."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

from footage.errors import ConfigError

SCHEMES = {
    **{"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"},
    **{"http": "aiohttp", "https": "aiohttp", "sftp": "paramiko"},
}
"""What is read, and the package that fsspec needs for it."""
_ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.:-]*)://(.*)", re.DOTALL)
_ACCOUNT_IN_HOST = frozenset(("abfs", "abfss"))  # container@account is an address, not a login
_SIGNED = frozenset(
    (
        "x-amz-signature x-amz-credential x-amz-security-token x-goog-signature x-goog-credential signature sig token "
        "access_token auth apikey api_key key password awsaccesskeyid googleaccessid"
    ).split()
)


def is_url(text: object) -> bool:
    """Whether a place is named by a URL; a relative path is none, whatever it looks like up to its first slash."""
    return isinstance(text, str) and _URL.match(text) is not None


def normal(url: str) -> str:
    """A URL as the library writes it down: scheme in small letters, no slash at the end.

    Raises:
        ConfigError: a scheme that is not read, no host or bucket, or a secret in it; the secret is not repeated.
    """
    match = _URL.match(url)
    if match is None:
        raise ConfigError(f"not a URL: {_shown(url)}", hint=f"one that begins with {_known()}")
    scheme, rest = match[1].lower(), match[2]
    scheme = _ALIASES.get(scheme, scheme)
    if scheme not in SCHEMES:
        raise ConfigError(f"cannot read {scheme}:// URLs: {_shown(url)}", hint=f"a path, or one of {_known()}")
    _without_secrets(scheme, rest, url)
    if not all(c.isprintable() for c in rest) or "\\" in rest:
        raise ConfigError(f"not a URL: {_shown(url)!a}", hint="percent-encode what is not printable")
    if scheme in ("http", "https"):
        rest = rest.partition("#")[0]
    if scheme in ("http", "https", "sftp") and climbs(rest):
        raise ConfigError(f"a URL with . or .. in its path: {_shown(url)}", hint="write the path as it is in the end")
    netloc = rest.partition("/")[0]
    if not netloc:
        what = "host" if scheme in ("http", "https", "sftp") else "bucket"
        raise ConfigError(f"a URL without a {what}: {_shown(url)}", hint=f"{scheme}://{what.upper()}/PATH")
    return f"{scheme}://{rest.rstrip('/')}"


def inside(url: str, prefix: str) -> bool:
    """Whether a URL is a prefix or lies under it; both as `normal` gives them."""
    return url == prefix or url.startswith(f"{prefix}/")


def scheme_of(url: str) -> str:
    """The scheme of a URL that `normal` gave."""
    return url.partition("://")[0]


def path_of(url: str) -> PurePosixPath:
    """The path part, for names and suffixes; of HTTP decoded and without the query."""
    if scheme_of(url) in ("http", "https"):
        return PurePosixPath(unquote(urlsplit(url).path))
    return PurePosixPath(url.partition("://")[2])


def climbs(rest: str) -> bool:
    """Whether a path goes up, or says so in a way that somebody might undo."""
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    return any(unquote(unquote(part)) in (".", "..") for part in path.split("/"))


def _without_secrets(scheme: str, rest: str, url: str) -> None:
    login, at, _ = rest.partition("/")[0].rpartition("@")
    if at and (":" in login or scheme not in ("sftp", *_ACCOUNT_IN_HOST)):
        raise ConfigError(
            f"a URL with a login in it: {_shown(url)}",
            hint="leave it out: credentials come from the environment, a profile or a role, and are never written down",
        )
    if scheme in ("http", "https"):
        query = rest.partition("#")[0].partition("?")[2]
        if any(name.lower() in _SIGNED for name, _ in parse_qsl(query, keep_blank_values=True)):
            raise ConfigError(
                f"a URL with a key or signature in it: {_shown(url)}",
                hint="it would be written down, and run out; name the object by its own scheme (s3://, gs://, az://)",
            )


def _shown(url: str) -> str:
    """A URL without login and query, for messages."""
    match = _URL.match(url)
    if match is None:
        return url
    netloc, slash, path = match[2].partition("/")
    return f"{match[1]}://{netloc.rpartition('@')[2]}{slash}{re.split(r'[?#]', path, maxsplit=1)[0]}"


def _known() -> str:
    return ", ".join(f"{scheme}://" for scheme in SCHEMES)
