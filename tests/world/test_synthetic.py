"""Promises of the synthetic world: its bytes, its boxes, its splits."""

import hashlib
import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from ended import gone

from stvr.world.actions import ACTION_IDS, ACTIONS, HELD_OUT, pose
from stvr.world.options import WorldOptions
from stvr.world.painting import paint_capsule
from stvr.world.scenes import build_scene
from stvr.world.synthetic import write_video, write_world

SMALL = {"num_train_videos": 2, "num_test_videos": 1, "image_size": 64, "seconds": (4, 4)}

PUBLISHED = {  # of the tiny world of seed 0, as version 0.1.0 first wrote it
    "actions.pbtxt": "ae55dd6ad61a9317",
    "held_out.txt": "42479eb212f8df56",
    "test.csv": "ea83d47d5416d6a1",
    "tracks.csv": "42f54d072832bb35",
    "train.csv": "847c9809e214c125",
}
FRAME_100 = [[209, 173, 150, 155, 131, 211],
             [150, 155, 178, 137, 186, 165],
             [203, 198, 239, 166, 152, 255],
             [169, 139, 145, 145, 138, 210],
             [158, 168, 189, 180, 151, 201],
             [242, 168, 188, 178, 165, 255]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    write_world(out, size="tiny", workers=1, **SMALL)
    return out


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, names=["video", "second", "x1", "y1", "x2", "y2", "action", "person"])


def test_one_seed_gives_the_same_bytes_however_many_workers(world: Path, tmp_path: Path):
    write_world(tmp_path / "again", size="tiny", workers=2, **SMALL)
    assert digests(tmp_path / "again") == digests(world)


def test_encoding_the_same_frames_again_gives_the_same_bytes(tmp_path: Path):
    frames = build_scene(WorldOptions(), "test_0007").frames()  # x264's default differs on this video
    for name, parts in (("first.mp4", [frames]), ("second.mp4", [frames]), ("third.mp4", [frames[:50], frames[50:]])):
        write_video(tmp_path / name, parts, 24, 160)
    assert len(set(digests(tmp_path).values())) == 1


def test_another_seed_gives_another_world(world: Path, tmp_path: Path):
    write_world(tmp_path / "other", size="tiny", workers=1, seed=1, **SMALL)
    assert digests(tmp_path / "other")["videos/train_0000.mp4"] != digests(world)["videos/train_0000.mp4"]


