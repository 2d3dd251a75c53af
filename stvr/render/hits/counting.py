"""Seconds of a video to frames, for formats that editors read."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from stvr.render.exporters.at_hand import times_of
from stvr.render.hits.hit import Hit, Wishes
from stvr.render.hits.timecode import drops, nearest_rate, standard_rate


@dataclass(frozen=True, slots=True)
class Counting:
    """rate: of time codes. first: seconds of the video's first picture, which editors count as frame 0."""

    rate: Fraction
    drop: bool
    first: float

    def frame(self, seconds: float) -> int:
        """The frame that begins nearest to `seconds` of the container's clock."""
        return max(0, round((seconds - self.first) * self.rate))

    def frames(self, hit: Hit) -> tuple[int, int]:
        """The frames [start, stop) of a hit, one at least."""
        start = self.frame(hit.start)
        return start, max(self.frame(hit.stop), start + 1)


def counting(reference: str, wishes: Wishes) -> Counting:
    """How frames of a video are counted: at its own rate where it is at hand, else at --fps; ValueError for neither.

    A rate that no time code has becomes the nearest that one has, which is said.
    """
    times, _ = times_of(reference, wishes.fps, wishes.videos, wishes.account)
    rate = standard_rate(times.rate)
    if rate is None:
        rate = nearest_rate(times.rate)
        wishes.account.say(reference, f"its {times.rate:.4g} frames a second are no rate of time codes, so "
                                      f"{float(rate):.5g} are counted")
    return Counting(rate, drops(rate, wishes.drop_frame), times.first)
