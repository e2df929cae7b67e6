"""What all routes share: the library, the bounded workers, and how things are shown to the outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

from footage.api.downloads import Scratches
from footage.api.gate import Gate
from footage.api.shared import Board, SharedQueryFiles, room
from footage.api.uploads import QueryFiles
from footage.errors import NotIndexed
from footage.pipeline import Stages
from footage.places import inside
from footage.playback import Renditions, Ways

if TYPE_CHECKING:
    from footage.api.jobs import Jobs
    from footage.api.metrics import Metrics
    from footage.api.options import ServeOptions
    from footage.library import Library
    from footage.types import Video


@dataclass(slots=True)
class Service:
    """One library being served."""

    library: Library
    options: ServeOptions
    searches: Gate
    decodes: Gate
    copying: Gate
    exporting: Gate
    reads: Gate
    query_files: QueryFiles
    renditions: Renditions
    scratches: Scratches
    ways: Ways
    jobs: Jobs
    metrics: Metrics
    board: Board | None = None  # of the jobs of all servers of the library
    ready: bool = False
    exports: Stages = field(default_factory=Stages)  # of clips and pictures, by format

    @classmethod
    def of(cls, library: Library, options: ServeOptions) -> Service:
        """Build all the parts."""
        from footage.api.jobs import Jobs
        from footage.api.metrics import Metrics

        limits = options.limits
        new = cls(
            library,
            options,
            searches=Gate("search", limits.searches, limits.searches_waiting, limits.work_seconds),
            decodes=Gate("decode", limits.decodes, limits.decodes_waiting, limits.decode_seconds),
            copying=Gate("copies", 1, limits.copies - 1, limits.copy_work_seconds),
            exporting=Gate("export", 1, limits.exports, limits.export_work_seconds),
            reads=Gate("read", limits.reads, limits.reads_waiting, limits.work_seconds),
            query_files=(
                SharedQueryFiles(room(library.path, "query"), limits) if options.shared else QueryFiles(limits)
            ),
            renditions=Renditions(
                library.path / "cache" / "renditions",
                limits.rendition_bytes,
                limits.rendition_seconds,
                shared=f"{library.frames.url}/renditions" if library.frames.url else "",
            ),
            scratches=Scratches(library.path / "cache" / "exports", limits.exports),
            ways=Ways(),
            jobs=Jobs(library, limits.jobs_waiting),
            metrics=Metrics(),
        )
        new.metrics.watch(new)
        return new

    def warm(self) -> None:
        """Load what is loaded on first use, before two requests at once may ask for it."""
        self.scratches.sweep()
        try:
            self.library.encoder.encode_texts(["warm"])
            self.library.videos()
        except NotIndexed:
            pass  # an empty library is ready: the first thing to do is to index
        self.ready = True

    def close(self) -> None:
        """End the jobs and the workers, remove what was sent."""
        self.jobs.close()
        if self.board is not None:
            self.board.close()
        for gate in (self.searches, self.decodes, self.copying, self.exporting, self.reads):
            gate.close()
        self.query_files.close()

    def shown(self, path: str) -> str:
        """A path as the caller may know it.

        On this machine alone and without a login the caller is its user: the whole path. Else the path from the
        allowed folder on, or the file and the folder that it is in.
        """
        if not path or (self.options.local and not self.options.guarded):
            return path
        for root in self.options.allow_dirs:
            try:
                below = Path(path).relative_to(root.absolute())
            except ValueError:
                continue
            return (Path(root.name) / below).as_posix()
        for url in self.options.allow_urls:
            if inside(path, url):
                return f"{url.rsplit('/', 1)[-1]}{path[len(url) :]}"
        return "/".join(Path(path).as_posix().rsplit("/", 2)[-2:])

    def video(self, name: str) -> Video:
        """A video by its id or the beginning of it; never by a path."""
        found = self.library.get(name)
        if not found.id.startswith(name):
            raise NotIndexed(f"no such video in the library: {name}")
        return found


def _service(request: Request) -> Service:
    return cast("Service", request.app.state.service)


ServiceDep = Annotated[Service, Depends(_service)]
