"""One source and several queries: what is told of it while it is read, as events of tubelets in seconds and pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stvr.jobs.alarms import Alarms, Rules, Silent
from stvr.jobs.known_alarms import KnownAlarms
from stvr.session import Answer, LiveClips, Session, Source
from stvr.session.watching import Found, Watching, delay_of
from stvr.structures import ClipSpec, Query, Span
from stvr.tubelets import OnlineLinker, to_pixels
from stvr.tubelets.telling import CLOSE, DROP, EXTEND, OPEN, Teller, Told
from stvr.video.live import PIPE, is_live
from stvr.video.reading import Clip
from stvr.video.reconnecting import FIRST_WAIT, LiveSource, Part

Event = dict[str, Any]
Say = Callable[[str], None]
LONGEST_SECONDS = 600.0  # that one tubelet may last: its boxes are kept until it closes


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """rules: what is told of. never: queries that show known false alarms. longest_seconds: after which a tubelet
    closes. alarms: the folder for what opened, so that it can be named as a false alarm; None keeps nothing.
    give_up_seconds, first_wait: see `LiveSource`."""

    rules: Rules = field(default_factory=Rules)
    never: Sequence[Query] = ()
    longest_seconds: float = LONGEST_SECONDS
    alarms: Path | None = None
    give_up_seconds: float = 300.0
    first_wait: float = FIRST_WAIT


class Watch:
    """`events` gives them all as they come; `silent`, `closed` and `gave_up` say how it went."""

    def __init__(
        self, session: Session, queries: Mapping[str, Query], source: str, options: WatchOptions | None = None,
        say: Say = lambda line: None,
    ) -> None:  # fmt: skip
        """queries: by the names that events have. source: a file, a pipe, "-" for standard input, or an address.

        say: is told, in a line, what the user should know beside the events.
        """
        self.session, self.source, self.options, self.say = session, source, options or WatchOptions(), say
        self.closed, self.gave_up = 0, False
        self.known = None if self.options.alarms is None else KnownAlarms(self.options.alarms, session)
        self.watching = Watching(session, queries, self.options.never, self.known is not None)
        self._alarms = {name: Alarms(self.options.rules) for name in queries}
        self._numbers = {name: count(1) for name in queries}
        self._run = time.strftime("%Y%m%dT%H%M%S", time.gmtime())

    @property
    def silent(self) -> dict[str, Silent]:
        """By query: the tubelets that were kept silent."""
        return {name: each.silent for name, each in self._alarms.items()}

    def events(self) -> Iterator[Event]:
        """One object an event, in the order in which they are known. ValueError for what cannot be read at all."""
        if not is_live(self.source):
            video = self.session.video(self.source)
            facts = video.facts
            scene = Scene(self.source, self.session.spec.clip, facts.width, facts.height, facts.offset_seconds,
                          facts.duration_seconds)  # fmt: skip
            if facts.doubt:
                self.say(f"{self.source} is doubtful: {facts.doubt}")
            yield from self._part(video.clips(Span(facts.video, 0, facts.num_clips)), scene,
                                  lambda: "the end of the video")
            return
        self.session.eyes()  # loaded before anything is read that would have to wait
        with LiveSource(self.source, self.session.spec, self.say, self.options.give_up_seconds,
                        self.options.first_wait) as live:  # fmt: skip
            for part in live.parts():
                yield from self._live_part(part)
            self.gave_up = live.gave_up

    def _live_part(self, part: Part) -> Iterator[Event]:
        name = "stdin" if self.source == PIPE else self.source
        heard = Heard(part.clips)
        scene = Scene(name, self.session.spec.clip, *part.facts.size, part.offset_seconds, heard=heard)
        source = LiveClips(name, heard.frames(), self.session.eyes())
        ends = "the source stopped"
        yield from self._part(source, scene, lambda: f"{ends}: {part.end.error}" if part.end.error else ends)
        faults = {"packets that could not be decoded": part.end.errors,
                  "pictures whose time stamps were not believed": part.end.bridged}
        for what, number in faults.items():
            if number:
                self.say(f"{name} had {number} {what}")

    def _part(self, source: Source, scene: Scene, why: Callable[[], str]) -> Iterator[Event]:
        longest = max(2, round(self.options.longest_seconds * scene.clip.clips_per_second))
        contrast = self.session.head.time_contrast
        tellers = {name: Teller(OnlineLinker(source.span.video, source.span.start, contrast=contrast, longest=longest),
                                self._numbers[name])
                   for name in self._alarms}  # fmt: skip
        clip = source.span.start
        try:
            for clip, found in self.watching.clips(source):
                for name, teller in tellers.items():
                    told = teller.step(found[name].detections)
                    yield from self._said(name, told, clip, scene, [alike(each, found[name]) for each in told])
        except KeyboardInterrupt:
            yield from self._finished(tellers, clip, scene, "the watch was stopped")
            raise
        yield from self._finished(tellers, clip, scene, why())

    def _finished(self, tellers: Mapping[str, Teller], clip: int, scene: Scene, why: str) -> Iterator[Event]:
        for name, teller in tellers.items():
            told = teller.finish(why)
            yield from self._said(name, told, clip, scene, [None] * len(told))

    def _said(
        self, name: str, told: Sequence[Told], clip: int, scene: Scene, likeness: Sequence[NDArray[np.float64] | None]
    ) -> Iterator[Event]:
        now = scene.offset_seconds + scene.clip.seconds_at(clip + 1)
        for each in self._alarms[name].hear(told, now, likeness):
            identity = f"{name}-{self._run}-{each.number}"
            self.closed += each.kind == CLOSE
            if self.known is not None:
                self._remember(identity, each)
            yield {"event": each.kind, "id": identity, "query": name, **scene.said(each, clip)}

    def _remember(self, identity: str, told: Told) -> None:
        assert self.known is not None
        if told.kind in (OPEN, EXTEND):
            box = torch.from_numpy(np.array(told.box))
            seen = self.watching.appearance(told.span.video, told.span.stop - 1, box)
            if seen is not None:
                self.known.see(identity, seen)
        else:
            self.known.ends(identity)


@dataclass(slots=True, eq=False)
class Heard:
    """Counts the clips that have come."""

    clips: Iterator[Clip]
    number: int = 0

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        for clip in self.clips:
            self.number += 1
            yield clip.frames


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What clips and shares mean in seconds and pixels. heard: what has come, of a live source."""

    source: str
    clip: ClipSpec
    width: int
    height: int
    offset_seconds: float
    duration_seconds: float = float("inf")
    heard: Heard | None = None

    def said(self, told: Told, clip: int) -> Event:
        """clip: the one that said so; delay_seconds: what had come of a live source since it."""
        box = to_pixels(torch.from_numpy(np.array(told.box)), self.width, self.height)
        stop = min(self.clip.seconds_at(told.span.stop), self.duration_seconds)
        event = {
            "source": self.source,
            "seconds": self.offset_seconds + self.clip.seconds_at(told.span.stop - 1),
            "box": [round(float(edge), 2) for edge in box],
            "score": round(told.score, 6),
            "start_seconds": self.offset_seconds + self.clip.seconds_at(told.span.start),
            "stop_seconds": self.offset_seconds + stop,
            "width": self.width,
            "height": self.height,
        }
        if self.heard is not None:
            event["delay_seconds"] = round(self.clip.seconds_at(self.heard.number - clip - 1), 3)
        if told.tubelet is not None:
            answer = Answer(Path(self.source), self.clip, self.width, self.height, self.duration_seconds,
                            [told.tubelet], self.offset_seconds)  # fmt: skip
            event["boxes"] = next(answer.to_json())["boxes"]
        return event | ({"reason": told.why} if told.kind in (CLOSE, DROP) else {})


def alike(told: Told, found: Found) -> NDArray[np.float64] | None:
    """How much the box of a tubelet that opens or extends is like the query and the false alarms."""
    if found.alike is None or told.kind not in (OPEN, EXTEND):
        return None
    same = np.flatnonzero((found.detections.boxes.double().numpy() == told.box).all(1))
    return None if not len(same) else found.alike[same[0]]


def what_it_costs(session: Session) -> str:
    """What is known of the delay of a live source, in one line."""
    clip, delay, linker = session.spec.clip, delay_of(session), OnlineLinker("")
    parts = {"head": delay.head, "context": delay.context}
    ahead = " and ".join(f"{number} for the {name}" for name, number in parts.items() if number)
    late = (f"as soon as {delay.clips} more have come ({ahead}), {clip.seconds_at(delay.clips):.2f} s later"
            if ahead else "as soon as it is there")
    return (f"of a clip of {clip.seconds_at(1):.2f} s it is told {late}, and what computing takes; a tubelet opens "
            f"with its clip {linker.min_clips} and closes when it was not seen for {linker.max_gap + 2} clips")
