"""Every error that Footage raises on purpose.

    FootageError                 exit 1  HTTP 500
      ConfigError                exit 2  HTTP 400   a setting is wrong
      QueryError                 exit 2  HTTP 400   a query cannot be answered as asked
      MediaError                 exit 1  HTTP 422   one file cannot be used (.uri)
        MediaNotFound            exit 1  HTTP 404   also a FileNotFoundError
          MediaDenied            exit 1  HTTP 403   it may not be read; whether it is there is not known
        UnsupportedMedia         exit 1  HTTP 422   no video in it, or no decoder for it
        CorruptMedia             exit 1  HTTP 422   broken (.time: how far it could be decoded)
        MediaChanged             exit 1  HTTP 409   no longer the file that was indexed
        MediaUnreachable         exit 3  HTTP 503   the service that holds it gives no answer; may be tried again
      EncoderError               exit 1  HTTP 500
        UnknownEncoder           exit 2  HTTP 404
        EncoderUnavailable       exit 3  HTTP 503   weights or an extra are missing; the hint says what to run
      StoreError                 exit 1  HTTP 500
        StoreUnavailable         exit 3  HTTP 503   may be tried again
        SpaceMismatch            exit 2  HTTP 409   the library was made by something else
        NotIndexed               exit 2  HTTP 404   no such video, or no library yet
      ClusterError               exit 1  HTTP 500   the machines that index together
        ClusterUnavailable       exit 3  HTTP 503   they cannot be reached, or the extra is missing
        CostLimit                exit 2  HTTP 400   the run would cost more than was allowed

A message is lower case and names the thing and the value; the hint says what to do.
"""

from __future__ import annotations

from typing import Any, ClassVar


class FootageError(Exception):
    """Base of all expected errors: a message, a hint, and what each face makes of it."""

    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    retry: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes as it is, whatever the constructor of its class wants."""
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[FootageError], args: tuple[Any, ...]) -> FootageError:
    error = kind.__new__(kind)
    error.args = args
    return error


class ConfigError(FootageError):
    """A setting, option or argument is wrong."""

    exit_status = 2
    http_status = 400


class QueryError(FootageError):
    """The query is empty, contradictory, or of a kind that this library cannot answer."""

    exit_status = 2
    http_status = 400


class MediaError(FootageError):
    """One media file cannot be used; the others are not concerned."""

    http_status = 422

    def __init__(self, message: str, *, uri: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.uri = uri


class MediaNotFound(MediaError, FileNotFoundError):
    """There is no such file, or it cannot be read."""

    http_status = 404


class MediaDenied(MediaNotFound):
    """It may not be read, so that nobody can tell whether it is there."""

    http_status = 403


class UnsupportedMedia(MediaError):
    """The file is readable, but it is not a video that can be decoded here."""


class CorruptMedia(MediaError):
    """The file is broken; `time` says to which second it could be decoded."""

    def __init__(self, message: str, *, uri: str, time: float = 0.0, hint: str = "") -> None:
        super().__init__(message, uri=uri, hint=hint)
        self.time = time


class MediaChanged(MediaError):
    """The file at a known path is no longer the one that was indexed."""

    http_status = 409


class MediaUnreachable(MediaError):
    """The service that holds the file gives no answer, or none that tells anything of the file; may be tried again."""

    exit_status = 3
    http_status = 503
    retry = True


class EncoderError(FootageError):
    """An encoder failed."""


class UnknownEncoder(EncoderError):
    """No encoder of that name is registered."""

    exit_status = 2
    http_status = 404


class EncoderUnavailable(EncoderError):
    """The encoder is known, but its weights or its extra are not installed."""

    exit_status = 3
    http_status = 503


class StoreError(FootageError):
    """The store failed."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or is locked by another process; may be tried again."""

    exit_status = 3
    http_status = 503
    retry = True


class SpaceMismatch(StoreError):
    """The library was made with another model, or by another version of Footage."""

    exit_status = 2
    http_status = 409


class NotIndexed(StoreError):
    """There is no such library, or no such video in it."""

    exit_status = 2
    http_status = 404


class ClusterError(FootageError):
    """The machines that index together failed."""


class ClusterUnavailable(ClusterError):
    """The cluster cannot be reached, has no room, or its extra is not installed; may be tried again."""

    exit_status = 3
    http_status = 503
    retry = True


class CostLimit(ClusterError):
    """The run would cost more than was allowed; what was finished before is kept."""

    exit_status = 2
    http_status = 400
