"""The models of one library: which of them answer, and how another one comes, takes over and goes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from footage import __version__, encoders
from footage import stamp as stamps
from footage.encoders.together import Together
from footage.errors import ConfigError, NotIndexed, SpaceMismatch, StoreError
from footage.frames import LONG_SIDE
from footage.ingest.filling import Filled, fill, lacking, too_small
from footage.playback import path_of
from footage.stamp import LAYOUT, Member, Stamp, State
from footage.types import Roles, Space, Window, spaces_of

if TYPE_CHECKING:
    from footage.config import Settings
    from footage.encoders import Encoder, EncoderRow
    from footage.encoders.weights import Step
    from footage.frames import FrameStore
    from footage.ingest import IngestSettings, Progress
    from footage.stores import Store
    from footage.types import Moment


@dataclass(frozen=True, slots=True)
class Used:
    """What `use` came to."""

    model: str
    state: State  # filling: it was cancelled; the old model goes on answering
    answers: list[str]  # the roles that it has now
    videos: int  # filled in this run
    samples: int
    decoded: int  # videos that were decoded again: their key frames are too small for this model, lost, or stand still
    coarse: int  # videos taken from key frames that are too small, since the file is not there

    def as_dict(self) -> dict[str, Any]:
        """The one-line JSON object of the command line."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Dropped:
    """What `drop` freed."""

    model: str
    spaces: list[str]
    samples: int


@dataclass(frozen=True, slots=True)
class Compared:
    """What two models answer to one query."""

    query: str
    moments: tuple[list[Moment], list[Moment]]
    overlap: float  # share of the first one's moments that touch one of the second one's, of the longer list

    def as_dict(self) -> dict[str, Any]:
        """The one-line JSON object of the command line."""
        first, second = ([m.as_dict() for m in found] for found in self.moments)
        return {"query": self.query, "overlap": round(self.overlap, 4), "a": first, "b": second}


def overlap(first: Sequence[Moment], second: Sequence[Moment]) -> float:
    """How much two answers agree, 0..1: moments of the first that touch one of the second in time, each used once."""
    left = list(second)
    hits = 0
    for moment in first:
        other = next((o for o in left if o.video.id == moment.video.id and _touch(o, moment)), None)
        if other is not None:
            left.remove(other)
            hits += 1
    longer = max(len(first), len(second))
    return hits / longer if longer else 1.0


def _touch(one: Moment, other: Moment) -> bool:
    return one.start < other.end and other.start < one.end


