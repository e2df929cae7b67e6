"""library.json: which models a library has, and which of their spaces answers what.

Layout 1 knows one model, with the layout encoder beside it. A library is created so, and moves on to layout 2, a
list of models, when a second one comes. One whose vectors lie elsewhere than in its own directory says where, and is
written as layout 3 around either, so that a Footage that does not know of it does not look in the directory and find
nothing. The file is replaced as a whole: a reader sees the old roles or the new ones.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from footage import __version__
from footage.errors import SpaceMismatch, StoreError
from footage.types import Roles, spaces_of

FORMAT, ELSEWHERE = 2, 3
"""Version of the library's layout on disk; another one but 1 is refused, not guessed at."""

LAYOUT = "layout"  # model and space
State: TypeAlias = Literal["filling", "complete"]


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a library."""

    name: str
    fingerprint: str  # of its encoder
    spaces: tuple[str, ...]  # that it fills; of layout 1 those that have a role
    state: State = "complete"
    why: str = ""  # why this model
    added: float = 0.0  # unix time
    window: tuple[int, float, float] | None = None  # frames, seconds and stride of its windows; None: pictures


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a library was made with."""

    format: int
    footage: str  # version that created it
    models: tuple[Member, ...]  # in the order in which they came
    roles: Roles = field(
        default_factory=dict[str, str]
    )  # text, image, copy, motion -> its space, or spaces with weights
    created: float = 0.0  # unix time
    store: str = ""  # where the vectors are (see `footage.stores.address`), without credentials; "": in the library
    store_id: str = ""  # of this library among those on the same server

    @property
    def answering(self) -> tuple[Member, ...]:
        """The models that have a role, those for words first, then for pictures."""
        order = dict.fromkeys(space for role in ("text", "image", *self.roles) for space in spaces_of(self.roles, role))
        owners = {space: member for member in self.models for space in member.spaces}
        return tuple(dict.fromkeys(owners[space] for space in order if space in owners)) or self.models[:1]

    @property
    def main(self) -> Member:
        """The model that answers words, or else pictures."""
        return self.answering[0]

    @property
    def model(self) -> str:
        """Its name."""
        return self.main.name

    @property
    def why(self) -> str:
        """Why it was taken."""
        return self.main.why

    def member(self, name: str) -> Member | None:
        """The model of this name."""
        return next((member for member in self.models if member.name == name), None)

    def chosen(self, name: str) -> bool:
        """Whether somebody chose this model; what only finds copies stands beside every model, and nobody chose it."""
        return name == self.models[0].name or (name != LAYOUT and self.member(name) is not None)

    def role_of(self, member: Member) -> list[str]:
        """What a model answers now, alone or with others."""
        return [role for role in self.roles if set(member.spaces) & spaces_of(self.roles, role).keys()]

    def having(self, member: Member, roles: Roles | None = None) -> Stamp:
        """The stamp with a model as it is now, perhaps with other roles."""
        others = [member if m.name == member.name else m for m in self.models]
        models = (*others,) if self.member(member.name) else (*others, member)
        return replace(self, format=FORMAT, models=models, roles=self.roles if roles is None else roles)

    def without(self, name: str) -> Stamp:
        """The stamp without a model, and without the roles that it had alone."""
        gone = {space for member in self.models if member.name == name for space in member.spaces}
        left = {role: {s: w for s, w in spaces_of(self.roles, role).items() if s not in gone} for role in self.roles}
        roles = {r: self.roles[r] if gone.isdisjoint(spaces_of(self.roles, r)) else s for r, s in left.items() if s}
        return replace(self, format=FORMAT, models=tuple(m for m in self.models if m.name != name), roles=roles)


def read(root: Path) -> Stamp | None:
    """The stamp of the library in this directory; None: there is no library.

    Raises:
        StoreError: the directory holds something else, or the file is damaged.
        SpaceMismatch: it was made by a version of Footage with another layout.
    """
    file = root / "library.json"
    if root.exists() and not root.is_dir():
        raise StoreError(f"not a directory: {root}", hint="choose another place with --library DIR")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        layout = values["layout"] if values["format"] == ELSEWHERE else values["format"]
        if layout in (1, FORMAT):
            stamp = _first(values) if layout == 1 else _second(values)
            return replace(stamp, store=str(values.get("store", "")), store_id=str(values.get("store_id", "")))
        layout, by = values["format"], values.get("footage")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise StoreError(
            f"cannot read {file}: {error}", hint="restore it from a backup, or index into a new library"
        ) from error
    raise SpaceMismatch(
        f"the library at {root} has layout {layout}, this is Footage {__version__} for layout {ELSEWHERE}",
        hint=f"use the Footage that made it ({by}), or index into a new library",
    )


def _first(values: dict[str, Any]) -> Stamp:
    """One model, complete; what stands beside it is split off, so that it outlives the model."""
    roles: dict[str, str] = dict(values["roles"])
    model, both, why, created = values["model"], values["fingerprint"], values.get("why", ""), values.get("created", 0)
    fingerprint, _, last = both.rpartition(" ")
    layout: list[Member] = []
    if fingerprint and last.startswith(f"{LAYOUT}-") and LAYOUT in roles.values():
        layout = [Member(LAYOUT, last, (LAYOUT,), added=created)]
    spaces = tuple(dict.fromkeys(space for space in roles.values() if not layout or space != LAYOUT))
    main = Member(model, fingerprint if layout else both, spaces, "complete", why, created)
    return Stamp(1, values["footage"], (main, *layout), roles, created)


def _second(values: dict[str, Any]) -> Stamp:
    known = Member.__dataclass_fields__
    members = [Member(**{k: v for k, v in m.items() if k in known}) for m in values["models"]]
    members = [replace(m, spaces=tuple(m.spaces), window=m.window and tuple(m.window)) for m in members]
    if not members:
        raise ValueError("it names no model")
    return Stamp(FORMAT, values["footage"], tuple(members), dict(values["roles"]), values.get("created", 0.0))


def write(root: Path, stamp: Stamp) -> None:
    """Put the stamp in place, atomically."""
    values: dict[str, Any] = asdict(stamp)
    if stamp.format == 1:
        main = stamp.models[0]
        values.pop("models")
        values |= {"model": main.name, "fingerprint": " ".join(m.fingerprint for m in stamp.models), "why": main.why}
    if stamp.store:
        values |= {"format": ELSEWHERE, "layout": stamp.format}
    else:
        del values["store"], values["store_id"]
    replace_json(root / "library.json", values)


def mark(root: Path) -> tuple[int, int]:
    """What changes with the file: to look whether another process has written it."""
    try:
        facts = os.stat(root / "library.json")  # noqa: PTH116
    except OSError:
        return (0, 0)
    return (facts.st_mtime_ns, facts.st_ino)


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; empty where there is none, or a damaged one."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def replace_json(file: Path, value: Any) -> None:
    """Write a JSON file by rename."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    partial.replace(file)
