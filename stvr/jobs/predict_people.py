"""Who is in a video, and what does everyone of them do? By a trained head: AVA's CSV, and every clip to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from stvr.heads import PeopleOptions
from stvr.heads.step import StepHead
from stvr.labels import number_and_name
from stvr.render.people_video import people_in, render_people
from stvr.session import Session
from stvr.structures import Detections, Span
from stvr.tasks.people.detections import Row, as_text, rows_of


@dataclass(frozen=True, slots=True, eq=False)
class FoundPeople:
    """Of one video: the rows of its whole seconds, and what was found in every clip."""

    rows: list[Row]
    clips: list[Detections]


def find_people(session: Session, name: str, video: Path) -> FoundPeople:
    """Everybody in a video file. name: as the rows call it.

    A second's row is of the clip that is on screen when the second begins, on the video's own clock.
    """
    head, options = session.loaded.head, session.loaded.options
    assert isinstance(options, PeopleOptions)
    assert isinstance(head, StepHead)
    source = session.video(video)
    facts, spec = source.facts, session.spec.clip
    looks = session.fresh_looks(source.clips(Span(facts.video, 0, facts.num_clips)))
    clips = [Detections(each.boxes.cpu(), each.scores.cpu(), each.labels.cpu())
             for look in looks for each in head.people(look)]  # fmt: skip
    if not clips:
        raise ValueError(f"{video}: nothing of it can be decoded.")
    stop = facts.offset_seconds + spec.seconds_at(len(clips))
    rows = [row for second in range(ceil(facts.offset_seconds), ceil(stop))
            for row in rows_of(name, second, clips[spec.index_at(second - facts.offset_seconds)], options.classes)]
    return FoundPeople(rows, clips)


def predict_people(
    session: Session,
    videos: Mapping[str, Path],
    *,
    places: Mapping[str, Path] | None = None,
    on_failure: Callable[[str, Exception], None] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> str:
    """AVA's CSV of all videos. places: where a video with its people drawn in goes, by name; none without.

    on_failure is told of a video that cannot be read; without it the error is raised. report(videos done, videos) tells
    of progress. ValueError for a head that finds nobody.
    """
    options = session.loaded.options
    if not isinstance(options, PeopleOptions):
        raise ValueError(f"the head {options.name!r} finds no people. Give a run of the head step.")
    names = [number_and_name(each)[1] for each in options.classes]
    text = []
    for number, (name, video) in enumerate(videos.items(), start=1):
        try:
            found = find_people(session, name, video)
            if places:
                shown = [people_in(clip, names) for clip in found.clips]
                render_people(video, shown, places[name], session.spec.clip)
        except (LookupError, ValueError, OSError) as error:
            if on_failure is None:
                raise
            on_failure(name, error)
            continue
        text.append(as_text(found.rows))
        if report:
            report(number, len(videos))
    return "".join(text)