class Models:
    """The stamp of a library, and the encoders that it names, each loaded on first use. Safe between threads."""

    def __init__(
        self,
        root: Path,
        cache_dir: Path | None,
        fuse: Mapping[str, Mapping[str, float]],
        given: Encoder | None,
        device: str = "auto",
    ) -> None:
        self._root, self._cache_dir, self._fuse = root, cache_dir, fuse
        self._options = encoders.Options(cache_dir, "" if device == "auto" else device)
        self._given = Together.of(given) if given is not None else None
        self._loaded: dict[str, tuple[Encoder, threading.Lock]] = {}
        if self._given is not None:
            self._loaded = {
                encoder.row.name: (encoder, lock)
                for encoder, lock in zip(self._given.encoders, self._given.locks, strict=True)
            }
        self._lazy = threading.RLock()
        self._mark = stamps.mark(root)
        self._stamp = stamps.read(root)
        self._built: tuple[str, Together] | None = None

    # -------------------------------------------------------------------------------------------- what there is

    @property
    def stamp(self) -> Stamp | None:
        """The stamp as it is on disk now; another process may have created the library or switched its roles."""
        mark = stamps.mark(self._root)
        if mark != self._mark or self._stamp is None:
            with self._lazy:
                self._stamp = stamps.read(self._root) or self._stamp
                self._mark = mark
        return self._stamp

    def stamped(self) -> Stamp:
        """The stamp; raises NotIndexed where there is no library."""
        found = self.stamp
        if found is None:
            raise NotIndexed(f"no library at {self._root}", hint="run: footage index FOLDER")
        return found

    def roles(self, spaces: Sequence[Space]) -> Roles:
        """Which space answers what: as stamped, unless the settings fuse several; those that are not complete wait.

        Raises:
            ConfigError: the settings name a model that this library does not have, or that cannot answer.
        """
        stamp = self.stamped()
        roles = dict(stamp.roles)
        for role, weights in self._fuse.items():
            named: dict[str, float] = {}
            for name, weight in weights.items():
                member = _named(stamp, name)
                if member is None:
                    raise ConfigError(
                        f"the settings fuse {name}, which this library does not have", hint=f"footage models use {name}"
                    )
                if member.state == "complete":
                    named[_space_for(member, role, spaces)] = weight
            if named:
                roles[role] = named
        return roles

    def answering(self, roles: Roles) -> Together:
        """The encoders of these roles.

        Raises:
            SpaceMismatch: this version's encoder gives other vectors than those in the library.
        """
        stamp = self.stamped()
        key = json.dumps([roles, [(m.name, m.fingerprint) for m in stamp.models]], default=dict)
        with self._lazy:
            if self._built is None or self._built[0] != key:
                wanted = {space for role in roles for space in spaces_of(roles, role)}
                members = [m for m in stamp.models if wanted & set(m.spaces)] or list(stamp.models[:1])
                self._built = key, self._together(members).answering(roles)
            return self._built[1]

    def filling(self) -> Together:
        """The encoders whose spaces every new video fills: all of them, also those that are not complete."""
        return self._together(self.stamped().models)

    def _together(self, members: Sequence[Member]) -> Together:
        pairs = [self._encoder(member) for member in members]
        return Together(*(encoder for encoder, _ in pairs), locks=[lock for _, lock in pairs])

    def _encoder(self, member: Member) -> tuple[Encoder, threading.Lock]:
        stamp = self.stamped()
        with self._lazy:
            first = member.name == stamp.models[0].name
            if self._given is not None and first and not any(stamp.member(name) for name in self._loaded):
                pair = self._given, threading.Lock()  # the caller's own, under another name
            else:
                pair = self._load(member.name, Window(*member.window) if member.window else None)
        if (pair[0].fingerprint, _told(pair[0])) != (member.fingerprint, member.window):
            raise SpaceMismatch(
                f"the library was made with another version of the model {member.name}",
                hint="index into a new library, or use the version of Footage that made this one: " + stamp.footage,
            )
        return pair

    def _load(self, name: str, window: Window | None = None) -> tuple[Encoder, threading.Lock]:
        with self._lazy:
            known = self._loaded.get(name)
            given = self._given is not None and known is not None and known[0] in self._given.encoders
            if known is None or (window is not None and known[0].row.window != window and not given):
                encoder = encoders.load(name, options=self._options, window=window)
                known = self._loaded[name] = encoder, threading.Lock()
            return known

    def _put(self, stamp: Stamp) -> None:
        stamps.write(self._root, stamp)
        with self._lazy:
            self._mark, self._stamp = stamps.mark(self._root), stamp

    # -------------------------------------------------------------------------------------------- coming and going

    def create(
        self,
        model: str,
        settings: Settings,
        store: Store,
        on_weights: Callable[[Step], None],
        *,
        place: tuple[str, str] = ("", ""),
    ) -> None:
        """Stamp a new library; beside a model that looks at windows, the one of the settings looks at pictures.

        `place` is the URI of the store and the library's id in it.
        """
        if self._given is not None:
            chosen = [(encoder, "" if i else "given by the caller") for i, encoder in enumerate(self._given.encoders)]
        else:
            chosen = self._chosen(model, settings, on_weights)
        roles: dict[str, str] = {}
        for space in (space for encoder, _ in chosen for space in encoder.row.spaces):
            for role in space.roles:
                roles.setdefault(role, space.name)
            store.create_space(space)
        members = [_member(encoder, "complete", why) for encoder, why in chosen]
        members.sort(key=lambda m: m.window is not None)  # the first one is the one for pictures
        now = time.time()
        plain = [m.name for m in members[1:]] in ([], [LAYOUT]) and members[0].window is None
        # The stamp is written last: a directory without it is not a library yet, and is stamped by the next try.
        layout = 1 if plain else stamps.FORMAT
        self._put(Stamp(layout, __version__, tuple(members), roles, now, *place))

    def move(self, place: tuple[str, str]) -> None:
        """Let the library name another store: its URI, and the library's id in it."""
        self._put(replace(self.stamped(), store=place[0], store_id=place[1]))

    def _chosen(self, model: str, settings: Settings, on_weights: Callable[[Step], None]) -> list[tuple[Encoder, str]]:
        """The encoders of a new library, what was asked for first, and why each was taken."""
        row, why = encoders.choose(model, cache_dir=self._cache_dir, on_progress=on_weights)
        layout = self._load(LAYOUT)[0]
        if row.window is None:
            return [(self._load(row.name)[0], why), (layout, "")]
        asked = self._load(row.name, row.window.of(settings.window, settings.stride))[0]
        pictures = settings.model
        if pictures != "auto" and encoders.lookup(pictures).window is not None:
            pictures = "auto"
        other, reason = encoders.choose(pictures, cache_dir=self._cache_dir, on_progress=on_weights)
        return [(asked, why), (self._load(other.name)[0], reason), (layout, "")]

    def use(
        self,
        name: str,
        *,
        store: Store,
        frames: FrameStore,
        settings: Settings,
        windows: tuple[float | None, float | None],
        how: IngestSettings,
        progress: Progress,
        beside: float | None,
        on_weights: Callable[[Step], None],
        on_decoding: Callable[[str], None],
    ) -> Used:
        """Fill a model's spaces and let it answer; see `Library.use`. Only the writer may call it."""
        stamp = self._migrated(store)
        row, why = encoders.choose(name, cache_dir=self._cache_dir, on_progress=on_weights)
        member = stamp.member(row.name)
        encoder, _ = self._load(row.name, _window(row, member, settings, windows))
        if member is None or (member.fingerprint, member.window) != (encoder.fingerprint, _told(encoder)):
            member = self._begin(encoder, why, stamp, store)
        filled = Filled()
        if member.state == "filling":
            if row.window is not None:
                on_decoding(f"{row.name} looks at motion, which key frames do not show")
            elif too_small(encoder):
                on_decoding(f"the key frames, {LONG_SIDE} pixels long, are too small for {row.name}")
            like = next(m.spaces[0] for m in self.stamped().models if m.state == "complete" and not m.window)
            filled = fill(
                encoder, store=store, frames=frames, like=like, path_of=path_of, settings=how, progress=progress
            )
            if not progress.cancelled.is_set():
                _check_complete(encoder, store, filled)
                store.refresh()
        if not progress.cancelled.is_set():
            if "text" in encoder.row.answers:
                encoder.encode_texts(["warm"])  # what cannot read words must not take over
            member = replace(member, state="complete")
            self._put(self.stamped().having(member, _switched(self.stamped().roles, encoder, beside)))
        answers = self.stamped().role_of(member)
        return Used(row.name, member.state, answers, filled.videos, filled.samples, filled.decoded, filled.coarse)

    def _begin(self, encoder: Encoder, why: str, stamp: Stamp, store: Store) -> Member:
        """Make the spaces of a model, empty, and note that they are being filled."""
        name = encoder.row.name
        old = stamp.member(name)
        if old is not None and stamp.role_of(old):
            if old.window != _told(encoder) and old.window is not None:
                _, seconds, stride = old.window
                raise SpaceMismatch(
                    f"{name} looks at windows of {seconds:g} s, {stride:g} s apart, in this library",
                    hint=f"to change that: footage models drop {name}, then use it again",
                )
            raise SpaceMismatch(
                f"the library was made with another version of {name}, which answers {', '.join(stamp.role_of(old))}",
                hint=f"use another model, drop {name}, and use it again",
            )
        stamp = stamp.without(name)
        taken = {space: member.name for member in stamp.models for space in member.spaces}
        for space in encoder.row.spaces:
            if space.name in taken:
                raise SpaceMismatch(f"the space {space.name} is that of {taken[space.name]} in this library")
        for space in encoder.row.spaces:
            store.drop_space(space.name)  # what an earlier try, or a drop that was killed, has left
            store.create_space(space)
        member = _member(encoder, "filling", why)
        self._put(stamp.having(member))
        return member

    def drop(self, name: str, store: Store) -> Dropped:
        """Free the spaces of a model; see `Library.drop`. Only the writer may call it."""
        stamp = self._migrated(store)
        member = self.member(name)
        answers = stamp.role_of(member)
        if set(answers) - {"motion"}:  # without that role clips are found by their pictures
            raise SpaceMismatch(
                f"{member.name} answers {', '.join(answers)} in this library",
                hint="let another model answer first: footage models use NAME",
            )
        known = {space.name for space in store.spaces()}
        samples = sum(sum(store.counts(space).values()) for space in member.spaces if space in known)
        self._put(stamp.without(member.name))
        for space in member.spaces:
            store.drop_space(space)
        with self._lazy:
            self._loaded.pop(member.name, None)
        return Dropped(member.name, list(member.spaces), samples)

    def member(self, name: str) -> Member:
        """A model of this library.

        Raises:
            NotIndexed: it has none of that name.
        """
        stamp = self.stamped()
        found = _named(stamp, name)
        if found is None:
            raise NotIndexed(
                f"the library has no model {name}", hint=f"it has: {', '.join(m.name for m in stamp.models)}"
            )
        return found

    def alone(self, name: str, spaces: Sequence[Space]) -> Roles:
        """The roles as if this model answered all that it can.

        Raises:
            NotIndexed: the library does not have it.
            ConfigError: it is not complete.
        """
        member = self.member(name)
        if member.state != "complete":
            raise ConfigError(f"{member.name} is not complete", hint=f"footage models use {member.name} goes on")
        roles = {role: space for role, space in self.stamped().roles.items() if role == "copy"}
        for space in spaces:
            if space.name in member.spaces:
                for role in space.roles:
                    roles.setdefault(role, space.name)
        return roles

    def _migrated(self, store: Store) -> Stamp:
        """The stamp, with every space of a library of layout 1 given to its only model, also those without a role."""
        stamp = self.stamped()
        if stamp.format != 1:
            return stamp
        layout = {space for member in stamp.models[1:] for space in member.spaces}
        every = tuple(space.name for space in store.spaces() if space.name not in layout)
        return replace(stamp, models=(replace(stamp.models[0], spaces=every), *stamp.models[1:]))


