"""What was left out, assumed or joined while files were read or written: counted by the way, said at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stvr.annotations.rows import LeftOut


@dataclass(slots=True)
class Account:
    """left_out: what was not used. said: what else a user should know, and of which videos or files."""

    left_out: list[LeftOut] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, what: str, why: str, first: str = "", count: int = 1, videos: Sequence[str] = ()) -> None:
        """Adds to what was left out for the same reason; `first` counts the first time."""
        for index, each in enumerate(self.left_out):
            if (each.what, each.why) == (what, why):
                self.left_out[index] = replace(each, count=each.count + count, videos=[*each.videos, *videos])
                return
        self.left_out.append(LeftOut(count, what, why, first, list(videos)))

    def say(self, where: str, what: str) -> None:
        """`what` is said once, of the first `where` and with the number of all."""
        places = self.said.setdefault(what, [])
        if where not in places:
            places.append(where)

    def lines(self) -> list[str]:
        said = [f"{places[0]}{f' and {len(places) - 1} more' if len(places) > 1 else ''}: {what}"
                for what, places in self.said.items()]
        return [*said, *map(str, self.left_out)]

    @property
    def gone(self) -> list[str]:
        """The videos of which nothing is left."""
        return [video for each in self.left_out for video in each.videos]
