"""A folder of videos without an index: every search asks a session of all of them, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from stvr.session import Session
from stvr.session.sources import Source
from stvr.structures import ClipSpec, Query, Span, Tubelet
from stvr.studio.shelf import Answer, Answered, Cancelled, Example, Report, ShelfVideo, query_of
from stvr.video_names import names_of


class PlainShelf:
    """videos: files. Looks at a video are kept by the session, so that a refined search of it takes far less time."""

    def __init__(self, title: str, session: Session, videos: Sequence[Path]) -> None:
        self.title, self.session = title, session
        self.videos = tuple(ShelfVideo(name, path) for name, path in names_of(list(videos)).items())

    @property
    def clip(self) -> ClipSpec:
        return self.session.spec.clip

    def search(
        self, like: Sequence[Example], unlike: Sequence[Example], top: int, report: Report,
        cancelled: Callable[[], bool],
    ) -> tuple[list[Answered], dict[str, str]]:
        """As `Shelf.search` says."""
        wanted = self.session.together(*(query_of(self.session, each) for each in like))
        others = [query_of(self.session, each) for each in unlike]
        found, failed, total = list[Answered](), dict[str, str](), len(self.videos)
        for number, video in enumerate(self.videos):
            def tell(done: int, clips: int, number: int = number) -> None:
                if cancelled():
                    raise Cancelled
                report(number + done / max(clips, 1), total, found)

            tell(0, 1)
            try:
                found += self.ask(video, wanted, others, tell)
            except (LookupError, ValueError, OSError) as error:
                failed[video.name] = str(error)
            found = sorted(found, key=lambda each: -each.score)[:top]
        return found, failed

    def ask(
        self, video: ShelfVideo, wanted: Query, others: Sequence[Query], tell: Callable[[int, int], None]
    ) -> list[Answer]:
        """The answers in one video, in any order."""
        reference = self.session.video(video.path)
        facts, clip = reference.facts, self.clip
        source = reference.clips(Span(facts.video, 0, facts.num_clips))
        tubelets = self.session.tubelets(wanted, source, tell)
        if others and tubelets:
            tubelets = self.lowered(tubelets, source, others)
        offset, last = facts.offset_seconds, facts.duration_seconds
        return [Answer(video.name, video.path, each, offset + clip.seconds_at(each.span.start),
                       offset + min(clip.seconds_at(each.span.stop), last), each.score) for each in tubelets]

    @torch.inference_mode()
    def lowered(self, tubelets: Sequence[Tubelet], source: Source, others: Sequence[Query]) -> list[Tubelet]:
        """The tubelets, each score times how little it does what any of `others` shows, on average of its clips."""
        sums, clip = torch.zeros(len(others), len(tubelets)), source.span.start
        for look in self.session.looks(source):
            there = [[number for number, each in enumerate(tubelets) if each.span.start <= at < each.span.stop]
                     for at in range(clip, clip + len(look))]
            boxes = [torch.stack([tubelets[number].boxes[at - tubelets[number].span.start] for number in numbers])
                     if numbers else torch.empty(0, 4) for at, numbers in enumerate(there, clip)]
            for row, other in enumerate(others):
                scores = self.session.head.score_boxes(look, other, boxes)
                for numbers, each in zip(there, scores or [], strict=False):
                    sums[row, numbers] += each.cpu()
            clip += len(look)
        alike = (sums / torch.tensor([len(each.span) for each in tubelets])).amax(0)
        return [replace(each, score=each.score * (1 - float(share))) for each, share in zip(tubelets, alike, strict=True)]
