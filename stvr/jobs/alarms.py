"""Which tubelets of a query are told of, and when: not too weak, not too soon after the last, no known false alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stvr.tubelets.telling import DROP, EXTEND, OPEN, Told

HAIR = 1e-6  # seconds


@dataclass(frozen=True, slots=True)
class Rules:
    """min_score: of a tubelet, mean over its clips. cool_down_seconds: after one has opened, in which no other opens.
    every_seconds: between two words of one that extends."""

    min_score: float = 0.0
    cool_down_seconds: float = 0.0
    every_seconds: float = 1.0


@dataclass(slots=True)
class Silent:
    """Tubelets that ended without having been told of, by why."""

    weak: int = 0
    cool_down: int = 0
    never: int = 0


class Alarms:
    """Of one query, over all parts of a source."""

    def __init__(self, rules: Rules) -> None:
        self.rules, self.silent = rules, Silent()
        self._last_open = -np.inf
        self._spoken: dict[int, float] = {}  # tubelets that are open -> the seconds of their last word
        self._alike: dict[int, NDArray[np.float64]] = {}  # sums over clips, of the query first, then of false alarms

    def hear(self, told: Sequence[Told], now: float, alike: Sequence[NDArray[np.float64] | None]) -> list[Told]:
        """What is to be told of the changes in a clip at `now` seconds. alike: of their boxes, as `Found.alike`."""
        return [each for change, likeness in zip(told, alike, strict=True)
                for each in self._heard(change, now, likeness)]

    def _heard(self, told: Told, now: float, alike: NDArray[np.float64] | None) -> list[Told]:
        if alike is not None:
            self._alike[told.number] = self._alike.get(told.number, 0) + alike
        if told.kind in (OPEN, EXTEND):
            return self._going_on(told, now)
        return self._ended(told, now)

    def _going_on(self, told: Told, now: float) -> list[Told]:
        if told.number not in self._spoken:
            if self._why_silent(told, now):
                return []
            self._opens(told, now)
            return [_as(OPEN, told)]
        if now - self._spoken[told.number] < self.rules.every_seconds - HAIR:
            return []
        self._spoken[told.number] = now
        return [_as(EXTEND, told)]

    def _ended(self, told: Told, now: float) -> list[Told]:
        if told.number in self._spoken:
            self._forget(told)
            return [told]
        why = "" if told.kind == DROP else self._why_silent(told, now)
        if told.kind == DROP or why:
            if why:
                setattr(self.silent, why, getattr(self.silent, why) + 1)
            self._forget(told)
            return []
        self._opens(told, now)
        self._forget(told)
        return [_as(OPEN, told), told]

    def _why_silent(self, told: Told, now: float) -> str:
        if told.score < self.rules.min_score:
            return "weak"
        alike = self._alike.get(told.number)
        if alike is not None and alike[1:].max(initial=-np.inf) > alike[0]:
            return "never"
        return "cool_down" if now - self._last_open < self.rules.cool_down_seconds - HAIR else ""

    def _opens(self, told: Told, now: float) -> None:
        self._last_open = self._spoken[told.number] = now

    def _forget(self, told: Told) -> None:
        self._spoken.pop(told.number, None)
        self._alike.pop(told.number, None)


def _as(kind: str, told: Told) -> Told:
    return replace(told, kind=kind, tubelet=None, why="")
