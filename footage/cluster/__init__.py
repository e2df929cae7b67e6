"""Index on many machines: the same ingest, decoded and encoded by processes that Ray starts, written by this one.

    catalog -> Run -> orders -> Hand (one process per GPU or group of cores, on every machine) -> answers -> Writer

A hand surveys a file (what will it cost?), identifies it (its digest), and decodes and encodes it, or a range of it.
What it gives travels through Ray's object store; the process that holds the library's lock is the only one that
writes, so any store will do, and a video is in the library wholly or not at all, as ever. Files that the machines are
to read must have the same path on each.

Ray's processes trust each other: what they send is pickled. Connect only to a cluster of your own (docs/scale.md).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from footage import __version__
from footage.errors import ConfigError

if TYPE_CHECKING:
    from footage.catalog import Catalog, Job
    from footage.cluster.crew import Crew
    from footage.cluster.orders import Member, Spec
    from footage.config import Settings
    from footage.encoders import Together
    from footage.ingest import Encoded, IngestSettings, Item, Progress

__all__ = ["Cluster", "ClusterSettings"]


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How the work is cut."""

    group: int = 8  # cores of one process; a machine with more has several
    part_cost: float = 300.0  # core-seconds; a video that costs twice as much and more is split

    def __post_init__(self) -> None:
        if self.group < 1:
            raise ConfigError(f"a group of {self.group} cores; at least 1")
        if not self.part_cost > 0:
            raise ConfigError(f"the cost of a part is {self.part_cost:g} core-seconds; it must be above 0")


class Cluster:
    """Machines that index together, for `Library.index(..., on=cluster)`. One at a time in a process.

    ```python
    with Cluster("local") as cluster:
        library.index(["holiday"], on=cluster)
    ```
    """

    def __init__(
        self,
        address: str,
        *,
        max_cost: float | None = None,
        settings: ClusterSettings | None = None,
        library: Settings | None = None,
    ) -> None:
        """Connect to the Ray cluster at HOST:PORT, of which this machine must be a part, or start a `local` one.

        `max_cost` is in core-hours, of all runs on it together. `library` are the settings of the library, for the
        folder of weights and the device.

        Raises:
            ConfigError: an address or a limit that cannot be.
            ClusterUnavailable: Ray is not installed, or nothing answers at the address.
        """
        if max_cost is not None and not (max_cost > 0 and math.isfinite(max_cost)):
            raise ConfigError(f"the limit of cost is {max_cost:g} core-hours; it must be above 0")
        from footage.cluster.crew import Crew
        from footage.cluster.run import Allowance

        self._settings = settings or ClusterSettings()
        self._library = library
        self._allowance = Allowance(None if max_cost is None else max_cost * 3600)
        self._crew: Crew | None = Crew(address, self._settings.group)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the processes go; a local cluster is stopped."""
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()

    @property
    def core_hours(self) -> tuple[float, float]:
        """(spent, as estimated before), of all runs so far."""
        spent = self._crew.spent.cpu if self._crew is not None else 0.0
        return spent / 3600, self._allowance.estimated / 3600

    @property
    def notes(self) -> list[str]:
        """Machines that could not help, and why."""
        return list(self._crew.notes) if self._crew is not None else []

    def encoded(
        self, jobs: list[Job], catalog: Catalog, encoder: Together, settings: IngestSettings, progress: Progress
    ) -> Generator[Encoded | Item, None, None]:
        """Decode and encode these files on the machines of the cluster; see `footage.ingest.Ground`.

        Raises:
            CostLimit: it would cost, or has cost, more than is allowed.
            ClusterUnavailable: there is no machine with room.
            SpaceMismatch: every machine has another version of Footage or of the models.
            EncoderUnavailable: no machine has the weights.
        """
        from footage.cluster.run import Run

        if self._crew is None:
            raise ConfigError("the cluster is closed")
        self._crew.recruit(self._spec(encoder, settings))
        run = Run(self._crew, jobs, catalog, settings, progress, self._settings, self._allowance)
        try:
            yield from run.items()
        finally:
            self._crew.drop_work()

    def _spec(self, encoder: Together, settings: IngestSettings) -> Spec:
        from footage.cluster.orders import Spec

        library = self._library
        device = library.device if library is not None and library.device != "auto" else ""
        cache = library.cache if library is not None else ""
        members = tuple(_members(encoder))
        return Spec(__version__, members, cache, device, replace(settings, prune=False), self._settings.part_cost)


def _members(encoder: Together) -> list[Member]:
    """How each encoder is built anew elsewhere.

    Raises:
        ConfigError: one that was given by the caller and has no name of its own.
    """
    from dataclasses import astuple

    from footage.cluster.orders import Member
    from footage.encoders import lookup
    from footage.encoders.together import Together
    from footage.errors import UnknownEncoder

    out: list[Member] = []
    for each in encoder.encoders:
        if isinstance(each, Together):
            out += _members(each)
            continue
        try:
            lookup(each.row.name)
        except UnknownEncoder as error:
            raise ConfigError(
                f"an encoder of your own cannot be sent to other processes: {each.row.name}",
                hint="index without a cluster, or use one of `footage models`",
            ) from error
        out.append(Member(each.row.name, each.fingerprint, astuple(each.row.window) if each.row.window else None))
    return out
