"""What several servers of one library know together: logins, query files and jobs, as small files in its directory.

Each server reads what the others wrote when it is asked, so that it does not matter which of them a request reaches.
A file is written under another name and renamed, so that nobody reads half of one.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import ValidationError

from footage.api.faults import Busy, Conflict, NotFound
from footage.api.models import ErrorBody, JobOut
from footage.api.security import Sessions
from footage.api.uploads import QueryFile, QueryFiles, Received
from footage.stamp import replace_json

if TYPE_CHECKING:
    from footage.api.jobs import Job, Jobs
    from footage.api.options import Limits, ServeOptions

Action: TypeAlias = Literal["cancel", "pause", "resume"]
_ENDED = ("done", "failed", "cancelled")
_BEAT = 0.5  # seconds between two looks at our jobs
_SILENT = 20.0  # seconds without a sign of the server that has a job: it was killed
_KEPT = 7 * 24 * 3600.0  # seconds for which ended jobs are remembered


def room(library: Path, name: str) -> Path:
    """The folder for one kind of thing, which only its owner may read."""
    folder = library / "cache" / "serve" / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


class SharedSessions(Sessions):
    """Who is logged in, by one file each, named by a digest: a cookie cannot be read off it.

    The digest is keyed with the token and the users' file: to change them ends all sessions.
    """

    def __init__(self, folder: Path, options: ServeOptions) -> None:
        super().__init__(options.limits.sessions, options.limits.session_seconds)
        self._folder = folder
        keyed = json.dumps([options.token, sorted(options.users.items())])
        self._key = hashlib.sha256(keyed.encode()).digest()

    def new(self) -> str:
        """Begin a session; the oldest one ends when there are too many."""
        cookie = secrets.token_urlsafe(32)
        files = sorted(_aged(self._folder.iterdir()), reverse=True)
        many = max(0, len(files) + 1 - self._limit)
        for number, (age, old) in enumerate(files):
            if age > self._seconds or number < many:
                old.unlink(missing_ok=True)
        self._file(cookie).touch(mode=0o600)
        return cookie

    def known(self, cookie: str) -> bool:
        """Tell whether a session goes on."""
        try:
            return _age(self._file(cookie)) <= self._seconds
        except OSError:
            return False

    def end(self, cookie: str) -> None:
        """Log out, of all servers."""
        self._file(cookie).unlink(missing_ok=True)

    def _file(self, cookie: str) -> Path:
        return self._folder / hmac.new(self._key, cookie.encode(), "sha256").hexdigest()


class SharedQueryFiles(QueryFiles):
    """Query files with a note beside each; whichever server is asked removes those whose time is over."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        super().__init__(limits, folder=folder)

    def keep(self, received: Received) -> QueryFile:
        """Check a file and keep it under an id; raises as `QueryFiles.keep` does."""
        kind, width, height, seconds = self.check(received.path, received.name)
        self._tidy()
        if len(list(self.folder.glob("*.json"))) >= self.limits.query_files:
            raise Busy("too many query files are kept", hint="remove some, or wait until they expire")
        new = secrets.token_hex(12)
        path = received.path.rename(self.folder / f"{new}.{'img' if kind == 'image' else 'vid'}")
        note = {"kind": kind, "name": received.name, "file": path.name, "size": [width, height], "seconds": seconds}
        replace_json(self.folder / f"{new}.json", note)
        return self._read(new)

    def get(self, file_id: str) -> QueryFile:
        """Look one up; its time begins anew. Raises NotFound."""
        self._tidy()
        found = self._read(file_id)
        with contextlib.suppress(OSError):
            os.utime(self.folder / f"{file_id}.json")
        return found

    def remove(self, file_id: str) -> None:
        """Remove one; raises NotFound."""
        found = self._read(file_id)
        (self.folder / f"{file_id}.json").unlink(missing_ok=True)
        found.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave them to the others."""
        self._tidy()

    def _read(self, file_id: str) -> QueryFile:
        missing = NotFound("no such query file, or its time is over", hint="send it again")
        if not file_id.isalnum():  # it becomes part of a path
            raise missing
        note = self.folder / f"{file_id}.json"
        try:
            told = json.loads(note.read_text(encoding="utf-8"))
            expires = note.stat().st_mtime + self.limits.query_file_seconds
        except (OSError, ValueError):
            raise missing from None
        path, (width, height) = self.folder / str(told["file"]), told["size"]
        return QueryFile(file_id, told["kind"], told["name"], path, width, height, told["seconds"], expires)

    def _tidy(self) -> None:
        for note in self.folder.glob("*.json"):
            try:
                if _age(note) > self.limits.query_file_seconds:
                    self.remove(note.stem)
            except (OSError, NotFound):
                continue


class Board:
    """The jobs of all servers: each shows its own, and does what is asked of them elsewhere."""

    def __init__(self, folder: Path, jobs: Jobs, show: Callable[[Job], JobOut]) -> None:
        self._folder, self._jobs, self._show = folder, jobs, show
        self._over = threading.Event()
        self._said: dict[str, int] = {}
        self._writing = threading.Lock()
        jobs.queued = self._publish  # who asks another server next is told of it
        self._thread = threading.Thread(target=self._work, name="footage-board", daemon=True)
        self._thread.start()

    def others(self) -> list[JobOut]:
        """The jobs of other servers, newest first."""
        own = {job.id for job in self._jobs.all()}
        found = [self._read(file) for file in self._folder.glob("*.json") if file.stem not in own]
        return sorted((job for job in found if job is not None), key=lambda job: -job.created)

    def get(self, job_id: str) -> JobOut:
        """One job of another server; raises NotFound."""
        found = self._read(self._folder / f"{job_id}.json") if job_id.isalnum() else None
        if found is None:
            raise NotFound("no such job", hint="GET /api/v1/jobs lists them")
        return found

    def ask(self, job_id: str, action: Action) -> JobOut:
        """Have the server that has a job do something with it, within a second; raises NotFound or Conflict."""
        found = self.get(job_id)
        fits = {
            "cancel": found.state not in _ENDED,
            "pause": found.state == "running",
            "resume": found.state == "paused",
        }
        if not fits[action]:
            raise Conflict(f"the job is {found.state}")
        (self._folder / f"{job_id}.{action}").touch()
        return found

    def close(self) -> None:
        """Show the last state of our jobs."""
        self._over.set()
        self._thread.join(5)
        self._publish()

    def _read(self, file: Path) -> JobOut | None:
        try:
            job, age = JobOut.model_validate_json(file.read_text(encoding="utf-8")), _age(file)
        except (OSError, ValidationError):
            return None
        if job.state not in _ENDED and age > _SILENT:
            job.state = "failed"
            job.error = ErrorBody(
                error="StoreUnavailable",
                message="the server that had the job has ended",
                hint="start it again",
                retry=True,
            )
        return job

    def _work(self) -> None:
        while not self._over.wait(_BEAT):
            for action in ("cancel", "pause", "resume"):
                for file in self._folder.glob(f"*.{action}"):
                    self._do(file.stem, action, file)
            self._publish()

    def _do(self, job_id: str, action: Action, file: Path) -> None:
        try:
            getattr(self._jobs, action)(job_id)
        except NotFound:
            for age, old in _aged([file]):
                if age > _SILENT:
                    old.unlink(missing_ok=True)
            return
        except Conflict:  # it ended meanwhile
            pass
        file.unlink(missing_ok=True)

    def _publish(self) -> None:
        with self._writing, contextlib.suppress(OSError):  # a full disk is told where it matters
            for job in self._jobs.all():
                if not job.over or self._said.get(job.id) != job.version:
                    replace_json(self._folder / f"{job.id}.json", self._show(job).model_dump(mode="json"))
                    self._said[job.id] = job.version
            for file in self._folder.glob("*.json"):
                if _age(file) > _KEPT:
                    file.unlink(missing_ok=True)


def _aged(files: Iterable[Path]) -> Iterator[tuple[float, Path]]:
    """Files with their ages; without those that another server has removed meanwhile."""
    for file in files:
        with contextlib.suppress(OSError):
            yield _age(file), file


def _age(file: Path) -> float:
    return time.time() - file.stat().st_mtime