def _member(encoder: Encoder, state: State, why: str) -> Member:
    spaces = tuple(space.name for space in encoder.row.spaces)
    return Member(encoder.row.name, encoder.fingerprint, spaces, state, why, time.time(), _told(encoder))


def _told(encoder: Encoder) -> tuple[int, float, float] | None:
    """What the stamp tells of its windows."""
    return astuple(encoder.row.window) if encoder.row.window is not None else None


def _window(
    row: EncoderRow, member: Member | None, settings: Settings, asked: tuple[float | None, float | None]
) -> Window | None:
    """The windows that a model is to look at: as asked, else as the settings say, else as the library has them."""
    if row.window is None and asked == (None, None):
        return None
    seconds, stride = (
        own if own is not None else s for own, s in zip(asked, (settings.window, settings.stride), strict=True)
    )
    if member is not None and member.window is not None and (seconds, stride) == (None, None):
        return Window(*member.window)
    return row.windows(seconds, stride)


def _named(stamp: Stamp, name: str) -> Member | None:
    """A model by its name as the registry has it, or as the user writes it."""
    found = stamp.member(name)
    if found is None and (":" in name or name.lower() in {m.name.lower() for m in stamp.models}):
        found = next((m for m in stamp.models if m.name.lower() == name.lower()), None)
        found = found or stamp.member(encoders.lookup(name).name)
    return found


