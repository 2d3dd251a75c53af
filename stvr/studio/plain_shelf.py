"""A folder of videos without an index: every search asks a session of all of them, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from stvr.library import Hit
from stvr.session import Session
from stvr.structures import ClipSpec, Query, Span
from stvr.studio.shelf import Cancelled, PooledOnce, Report, ShelfVideo, TrackedExample
from stvr.video_names import names_of


class PlainShelf:
    """videos: files. Looks at a video are kept by the session, so that a refined search of it takes far less time."""

    def __init__(self, title: str, session: Session, videos: Sequence[Path]) -> None:
        self.title, self.session = title, session
        self.query = PooledOnce(lambda example: session.query(*example.asked))
        self.videos = tuple(ShelfVideo(name, path) for name, path in names_of(list(videos)).items())

    @property
    def clip(self) -> ClipSpec:
        return self.session.spec.clip

    def search(
        self, like: Sequence[TrackedExample], unlike: Sequence[TrackedExample], top: int, report: Report,
        cancelled: Callable[[], bool],
    ) -> tuple[list[Hit], dict[str, str]]:
        """As `Shelf.search` says."""
        asked, others = ([self.query(each) for each in some] for some in (like, unlike))
        wanted = self.session.together(*asked).minus(*others)
        found, failed, total = list[Hit](), dict[str, str](), len(self.videos)

        def tell(done: float) -> None:
            if cancelled():
                raise Cancelled
            report(done, total, found)

        for number, video in enumerate(self.videos):
            tell(number)
            try:
                found += self.ask(video, wanted, lambda share, number=number: tell(number + share))  # type: ignore[misc]
            except (LookupError, ValueError, OSError) as error:
                failed[video.name] = str(error)
            found.sort(key=lambda each: -each.score)
            del found[top:]
        return found, failed

    def ask(self, video: ShelfVideo, wanted: Query, tell: Callable[[float], None]) -> list[Hit]:
        """The answers in one video. tell: is given the share of it that is done."""
        reference = self.session.video(video.path)
        facts, clip = reference.facts, self.clip
        source = reference.clips(Span(facts.video, 0, facts.num_clips))
        tubelets = self.session.tubelets(wanted, source, lambda done, clips: tell(done / max(clips, 1)))
        offset, last = facts.offset_seconds, facts.duration_seconds
        return [Hit(video.name, str(video.path), each, offset + clip.seconds_at(each.span.start),
                    offset + min(clip.seconds_at(each.span.stop), last), each.score) for each in tubelets]
