"""OpenTimelineIO: every shot at the rate of its own source, exactly. The only door to `opentimelineio`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from footage.errors import ConfigError
from footage.export.edl import list_rate
from footage.export.names import plain
from footage.export.shots import Shot
from footage.media.timecode import can_drop, frame_of


def require() -> Any:
    """The package `opentimelineio`.

    Raises ConfigError: it is not installed.
    """
    try:
        import opentimelineio  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise ConfigError(
            "the format otio needs the package opentimelineio", hint="run: pip install 'footage[export]'"
        ) from None
    return opentimelineio


def as_otio(shots: Sequence[Shot], title: str) -> str:
    """A timeline with one video track, and one of sound if any source has it; each shot marks its best frame.

    Ranges are in source timecode. What Footage knows of a shot is in its metadata under `footage`.
    """
    otio = require()
    rate = list_rate(shots)
    drop = can_drop(rate) and next((s.info.drop for s in shots if s.info.rate == rate), True)
    start = otio.opentime.RationalTime(frame_of("01:00:00;00" if drop else "01:00:00:00", rate)[0], float(rate))
    timeline = otio.schema.Timeline(plain(title) or "Footage", global_start_time=start)
    kinds = ["Video"] + (["Audio"] if any(s.info.audio_channels for s in shots) else [])
    for kind in kinds:
        track = otio.schema.Track(name=f"{kind[0]}1", kind=kind)
        for shot in shots:
            silent = kind == "Audio" and not shot.info.audio_channels
            track.append(_gap(otio, shot) if silent else _clip(otio, shot, marked=kind == "Video"))
        timeline.tracks.append(track)
    return str(otio.adapters.write_to_string(timeline, "otio_json"))


def _clip(otio: Any, shot: Shot, *, marked: bool) -> Any:
    info, moment = shot.info, shot.moment
    media = otio.schema.ExternalReference(
        target_url=shot.url, available_range=_range(otio, info.start_frame, shot.length, info.rate)
    )
    media.name = shot.name
    facts = {
        "video": moment.video.id,
        "title": shot.title,
        "start": moment.start,
        "end": moment.end,
        "at": moment.at,
        "score": moment.score,
        "strength": moment.strength,
        "rate": f"{info.rate.numerator}/{info.rate.denominator}",
        "variable_rate": info.variable,
        "drop_frame": info.drop,
        "source_has_timecode": info.has_timecode,
    }
    clip = otio.schema.Clip(
        name=shot.name,
        media_reference=media,
        source_range=_range(otio, info.start_frame + shot.first, shot.count, info.rate),
        metadata={"footage": facts},
    )
    if marked:
        best = _range(otio, info.start_frame + shot.best, 1, info.rate)
        clip.markers.append(otio.schema.Marker(name=shot.title, marked_range=best))
    return clip


def _gap(otio: Any, shot: Shot) -> Any:
    return otio.schema.Gap(source_range=_range(otio, 0, shot.count, shot.info.rate))


def _range(otio: Any, start: int, count: int, rate: Fraction) -> Any:
    time = otio.opentime.RationalTime
    return otio.opentime.TimeRange(time(start, float(rate)), time(count, float(rate)))
