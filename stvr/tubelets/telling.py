"""What is told of tubelets while they happen: one opens, extends, and closes as what the linker makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from stvr.structures import Detections, Span, Tubelet
from stvr.tubelets.following import Track
from stvr.tubelets.linking import OnlineLinker
from stvr.tubelets.overlaps import Floats

OPEN, EXTEND, CLOSE, DROP = "open", "extend", "close", "drop"
LONGEST, GONE = "as long as one may last", "not seen any more"  # why one closes


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Of one tubelet, by its number.

    kind: OPEN and EXTEND say what is known so far: its span, the last box (4,), the mean score. CLOSE says what the
    linker says, `tubelet`; DROP that it says nothing of one that was open, because later clips of the same actor show
    it better, or it is a part of another. why: of the last two.
    """

    kind: str
    number: int
    span: Span
    box: Floats
    score: float
    tubelet: Tubelet | None = None
    why: str = ""


@dataclass(slots=True)
class Story:
    """A tubelet that is open: its span as far as it is known, its last box and score."""

    number: int
    span: Span
    box: Floats
    score: float

    def told(self, kind: str, why: str = "") -> Told:
        return Told(kind, self.number, self.span, self.box, self.score, why=why)


@dataclass(slots=True)
class _Actor:
    track: Track
    stories: list[Story] = field(default_factory=list)


class Teller:
    """Takes one clip after the other, as its linker does; the tubelets that close are the linker's, all of them.

    A tubelet opens with its `min_clips`-th clip and extends with every clip that the actor is seen in. numbers: where
    they come from, so that several tellers may share them.
    """

    def __init__(self, linker: OnlineLinker, numbers: count[int] | None = None) -> None:
        self.linker = linker
        self._numbers = count(1) if numbers is None else numbers
        self._actors: dict[int, _Actor] = {}  # by the identity of their tracks, which live as long

    def step(self, detections: Detections) -> list[Told]:
        """Takes the next clip: what has ended before it, then what goes on in it."""
        ended = self._ended(self.linker.follow(detections), "")
        clip = self.linker.follower.clip - 1
        return ended + [told for track in self.linker.follower.live if track.clips[-1] == clip
                        for told in self._going_on(track)]

    def finish(self, why: str) -> list[Told]:
        """What lasted to the end, and why it is the end."""
        return self._ended(self.linker.follower.finish(), why)

    def _going_on(self, track: Track) -> list[Told]:
        held = self.linker.held(track)
        if held is None:
            return []
        begins = self.linker.start + track.clips[0]
        span, score = Span(self.linker.video, begins + held[0], begins + held[1] + 1), held[2]
        actor = self._actors.setdefault(id(track), _Actor(track))
        same = [story for story in actor.stories if story.span.overlap(span)]
        if not same:
            actor.stories.append(Story(next(self._numbers), span, track.boxes[-1], score))
            return [actor.stories[-1].told(OPEN)]
        story = same[-1]
        story.span, story.box, story.score = span, track.boxes[-1], score
        return [story.told(EXTEND)]

    def _ended(self, tracks: Sequence[Track], why: str) -> list[Told]:
        return [told for track in tracks for told in self._closed(track, why)]

    def _closed(self, track: Track, why: str) -> list[Told]:
        actor = self._actors.pop(id(track), _Actor(track))
        why = why or (LONGEST if self.linker.follower.is_longest(track) else GONE)
        told, left = [], list(actor.stories)
        for tubelet in self.linker.tubelets([track]):
            same = [story for story in left if story.span.overlap(tubelet.span)]
            number = same[0].number if same else next(self._numbers)
            left = [story for story in left if not same or story is not same[0]]
            told.append(Told(CLOSE, number, tubelet.span, tubelet.boxes[-1].numpy(), tubelet.score, tubelet, why))
        return [story.told(DROP, "a part of another, or shown better later") for story in left] + told
