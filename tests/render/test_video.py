"""An annotated video: its times, its size, and where the boxes are, read back from the file."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from stvr.render.draw import DARK, TRUTH, colour_of
from stvr.render.video import box_at, render_tubelets, still
from stvr.structures import ClipSpec, Span, Tubelet
from stvr.video.encode import jpeg
from stvr.video.pictures import frame_at

TICKS = (0, 30, 65, 100, 180, 190, 400, 433, 466, 500, 700, 733, 766, 800, 960)  # milliseconds, an uneven rate
SIZE = (97, 66)  # width and height; one of them odd
CLIPS = ClipSpec(fps=24, frames_per_clip=8)  # three clips a second
BOX = [0.25, 0.25, 0.75, 0.75]


def write_video(path: Path, ticks: tuple[int, ...] = TICKS, size: tuple[int, int] = SIZE) -> Path:
    """Frame i is grey, its level 40 + 10 i, lossless, `ticks[i]` milliseconds after the start."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = *size, "gray"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0]), 40 + 10 * index, np.uint8), format="gray")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    return write_video(tmp_path / "uneven.mkv")


def tubelet(start: int, boxes: list[list[float]], score: float = 0.9) -> Tubelet:
    return Tubelet(Span("v", start, start + len(boxes)), torch.tensor(boxes), score)


def read(path) -> tuple[list[float], list[np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [float(f.pts * f.time_base) for f in frames], [f.to_ndarray(format="rgb24") for f in frames]


def near(pixel: np.ndarray, colour: tuple[int, int, int], tolerance: int = 40) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= tolerance)


def test_every_frame_keeps_its_time_at_an_uneven_rate(uneven, tmp_path):
    times, pictures = read(render_tubelets(uneven, [tubelet(1, [BOX])], tmp_path / "out.mp4", CLIPS))
    assert times == pytest.approx([tick / 1000 for tick in TICKS], abs=1e-9)
    assert all(picture.shape[1] == SIZE[0] // 2 * 2 for picture in pictures)  # even sides, else no 4:2:0
    assert all(picture.shape[0] % 2 == 0 and picture.shape[0] > SIZE[1] for picture in pictures)


def test_a_box_is_drawn_while_its_tubelet_lasts_and_at_no_other_time(uneven, tmp_path):
    times, pictures = read(render_tubelets(uneven, [tubelet(1, [BOX], 0.9)], tmp_path / "out.mp4", CLIPS))
    row, column = round(0.75 * SIZE[1]) - 1, round(0.5 * SIZE[0])  # the middle of the lower edge
    lit = [near(picture[row, column], colour_of(0), 60) for picture in pictures]
    drawn = [time for time, seen in zip(times, lit, strict=True) if seen]
    assert drawn == [time for time in times if 1 / 3 <= time < 2 / 3]  # clip 1 of three a second
    assert len(drawn) == 4


def test_the_bar_of_time_shows_when_and_now(uneven, tmp_path):
    _, pictures = read(render_tubelets(uneven, [tubelet(1, [BOX])], tmp_path / "out.mp4", CLIPS))
    lane = pictures[0][SIZE[1] + 5].astype(int)
    duration = TICKS[-1] / 1000 + 1 / 24  # the writer gave the last frame a 24th of a second
    lit = [column for column in range(len(lane)) if near(lane[column], colour_of(0), 70)]
    assert lit[0] / SIZE[0] == pytest.approx(1 / 3 / duration, abs=0.04)
    assert lit[-1] / SIZE[0] == pytest.approx(2 / 3 / duration, abs=0.04)
    brightest = [int(picture[SIZE[1] + 4 : SIZE[1] + 8].sum((0, 2)).argmax()) for picture in pictures]
    now = [tick / 1000 / duration * SIZE[0] for tick in TICKS]
    assert brightest == pytest.approx(now, abs=4)


def test_a_box_moves_on_a_straight_line_between_clip_centres():
    moving = tubelet(3, [[0.0, 0.0, 0.2, 0.2], [0.6, 0.0, 0.8, 0.2]])  # clips 3 and 4, centres 7/6 and 9/6 s
    assert box_at(moving, 0.99, CLIPS) is None
    assert box_at(moving, 1.0, CLIPS)[0] == 0
    assert box_at(moving, 8 / 6, CLIPS) == pytest.approx([0.3, 0.0, 0.5, 0.2], abs=1e-6)
    assert box_at(moving, 1.6, CLIPS)[0] == pytest.approx(0.6)
    assert box_at(moving, 5 / 3, CLIPS) is None


@pytest.mark.parametrize(
    ("seconds", "index"), [(0.0, 0), (0.029, 0), (0.03, 1), (0.39, 5), (0.4, 6), (0.95, 13), (9, 14)]
)
def test_a_still_is_the_frame_on_screen(uneven, seconds, index):
    picture = frame_at(uneven, seconds)
    assert picture.shape == (SIZE[1], SIZE[0], 3)
    assert abs(int(picture[33, 48, 0]) - (40 + 10 * index)) <= 2


def test_a_still_has_solid_answers_and_dashed_truth(uneven):
    picture = still(uneven, 0.0, [BOX], truth=torch.tensor([[0.0, 0.0, 1.0, 1.0]]), titles=["0.9"])
    left = picture[20:45, round(0.25 * SIZE[0])]
    assert all(near(pixel, colour_of(0), 0) for pixel in left)
    upper = picture[0]
    assert 0.3 < np.mean([near(pixel, TRUTH, 0) for pixel in upper]) < 0.7
    assert all(near(pixel, TRUTH, 0) or near(pixel, DARK, 0) for pixel in upper)


def test_a_box_at_or_beyond_the_edge_is_drawn_within(uneven):
    boxes = [[-0.5, -0.5, 1.5, 1.5], [0.99, 0.99, 1.0, 1.0], [0.3, 0.3, 0.3, 0.3]]
    picture = still(uneven, 0.0, boxes, titles=["a" * 99])
    assert near(picture[-1, 0], colour_of(0), 0)
    assert near(picture[-1, -1], colour_of(1), 0)


def test_a_video_turned_by_its_metadata_is_turned(shared):
    video = shared / "data/videos/odd/decord_video_90.mov"
    with av.open(str(video)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.array_equal(still(video, 0.0), np.rot90(stored, -1))  # rotate=90: a quarter to the right


def test_what_cannot_be_rendered_is_said_in_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.mp4"):
        render_tubelets(tmp_path / "nowhere.mp4", [], tmp_path / "out.mp4", CLIPS)
    (tmp_path / "words.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"words\.mp4"):
        still(tmp_path / "words.mp4", 0.0)
    assert not (tmp_path / "out.mp4").exists()


def test_a_picture_becomes_a_jpeg_no_higher_than_asked():
    red = np.zeros((200, 300, 3), np.uint8) + np.array([220, 20, 20], np.uint8)
    with av.open(io.BytesIO(jpeg(red, max_height=100))) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert picture.shape == (100, 150, 3)
    assert picture[50, 75].tolist() == pytest.approx([220, 20, 20], abs=6)
