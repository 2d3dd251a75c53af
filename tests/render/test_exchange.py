"""There and back through every format: several videos, people and labels, frames at a variable rate."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stvr.render.exporters import at_hand, export_file, import_files
from stvr.render.exporters.records import Found
from stvr.video.frame_times import FrameTimes

SIZE = (640, 360)
LENGTHS = st.integers(20, 400)  # of a frame in 1/1200 s: no longer than a clip, so that every clip has its own frame
IN_FRAMES = ("cvat", "coco-video", "mot", "fiftyone")


def clock_of(lengths: list[int]) -> FrameTimes:
    """Of a video of at least six seconds whose frames stay for these times, over and over."""
    ticks = np.cumsum([0, *np.resize(lengths, 1 + 7200 // min(lengths))])
    return FrameTimes(float(1200 * (len(ticks) - 1) / ticks[-1]), ticks / 1200)


@st.composite
def people(draw: st.DrawFn) -> list[Found]:
    """Of one to three videos; nobody does one thing twice without a pause, nor is in two places at once."""
    found = []
    for video in draw(st.lists(st.sampled_from(["day1/clip.mp4", "day2/clip.mp4", "b.mkv"]), min_size=1, unique=True)):
        for person in draw(st.lists(st.sampled_from(["0", "1", "7"]), min_size=1, unique=True)):
            x, y = draw(st.integers(0, 40_000)) / 100, draw(st.integers(0, 20_000)) / 100
            boxes = np.array([[x + clip, y, x + clip + 50.25, y + 100.5] for clip in range(18)]).round(2)
            for label in draw(st.lists(st.sampled_from(["wave", "sit & <stand>", "läuft"]), min_size=1, unique=True)):
                start, stop = sorted(draw(st.lists(st.integers(0, 18), min_size=2, max_size=2, unique=True)))
                score = draw(st.integers(0, 1000)) / 1000
                found.append(Found(video, score, *SIZE, start, boxes[start:stop], label=label, person=person))
    return found


def told(found: list[Found], labelled: bool) -> list[tuple]:
    return sorted((each.reference, each.label if labelled else "", each.score, each.width, each.height, each.start,
                   each.boxes.tolist()) for each in found)


def together(found: list[Found]) -> set[frozenset]:
    """Which tubelets show one person."""
    groups = defaultdict(set)
    for each in found:
        groups[each.reference, each.person].add((each.reference, each.label, each.start, each.boxes.tobytes()))
    return {frozenset(group) for group in groups.values()}


def back(found: list[Found], form: str, folder: Path, videos: list[Path]) -> list[Found]:
    paths = export_file(found, form, folder / "out", videos=videos)
    return import_files([path for path in paths if path.suffix != ".ini"], form, videos=videos)


@pytest.mark.parametrize("form", [*IN_FRAMES, "webvtt"])
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=people(), lengths=st.lists(LENGTHS, min_size=1, max_size=12))
def test_people_and_labels_come_back_at_a_variable_rate(form: str, found: list[Found], lengths: list[int],
                                                        tmp_path_factory: pytest.TempPathFactory,
                                                        monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path_factory.mktemp("exchange")
    videos = [folder / name for name in ("day1/clip.mp4", "day2/clip.mp4", "b.mkv")]
    monkeypatch.setattr(at_hand, "read_frame_times", lambda path: (clock_of(lengths), SIZE))
    if form == "mot":  # without labels, one who does two things at once would be in two places
        found = list({(each.reference, each.person): each for each in found}.values())
    returned = back(found, form, folder, videos)
    assert told(returned, form != "mot") == told(found, form != "mot")
    if form != "mot":
        assert together(returned) == together(found)


def test_a_frame_that_stands_for_several_clips_has_the_box_of_the_first(tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch):
    still = FrameTimes(1.0, np.array([0.0, 2.0, 4.0]))  # two pictures of two seconds: six clips each
    monkeypatch.setattr(at_hand, "read_frame_times", lambda path: (still, SIZE))
    boxes = np.array([[clip, 0.0, clip + 50, 90.0] for clip in range(4)])
    (found,) = back([Found("a.mp4", 1.0, *SIZE, 2, boxes, label="wave")], "mot", tmp_path, [Path("a.mp4")])
    assert (found.start, found.stop, found.boxes[:, 0].tolist()) == (0, 6, [0] * 6)


def test_a_video_that_begins_late_keeps_its_own_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    late = FrameTimes(24.0, 2.1 + np.arange(73) / 24)  # its first picture is shown at 2.1 s, 0.1 s into a clip
    monkeypatch.setattr(at_hand, "read_frame_times", lambda path: (late, SIZE))
    (tmp_path / "a.txt").write_text("".join(f"{frame},1,1,1,50,90,1\n" for frame in range(1, 25)))
    (found,) = import_files([tmp_path / "a.txt"], "mot", size=SIZE, videos=[Path("a.mp4")])
    assert found.seconds_at(found.start) == pytest.approx(2.1)
    assert found.seconds_at(found.stop) == pytest.approx(3.1)
    (again,) = back([found], "mot", tmp_path, [Path("a.mp4")])
    assert again.seconds_at(again.start) == pytest.approx(2.1)
    assert len(again.boxes) == 3
