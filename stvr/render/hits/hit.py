"""One answer as people speak of it: number, video, from when to when; and what writers of answers are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stvr.render.exporters.account import Account
from stvr.render.exporters.at_hand import Videos, file_of
from stvr.render.exporters.records import Found, video_names
from stvr.video_names import ByVideo


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """number: from 1, the best of all videos first. name: of its video, as `video_names` has it."""

    number: int
    name: str
    found: Found

    @property
    def start(self) -> float:
        """Seconds of the container's clock."""
        return self.found.seconds_at(self.found.start)

    @property
    def stop(self) -> float:
        return self.found.seconds_at(self.found.stop)

    @property
    def title(self) -> str:
        """What it shows, and its score: "wave 0.91"."""
        return f"{self.found.label} {self.found.score:.2f}".strip()

    @property
    def middle(self) -> tuple[float, list[float]]:
        """When the clip in its middle is half over, and the box there, xyxy in [0, 1]."""
        found, place = self.found, len(self.found.boxes) // 2
        at = (found.seconds_at(found.start + place) + found.seconds_at(found.start + place + 1)) / 2
        return at, (found.boxes[place] / (found.width, found.height, found.width, found.height)).tolist()


@dataclass(frozen=True, slots=True)
class Wishes:
    """How answers are to be written.

    fps: of videos that are not at hand. videos: files among which they are looked for, besides their own paths.
    drop_frame: None where the rate decides. around: seconds that a cut shows before and after its hit.
    account: is told what is left out.
    """

    fps: float | None = None
    videos: Videos = field(default_factory=lambda: ByVideo({}))
    drop_frame: bool | None = None
    around: float = 1.0
    account: Account = field(default_factory=Account)


def hits_of(found: Sequence[Found], label: str | None = None) -> list[Hit]:
    """Best first. label: what all show, whatever they are labelled."""
    names = video_names(found)
    ranked = sorted(found, key=lambda each: -each.score)
    return [Hit(number, names[each.reference], replace(each, label=label or each.label))
            for number, each in enumerate(ranked, start=1)]


def in_time(hits: Sequence[Hit]) -> list[Hit]:
    """Video by video in the order of their best hits, each from its beginning to its end."""
    order = {name: place for place, name in enumerate(dict.fromkeys(hit.name for hit in hits))}
    return sorted(hits, key=lambda hit: (order[hit.name], hit.start, hit.stop, hit.number))


def by_file(hits: Sequence[Hit], out: Path, suffix: str) -> Iterator[tuple[Path, list[Hit]]]:
    """For a format of one video: OUT and the hits in time; of several videos, a file for each in the folder OUT."""
    names = dict.fromkeys(hit.name for hit in hits)
    for name in names:
        own = [hit for hit in in_time(hits) if hit.name == name]
        yield (out / f"{name}{suffix}" if len(names) > 1 else out), own


def at_hand(hits: Sequence[Hit], wishes: Wishes) -> list[tuple[Hit, Path]]:
    """The hits whose videos are there, with their files; the others are counted. ValueError where none is there."""
    files = {hit.found.reference: file_of(hit.found.reference, wishes.videos) for hit in hits}
    for reference in (each for each, file in files.items() if file is None):
        count = sum(hit.found.reference == reference for hit in hits)
        wishes.account.leave_out("tubelets", "their videos are not at hand; give --videos", reference, count,
                                 [reference])
    shown = [(hit, file) for hit in hits if (file := files[hit.found.reference]) is not None]
    if not shown:
        raise ValueError(f"pictures are wanted, but none of the {len(files)} videos is at hand "
                         f"(first: {next(iter(files))}). Give their folder with --videos.")
    return shown


def clock(seconds: float) -> str:
    """h:mm:ss.mmm, as spreadsheets and people read it."""
    whole, rest = divmod(round(abs(seconds) * 1000), 1000)
    return f"{'-' if seconds < 0 else ''}{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}.{rest:03d}"
