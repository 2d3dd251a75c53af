"""What one page has before it: examples, a search, what was liked. Kept here, so that a reload loses nothing."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from stvr.library import Hit
from stvr.structures import ClipSpec
from stvr.studio.searches import Search
from stvr.studio.shelf import TrackedExample, example_of, same

MOST_DESKS = 64


@dataclass(slots=True, eq=False)
class Desk:
    """view: what the page shows, in its own words. judged: answers with whether they are liked."""

    id: str
    view: dict[str, Any] = field(default_factory=dict)
    examples: list[TrackedExample] = field(default_factory=list)
    search: Search | None = None
    judged: list[tuple[Hit, bool]] = field(default_factory=list)

    def answers(self) -> Sequence[Hit]:
        """Best first; of a search that runs, those found so far."""
        return () if self.search is None else self.search.answers

    def mark_of(self, answer: Hit) -> bool | None:
        """Whether it was liked; None where nobody said."""
        return next((liked for judged, liked in self.judged if same(judged, answer)), None)

    def judge(self, number: int, liked: bool | None) -> None:
        """Marks the answer `number` (from 0), or takes its mark away. LookupError where there is none."""
        answers = self.answers()
        if not 0 <= number < len(answers):
            raise LookupError(f"there is no answer {number + 1}; there are {len(answers)}.")
        self.judged = [each for each in self.judged if not same(each[0], answers[number])]
        if liked is not None:
            self.judged.append((answers[number], liked))

    def like(self, clip: ClipSpec) -> list[TrackedExample]:
        """The examples, and what was liked."""
        return [*self.examples, *(example_of(each, clip) for each, liked in self.judged if liked)]

    def disliked(self) -> list[Hit]:
        return [each for each, liked in self.judged if not liked]


class Desks:
    """By id; the one used longest ago goes first once there are MOST_DESKS."""

    def __init__(self) -> None:
        self._desks: OrderedDict[str, Desk] = OrderedDict()
        self._lock = Lock()

    def open(self) -> Desk:
        desk = Desk(secrets.token_urlsafe(12))
        with self._lock:
            self._desks[desk.id] = desk
            gone = [self._desks.popitem(last=False)[1] for _ in range(len(self._desks) - MOST_DESKS)]
        for each in gone:
            if each.search:
                each.search.cancel()
        return desk

    def __getitem__(self, key: str) -> Desk:
        """LookupError, one line, for one that is not there any more."""
        with self._lock:
            if key not in self._desks:
                raise LookupError("this session is not there any more. Begin a new one.")
            self._desks.move_to_end(key)
            return self._desks[key]