def test_a_video_has_24_frames_a_second_from_time_zero(world: Path):
    with av.open(str(world / "videos" / "train_0000.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([index / 24 for index in range(96)], abs=1e-6)


def test_training_and_test_actions_do_not_overlap(world: Path):
    held_out = {int(line) for line in (world / "held_out.txt").read_text().split()}
    assert len(held_out) == 8
    assert not set(rows(world / "train.csv").action) & held_out
    assert set(rows(world / "test.csv").action) <= held_out


def test_every_actor_has_one_row_a_second(world: Path):
    for name, people in rows(world / "train.csv").groupby(["video", "person"]):
        assert list(people.second) == [0, 1, 2, 3], name


def test_the_label_map_names_24_actions(world: Path):
    text = (world / "actions.pbtxt").read_text()
    assert text.count("item {") == 24
    assert 'name: "wave1"\n  id: 1\n' in text


def test_an_actor_keeps_to_an_action_for_two_to_four_seconds():
    scene = build_scene(WorldOptions(image_size=32, seconds=(8, 8)), "train_0003")
    for timeline in [actor.timeline for actor in scene.actors]:
        assert [segment.start for segment in timeline] == [0, *(segment.stop for segment in timeline[:-1])]
        assert timeline[-1].stop == 8
        assert all(2 <= segment.stop - segment.start <= 4 for segment in timeline)
        assert all(before.deed != after.deed for before, after in pairwise(timeline))


def test_a_box_is_the_extent_of_what_was_painted(monkeypatch: pytest.MonkeyPatch):
    def black(rng: np.random.Generator, options: WorldOptions, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((options.image_size + 2, options.image_size + 2, 3), np.float32), np.zeros((len(times), 2))

    monkeypatch.setattr("stvr.world.scenes.background", black)
    for index in range(6):
        scene = build_scene(WorldOptions(image_size=96, seconds=(4, 4), actors=(1, 1)), f"test_{index:04d}")
        for frame, box in zip(scene.frames(), scene.outlines()[0] * 96, strict=True):
            down, right = np.nonzero(frame.max(-1) > 1)
            extent = [right.min(), down.min(), right.max() + 1, down.max() + 1]
            np.testing.assert_allclose(box, extent, atol=1.6)  # a soft edge, rounded to whole pixels


def test_a_capsule_covers_its_middle_and_nothing_far_away():
    frames = np.zeros((2, 33, 21, 3), np.float32)
    paint_capsule(frames, np.array([[[5, 5], [5, 15]], [[-4, -4], [2, 2]]], float), 3.0, np.array([200.0, 100, 50]))
    assert frames[0, 10, 5].tolist() == [200, 100, 50]
    assert frames[0, 10, 8, 0] == pytest.approx(100)  # the edge runs through this pixel's middle
    assert frames[0, 10, 9].max() == 0
    assert frames[1, 0, 0].tolist() == [200, 100, 50]
    assert frames[1, 10:].max() == 0


@pytest.mark.parametrize("name", ACTIONS)
def test_an_actor_stands_on_the_floor_and_is_about_one_height_tall(name: str):
    capsules = pose(ACTIONS[name], np.linspace(0, 2 * np.pi, 48))
    lowest = capsules[:, :, :, 1].max((1, 2))
    assert lowest.max() == pytest.approx(0, abs=0.25)  # in a bow the hands may hang, but never far below the feet
    assert lowest.min() >= -0.25
    assert 0.4 < -capsules[:, 5, 0, 1].min() < 1.2  # the head


def test_no_two_actions_move_alike():
    phase = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    moves = {name: pose(action, phase) + np.array([action.travel * 0.2, 0]) for name, action in ACTIONS.items()}
    for name in HELD_OUT:
        for other in ACTIONS:
            if other != name:
                mirrored = moves[other][:, [2, 3, 0, 1, 4, 5, 8, 9, 6, 7]] * [-1, 1]
                assert min(np.abs(moves[name] - moves[other]).max(), np.abs(moves[name] - mirrored).max()) > 0.1, other


def test_a_world_already_written_is_left_alone_and_any_other_folder_refused(world: Path):
    before = (world / "world.json").stat().st_mtime_ns
    write_world(world, size="tiny", workers=1, **SMALL)
    assert (world / "world.json").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="what it holds is not this world"):
        write_world(world, size="tiny", workers=1, seed=9)


def test_the_record_says_how_the_world_was_made(world: Path):
    record = json.loads((world / "world.json").read_text())
    assert record["stvr_world"] == 2
    assert record["options"]["seed"] == 0
    assert record["options"]["image_size"] == 64


@pytest.mark.parametrize(("dials", "message"), [
    ({"size": "huge"}, "tiny"), ({"seconds": (0, 4)}, "seconds"), ({"actors": (3, 2)}, "actors"),
    ({"image_size": 33}, "image_size"), ({"colour": 3}, "colour")])
def test_a_dial_that_does_not_fit_is_refused_by_name(tmp_path: Path, dials: dict, message: str):
    with pytest.raises(ValueError, match=message):
        write_world(tmp_path, **dials)


def test_ids_start_at_one_and_paths_come_after_motions():
    assert sorted(ACTION_IDS.values()) == list(range(1, 29))
    assert ACTION_IDS["wave1"] == 1
    assert ACTION_IDS["jumpup"] == 24
    assert ACTION_IDS["straight"] == 25


def test_the_published_world_keeps_its_bytes(tmp_path: Path):
    """The figures of the demo rest on `small`, which is `tiny` with more and larger videos."""
    write_world(tmp_path / "tiny", size="tiny", workers=1)
    found = digests(tmp_path / "tiny")
    assert {name: found[name][:16] for name in PUBLISHED} == PUBLISHED
    frame = build_scene(WorldOptions(), "train_0000").frames(100, 101)[0]
    np.testing.assert_allclose(frame[5::30, 5::30, 1], FRAME_100, atol=1)


def test_no_process_that_draws_outlives_one_that_is_killed(tmp_path):
    words = [sys.executable, "-m", "stvr", "synth", str(tmp_path / "world"), "--size", "small", "--workers", "2"]
    drawing = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    children, until = Path(f"/proc/{drawing.pid}/task/{drawing.pid}/children"), time.monotonic() + 60
    while len(started := {*map(int, children.read_text().split())}) < 3:  # who draw, and who tracks what they share
        assert time.monotonic() < until
        time.sleep(0.1)
    with pytest.raises(FileExistsError, match="is just being written by another process"):
        write_world(tmp_path / "world", size="tiny", workers=1, **SMALL)
    drawing.kill()
    drawing.wait()
    assert gone(started)
    write_world(tmp_path / "world", size="tiny", workers=1, **SMALL)
    assert [each.name for each in tmp_path.iterdir()] == ["world"]  # nothing stays of the one that was killed
