"""Promises of a world with every dial turned: its files agree with one another and can be prepared."""

import csv
import hashlib
import json
from pathlib import Path

import av
import numpy as np
import pytest

from stvr.annotations.labelled import link_annotations, trim
from stvr.annotations.table import read_table
from stvr.structures import ClipSpec, Span
from stvr.tasks.pairs.build import read_pairs
from stvr.world.actions import ACTION_IDS
from stvr.world.dials import read_dials
from stvr.world.options import world_options
from stvr.world.rendered import rendered_features, tubelets
from stvr.world.scenes import build_scene
from stvr.world.synthetic import read_masks, write_world

DIALS = {
    "speed": (0.5, 3.0), "occlusion": (0.5, 1.5), "clutter": (1, 3), "actors": (2, 4), "combined": True,
    "styles": ("plain", "outlined", "striped"), "num_val_videos": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("full") / "world"
    write_world(out, size="tiny", workers=1, masks=True, **DIALS)
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_box_is_the_extent_of_its_mask_to_the_pixel(world: Path):
    masks = {path.stem: read_masks(path)[1] for path in (world / "masks").iterdir()}
    assert len(masks) == 8
    checked = 0
    for row in rows(world / "tracks.csv"):
        frame = round(float(row["seconds"]) * 24) + 4  # of eight, the clip's middle
        mask = masks[row["video"]][int(row["person"]), frame]
        down, right = np.nonzero(mask)
        extent = [right.min(), down.min(), right.max() + 1, down.max() + 1]
        box = [float(row[edge]) * 96 for edge in ("x1", "y1", "x2", "y2")]
        assert box == pytest.approx(extent, abs=0.01), row
        checked += 1
    assert checked > 400


def test_visible_masks_do_not_overlap_and_lie_in_the_whole_ones(world: Path):
    for path in (world / "masks").iterdir():
        visible, amodal = read_masks(path)
        assert visible.shape == amodal.shape
        assert visible.shape[1:] == (96, 96, 96)
        assert visible.sum(0).max() == 1
        assert (visible <= amodal).all()
        assert not visible.any((2, 3)).all()  # somebody is completely hidden for some time


def test_a_person_always_has_two_labels_a_motion_and_a_path(world: Path):
    moments: dict[tuple[str, ...], set[int]] = {}
    for line in (world / "train.csv").read_text().splitlines():
        video, second, *_, action, person = line.split(",")
        moments.setdefault((video, second, person), set()).add(int(action))
    for labels in moments.values():
        assert sorted(label > 24 for label in labels) == [False, True]
    names = (world / "actions.pbtxt").read_text()
    assert names.count("item {") == 28
    assert 'name: "dash"\n  id: 28\n' in names


def test_the_same_dials_give_the_same_bytes(world: Path, tmp_path: Path):
    write_world(tmp_path / "again", size="tiny", workers=1, masks=True, **DIALS)
    digests = [{str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in folder.rglob("*") if path.is_file()} for folder in (world, tmp_path / "again")]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 8 + 8 + 10  # videos, masks, the other files


def test_prepare_check_finds_nothing_wrong(world: Path, stvr):
    tables = [world / "train.csv", world / "val.csv", world / "test.csv"]
    result = stvr("prepare", "check", *tables, "--labels", world / "actions.pbtxt", "--videos", world / "videos")
    assert result.status == 0, result.out
    assert "no fault found" in result.out
    result = stvr("prepare", "check", world / "tracks.csv", "--videos", world / "videos")
    assert result.status == 0, result.out
    assert "checked" in result.out


@pytest.mark.parametrize("kind", ["ava", "table"])
def test_prepare_holds_out_the_actions_that_training_never_shows(world: Path, tmp_path: Path, stvr, kind: str):
    out = tmp_path / "pairs.json"
    if kind == "ava":
        tables = [world / f"{split}.csv" for split in ("train", "val", "test")]
        result = stvr("prepare", "ava", *tables, "--labels", world / "actions.pbtxt", "--videos", world / "videos",
                      "--held-out", world / "held_out.txt", "--out", out)
    else:
        result = stvr("prepare", "table", world / "tracks.csv", "--videos", world / "videos",
                      "--held-out", world / "held_out_names.txt", "--out", out)
    assert result.status == 0, result.err
    pairs, _ = read_pairs(out)
    for pair in pairs:
        videos = {pair.query.span.video, pair.reference.video}
        assert {video.partition("_")[0] for video in videos} == {pair.split}
        assert pair.label.count(",") == 1
    assert {pair.split for pair in pairs} == {"train", "val", "test"}


def test_scenes_csv_has_what_each_video_drew(world: Path):
    dials = read_dials(world)
    assert list(dials) == [f"{split}_{n:04d}" for split, count in (("train", 4), ("test", 2), ("val", 2))
                           for n in range(count)]
    for video, each in dials.items():
        assert 0.5 <= each.speed_dial <= 3
        assert 0.5 <= each.occlusion_dial <= 1.5
        visible, amodal = read_masks(world / "masks" / f"{video}.npz")
        shares = visible[:, 4::8].sum((2, 3)) / amodal[:, 4::8].sum((2, 3))
        longest = [max(map(len, "".join("h" if share < 0.5 else " " for share in row).split(" "))) for row in shares]
        assert each.occlusion == pytest.approx(sum(longest) / len(longest) / 3, abs=1e-4)
        assert each.actors == len(visible)


def test_tubelets_without_files_equal_those_of_the_files(world: Path):
    options = world_options("tiny", {**DIALS, "exact_boxes": True})
    annotations = read_table(world / "tracks.csv").checked()
    linked = trim(link_annotations(annotations), {video: Span(video, 0, 12) for video in options.names()})  # 4 seconds
    for video in ("train_0000", "test_0001"):
        own = [(label, tubelet) for label, tubelet in tubelets(build_scene(options, video), video, ClipSpec(24, 8, 96))]
        from_files = [each for each in linked if each.video == video]
        assert len(own) == len(from_files)
        for (label, tubelet), each in zip(own, from_files, strict=True):
            assert tubelet.span == each.span
            assert {annotations.names[index] for index in each.label} == {
                name for name, index in ACTION_IDS.items() if index in label}
            np.testing.assert_allclose(tubelet.boxes, each.tubelet.boxes, atol=1e-4)


def test_features_without_files_equal_those_of_the_clips(world: Path):
    """The backbone here is the mean of each 16 x 16 cell over a clip; the video files differ by what H.264 loses."""
    options = world_options("tiny", {**DIALS, "exact_boxes": True})

    def backbone(clips):
        return clips.float().reshape(-1, 8, 6, 16, 6, 16, 3).mean((1, 3, 5)).unsqueeze(1)

    features = rendered_features(options, backbone, ["train_0001"])
    assert features.num_clips("train_0001") == 12
    maps = features.read(Span("train_0001", 3, 7))
    assert maps.shape == (4, 6, 6, 1, 3)  # row, column, time, channel
    with av.open(str(world / "videos" / "train_0001.mp4")) as container:
        film = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    expected = film[24:56].reshape(4, 8, 6, 16, 6, 16, 3).mean((1, 3, 5), dtype=np.float64)
    assert np.abs(maps[..., 0, :].numpy() - expected).mean() < 3
    assert np.corrcoef(maps[..., 0, :].numpy().ravel(), expected.ravel())[0, 1] > 0.995


def test_the_command_takes_the_dials(tmp_path: Path, stvr):
    result = stvr("synth", tmp_path / "world", "--size", "tiny", "--actors", "1", "--speed", "1,2",
                  "--occlusion", "0.5", "--clutter", "1,2", "--seconds", "2", "--styles", "outlined",
                  "--image-size", "64", "--combined", "--train-videos", "1", "--test-videos", "1", "--workers", "1")
    assert result.status == 0, result.err
    assert "2 videos" in result.out
    options = json.loads((tmp_path / "world" / "world.json").read_text())["options"]
    assert (options["speed"], options["occlusion"], options["clutter"]) == ([1.0, 2.0], [0.5, 0.5], [1, 2])
    assert (options["actors"], options["seconds"], options["styles"]) == ([1, 1], [2, 2], ["outlined"])
    picture = (tmp_path / "world" / "contact.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (8 * 66, 2 * 66)


@pytest.mark.parametrize(("flags", "message"), [
    (("--speed", "fast"), "--speed wants"), (("--actors", "1,2,3"), "--actors wants"), (("--combined",), "speed"),
    (("--size", "huge"), "tiny, small, full"), (("--styles", "oil"), "plain, outlined, striped")])
def test_a_dial_that_does_not_fit_is_one_line_and_status_2(tmp_path: Path, stvr, flags: tuple[str, ...], message: str):
    result = stvr("synth", tmp_path / "world", *flags)
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "world").exists()