def _space_for(member: Member, role: str, spaces: Sequence[Space]) -> str:
    found = [space.name for space in spaces if space.name in member.spaces and role in space.roles]
    if not found:
        raise ConfigError(f"the settings fuse {member.name} for {role}, which it does not answer")
    return found[0]


def _switched(roles: Roles, encoder: Encoder, beside: float | None) -> Roles:
    """The roles with this encoder in place of what answers now, or beside it."""
    out = dict(roles)
    fresh: dict[str, str] = {}
    for space in encoder.row.spaces:
        for role in space.roles:
            fresh.setdefault(role, space.name)
    for role, name in fresh.items():
        old = roles.get(role)
        weights = {old: 1.0} if isinstance(old, str) else dict(cast("Mapping[str, float]", old or {}))
        weights.pop(name, None)
        out[role] = {**weights, name: beside} if beside is not None and weights else name
    return out


def _check_complete(encoder: Encoder, store: Store, filled: Filled) -> None:
    if filled.lost:
        what = (
            "neither key frames nor the file are"
            if encoder.row.window is None
            else "the file, which shows motion, is not"
        )
        names = ", ".join(video.path or video.id for video in filled.lost[:3])
        more = f" and {len(filled.lost) - 3} more" if len(filled.lost) > 3 else ""
        raise StoreError(
            f"{what} there of: {names}{more}",
            hint="index their new place, or forget them with footage rm; then use the model again",
        )
    left = lacking(store, encoder.row.spaces, store.videos())
    if left:
        raise StoreError(
            f"{len(left)} videos were changed meanwhile", hint=f"run again: footage models use {encoder.row.name}"
        )
