"""FCPXML 1.8 (Apple): a project whose storyline is the shots, one after the other.

All times are exact fractions of a second, as the format has it. Starts are in the time of the source, which begins with
its own timecode. A source of another rate than the sequence lasts as long to the nearest frame of the sequence.

The adapter of OpenTimelineIO is not used for writing: it truncates 23.976 to 23 frames/s and runs ffprobe for names.
Version 1.8 is the last one whose assets are a plain `src`; Final Cut Pro from 10.4.1 and Resolve read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from xml.etree import ElementTree

from footage.export.edl import list_rate
from footage.export.names import plain
from footage.export.shots import Shot
from footage.media.timecode import can_drop, frame_of

_RATE_NAMES = {
    Fraction(24000, 1001): "23.98",
    Fraction(30000, 1001): "29.97",
    Fraction(60000, 1001): "59.94",
    **{Fraction(n): str(n) for n in (24, 25, 30, 48, 50, 60)},
}


def as_fcpxml(shots: Sequence[Shot], title: str) -> str:
    """The project as XML."""
    return _Project(shots).xml(title)


class _Project:
    def __init__(self, shots: Sequence[Shot]) -> None:
        self._shots = shots
        self._root = ElementTree.Element("fcpxml", version="1.8")
        self._resources = ElementTree.SubElement(self._root, "resources")
        self._formats: dict[tuple[object, ...], str] = {}
        self._assets: dict[str, str] = {}
        self._rate = list_rate(shots)

    def xml(self, title: str) -> str:
        like = next((s for s in self._shots if s.info.rate == self._rate), self._shots[0])
        drop = can_drop(self._rate) and (like.info.drop or like.info.rate != self._rate)
        sequence = ElementTree.Element(
            "sequence",
            format=self._format(self._rate, like.info.shown, Fraction(1)),
            tcStart=self._time(frame_of("01:00:00;00" if drop else "01:00:00:00", self._rate)[0], self._rate),
            tcFormat="DF" if drop else "NDF",
        )
        spine = ElementTree.SubElement(sequence, "spine")
        at = 0
        for shot in self._shots:
            at += self._clip(spine, shot, at)
        sequence.set("duration", self._time(at, self._rate))
        name = plain(title) or "Footage"
        event = ElementTree.SubElement(ElementTree.SubElement(self._root, "library"), "event", name=name)
        ElementTree.SubElement(event, "project", name=name).append(sequence)
        ElementTree.indent(self._root)
        text = ElementTree.tostring(self._root, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{text}\n'

    def _clip(self, spine: ElementTree.Element, shot: Shot, at: int) -> int:
        info = shot.info
        count = shot.count if info.rate == self._rate else shot.count_at(self._rate)
        clip = ElementTree.SubElement(
            spine,
            "asset-clip",
            name=shot.name,
            ref=self._asset(shot),
            offset=self._time(at, self._rate),
            start=self._time(info.start_frame + shot.first, info.rate),
            duration=self._time(count, self._rate),
            tcFormat="DF" if info.drop else "NDF",
        )
        ElementTree.SubElement(clip, "note").text = shot.title
        if info.rate != self._rate and info.rate in _RATE_NAMES:
            # Played at its own speed: seconds stay seconds.
            ElementTree.SubElement(clip, "conform-rate", scaleEnabled="0", srcFrameRate=_RATE_NAMES[info.rate])
        ElementTree.SubElement(
            clip,
            "marker",
            start=self._time(info.start_frame + shot.best, info.rate),
            duration=self._time(1, info.rate),
            value=shot.title,
        )
        return count

    def _asset(self, shot: Shot) -> str:
        info, video = shot.info, shot.moment.video.id
        if video not in self._assets:
            form = self._format(info.rate, info.stored if info.shown == info.stored else info.shown, Fraction(1))
            if info.pixel_aspect != 1 and info.shown[1] == info.stored[1]:  # stretched, and not turned
                form = self._format(info.rate, info.stored, info.pixel_aspect)
            sound: dict[str, str] = {}
            if info.audio_channels:
                sound = {"hasAudio": "1", "audioSources": "1", "audioChannels": str(info.audio_channels)}
                sound["audioRate"] = str(info.audio_rate)
            self._assets[video] = self._next()
            ElementTree.SubElement(
                self._resources,
                "asset",
                {
                    "id": self._assets[video],
                    "name": shot.name,
                    "src": shot.url,
                    "start": self._time(info.start_frame, info.rate),
                    "duration": self._time(shot.length, info.rate),
                    "hasVideo": "1",
                    "format": form,
                    **sound,
                },
            )
        return self._assets[video]

    def _format(self, rate: Fraction, size: tuple[int, int], aspect: Fraction) -> str:
        key = (rate, size, aspect)
        if key not in self._formats:
            self._formats[key] = self._next()
            shape = {"paspH": str(aspect.numerator), "paspV": str(aspect.denominator)} if aspect != 1 else {}
            ElementTree.SubElement(
                self._resources,
                "format",
                {
                    "id": self._formats[key],
                    "frameDuration": f"{rate.denominator}/{rate.numerator}s",
                    "width": str(size[0]),
                    "height": str(size[1]),
                    **shape,
                },
            )
        return self._formats[key]

    def _next(self) -> str:
        return f"r{len(self._resources) + 1}"

    @staticmethod
    def _time(frames: int, rate: Fraction) -> str:
        """Frames as seconds, in the unit of the rate: `86486400/24000s`; whole seconds without a fraction."""
        ticks = frames * rate.denominator
        if ticks % rate.numerator == 0:
            return f"{ticks // rate.numerator}s"
        return f"{ticks}/{rate.numerator}s"
