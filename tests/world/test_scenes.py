"""Promises of a video of the synthetic world: its masks, its boxes, its dials."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from stvr.world.actions import ACTIONS, HELD_OUT, PATHS, VALIDATION, deeds
from stvr.world.options import STYLES, WorldOptions, world_options
from stvr.world.painting import extents, mark_capsule, paint_capsule
from stvr.world.scenes import Scene, build_scene
from stvr.world.staging import Actor, Dials, Segment
from stvr.world.things import Board, Body

STANDING = np.array([[[[5.0, 5], [5, 15]]]])  # a post of radius 3 around x = 5, y = 5 to 15, in one frame
DIALS = WorldOptions(image_size=96, seconds=(4, 4), exact_boxes=True)


def a_post(style: str = "plain") -> Body:
    return Body(STANDING, np.array([3.0]), np.array([[200.0, 100, 40]]), np.array([[10.0, 20, 30]]), style)


def a_scene(*layers) -> Scene:
    """One frame of 32 pixels; every body is an actor."""
    owned = [(thing, None if isinstance(thing, Board) else number) for number, thing in enumerate(layers)]
    actors = [Actor(thing, [Segment(0, 1, ("wave1", ""))], np.zeros((1, 2))) for thing, owner in owned
              if owner is not None]
    options = WorldOptions(image_size=32, seconds=(1, 1), exact_boxes=True)
    return Scene(options, 1, Dials(0, 0, 0), actors, owned, np.full((34, 34, 3), 60, np.float32), np.zeros((1, 2)))


def test_a_mask_has_the_pixels_that_hand_counting_gives():
    """x 2 to 8 on the eleven rows from 5 to 15, and caps of 5 + 5 + 1 pixels: those whose middle is at most 3 away."""
    mask = np.zeros((1, 32, 32), bool)
    mark_capsule(mask, STANDING[:, 0], 3.0)
    assert mask.sum() == 7 * 11 + 2 * (5 + 5 + 1)
    assert [int(mask[0, row].sum()) for row in range(1, 7)] == [0, 1, 5, 5, 7, 7]
    assert extents(mask).tolist() == [[2, 2, 9, 19]]


def test_a_slanted_mask_has_the_pixels_whose_middle_is_within_the_radius():
    (x1, y1), (x2, y2), radius = (4.3, 20.7), (17.9, 6.2), 2.6
    mask = np.zeros((1, 24, 24), bool)
    mark_capsule(mask, np.array([[[x1, y1], [x2, y2]]]), radius)
    for y in range(24):
        for x in range(24):
            steps = np.linspace(0, 1, 2001)
            away = np.hypot(x - x1 - steps * (x2 - x1), y - y1 - steps * (y2 - y1)).min()
            assert mask[0, y, x] == (away <= radius), (x, y, away)


def test_a_board_over_an_actor_is_cut_from_the_visible_mask_but_not_from_the_whole():
    """A board over columns 5 to 8 of rows 0 to 7 hides 1, 3, 3 and three times 4 pixels of the post."""
    board = Board(np.zeros((8, 4, 3), np.float32), np.array([5]), 0)
    visible, amodal = a_scene(a_post(), board).masks()
    assert amodal.sum() == 99
    assert visible.sum() == 99 - 1 - 3 - 3 - 3 * 4
    assert (visible <= amodal).all()
    boxes, shares = a_scene(a_post(), board).observe(np.array([0]))
    assert (boxes * 32).tolist() == [[[2, 2, 9, 19]]]
    assert shares.tolist() == [[80 / 99]]


def test_where_two_actors_share_a_pixel_the_later_one_is_visible():
    aside = Body(STANDING + np.array([4, 0]), np.array([3.0]), np.zeros((1, 3)), np.zeros((1, 3)))
    visible, amodal = a_scene(a_post(), aside).masks()
    assert amodal.sum((1, 2, 3)).tolist() == [99, 99]
    assert visible[1].sum() == 99
    assert not (visible[0] & visible[1]).any()
    assert visible[0].sum() == 99 - (amodal[0] & amodal[1]).sum()


def test_a_board_that_sticks_out_of_the_picture_covers_what_it_can():
    columns = np.arange(200, 206, dtype=np.float32)
    board = Board(np.broadcast_to(columns[:, None], (40, 6, 3)), np.array([-4]), 30)  # two columns of two rows
    frame = a_scene(a_post(), board).frames()[0]
    assert frame[30:, :3, 0].tolist() == [[204, 205, 60]] * 2
    assert (frame >= 204).all(-1).sum() == 2 * 2
    assert a_scene(a_post(), Board(board.texture, np.array([50]), 3)).masks()[0].sum() == 99


def test_a_pixel_of_the_mask_is_painted_by_at_least_half():
    scene = a_scene(a_post())
    green = scene.frames()[0, :, :, 1].astype(int)  # 100 over 60
    inside = scene.masks()[1][0, 0]
    assert (green[inside] >= 80).all()
    assert (green[~inside] <= 80).all()


def test_an_outlined_limb_has_a_dark_edge_and_a_striped_one_two_stripes():
    frames = {style: a_scene(a_post(style)).frames()[0] for style in STYLES}
    assert frames["plain"][10, 5].tolist() == frames["outlined"][10, 5].tolist() == [200, 100, 40]
    assert frames["outlined"][10, 8].tolist() == [55, 42, 35]  # half of a quarter of the colour, half of the ground
    column = frames["striped"][5:16, 5]  # along 0 to 1 in tenths; stripes at [.2, .4) and [.6, .8)
    stripes = [pixel.tolist() == [10, 20, 30] for pixel in column]
    assert stripes == [False, False, True, True, False, False, True, True, False, False, False]


def test_a_limb_shrunk_to_a_point_has_no_stripe():
    frames = np.zeros((1, 9, 9, 3), np.float32)
    paint_capsule(frames, np.full((1, 2, 2), 4.0), 2.0, np.full(3, 90.0), np.full(3, 10.0))
    assert frames[0, 4, 4].tolist() == [90, 90, 90]


@pytest.mark.parametrize("name", ["train_0001", "val_0000", "test_0000"])
def test_frames_and_masks_do_not_depend_on_which_others_are_drawn(name: str):
    options = replace(DIALS, image_size=64, speed=(1, 2), occlusion=(0.5, 1), clutter=(2, 2), styles=STYLES,
                      combined=True, num_val_videos=2)
    scene = build_scene(options, name)
    whole, (visible, amodal) = scene.frames(), scene.masks()
    assert whole.shape == (96, 64, 64, 3)
    np.testing.assert_array_equal(build_scene(options, name).frames(41, 58), whole[41:58])
    part = scene.masks(41, 58)
    np.testing.assert_array_equal(part[0], visible[:, 41:58])
    np.testing.assert_array_equal(part[1], amodal[:, 41:58])


@pytest.mark.parametrize("path", PATHS)
def test_the_speed_in_cells_a_clip_is_kept_on_every_path(path: str, monkeypatch: pytest.MonkeyPatch):
    """1.5 cells of 16 pixels in 8 frames: 3 pixels a frame; a dash is 6 and 0 in turn. Turns shorten single steps."""
    monkeypatch.setattr("stvr.world.staging.deeds", lambda split, **_: [("walk", path), ("kick", path)])
    scene = build_scene(replace(DIALS, image_size=160, speed=(1.5, 1.5), combined=True, seconds=(8, 8)), "train_0002")
    for actor in scene.actors:
        steps = np.hypot(*np.diff(actor.feet, axis=0).T)
        expected = [0, 6] if path == "dash" else [3]
        near = np.abs(steps[:, None] - expected).min(1) < 0.01
        assert near.mean() > 0.85
        assert steps.max() < max(expected) + 0.01
        assert steps.mean() == pytest.approx(3, abs=0.35)
        assert actor.feet[:, 0].min() >= 0.15 * 160 - 1e-6
        assert actor.feet[:, 0].max() <= 0.85 * 160 + 1e-6


def test_without_the_speed_dial_an_action_travels_at_its_own_speed():
    options = WorldOptions(image_size=96, seconds=(4, 4), num_test_videos=20)
    seen = set()
    for number in range(12):
        for actor in build_scene(options, f"test_{number:04d}").actors:
            moved = np.abs(np.diff(actor.feet[:, 0])).max() > 0.1
            assert moved == any(ACTIONS[segment.deed[0]].travel > 0 for segment in actor.timeline)
            seen.add(bool(moved))
    assert seen == {True, False}


@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_a_board_hides_an_actor_completely_for_as_long_as_the_dial_says(seconds: float):
    options = replace(DIALS, actors=(1, 1), occlusion=(seconds, seconds), speed=(0.5, 0.5))
    for number in range(4):
        visible, amodal = build_scene(options, f"train_{number:04d}").masks()
        seen = visible[0].any((1, 2))
        hidden = longest = 0
        for each in seen:
            hidden = 0 if each else hidden + 1
            longest = max(longest, hidden)
        assert round(24 * seconds) <= longest <= round(24 * seconds) + 12, number  # plus the time it takes to pass
        assert amodal[0].any((1, 2)).all()
        assert seen.mean() > 0.35


def test_an_occlusion_is_at_most_half_of_the_video():
    visible, _ = build_scene(replace(DIALS, actors=(1, 1), occlusion=(60, 60)), "train_0000").masks()
    assert visible[0].any((1, 2)).mean() > 0.2


def test_clutter_is_painted_and_belongs_to_no_actor():
    plain, full = (build_scene(replace(DIALS, clutter=(n, n)), "train_0000") for n in (0, 5))
    assert len(full.layers) == len(plain.layers) + 5
    assert [owner for _, owner in full.layers if owner is not None] == list(range(len(plain.actors)))
    np.testing.assert_array_equal(full.masks(0, 9)[1], plain.masks(0, 9)[1])
    assert (full.frames(0, 9) != plain.frames(0, 9)).any()


def test_there_are_as_many_actors_as_the_dial_says():
    counts = {len(build_scene(replace(DIALS, actors=(1, 5)), f"train_{n:04d}").actors) for n in range(30)}
    assert counts == {1, 2, 3, 4, 5}


def test_the_three_splits_share_no_motion_not_even_on_another_path():
    limbs = {}
    for split in ("train", "val", "test"):
        known = deeds(split, combined=True, validation=True)
        motions = {name for name, _ in known}
        assert len(known) == 4 * len(motions)
        limbs[split] = {(frozenset((ACTIONS[m].left_arm, ACTIONS[m].right_arm)), ACTIONS[m].legs, ACTIONS[m].trunk)
                        for m in motions}
        assert len(limbs[split]) == len(motions)  # they differ even without the path and the mirror
    assert [len(each) for each in limbs.values()] == [12, 4, 8]
    assert not limbs["train"] & limbs["test"]
    assert not limbs["train"] & limbs["val"]
    assert not limbs["val"] & limbs["test"]
    assert set(VALIDATION) | set(HELD_OUT) <= set(ACTIONS)


def test_validation_takes_motions_from_training_only_where_there_is_validation():
    assert len(deeds("train", combined=False, validation=False)) == 16
    assert len(deeds("train", combined=False, validation=True)) == 12


def test_every_combined_label_is_in_two_videos_and_neighbours_differ():
    options = replace(DIALS, combined=True, speed=(1, 1), num_train_videos=6, num_test_videos=3, image_size=32)
    for split, count in (("train", 6), ("test", 3)):
        videos: dict[tuple[str, str], set[int]] = {}
        for number in range(count):
            for actor in build_scene(options, f"{split}_{number:04d}").actors:
                sequence = [segment.deed for segment in actor.timeline]
                assert all(a != b for a, b in pairwise(sequence))
                for deed in sequence:
                    videos.setdefault(deed, set()).add(number)
        assert len(videos) == count
        assert min(map(len, videos.values())) >= 2


def test_the_full_world_turns_every_dial():
    full = world_options("full")
    assert full.image_size == 320
    assert full.combined
    assert full.exact_boxes
    assert full.styles == STYLES
    for name in ("speed", "occlusion", "clutter", "actors", "seconds"):
        low, high = getattr(full, name)
        assert low < high, name
    assert full.seconds[1] == 60  # the longest reference of the debiased protocol


def test_a_name_that_no_video_has_is_refused():
    with pytest.raises(LookupError, match="look like train_0003"):
        build_scene(DIALS, "holiday_7")


@pytest.mark.parametrize(("dials", "message"), [
    ({"speed": (2, 1)}, "speed"), ({"occlusion": (-1, 1)}, "occlusion"), ({"combined": True}, "speed"),
    ({"styles": ("oil",)}, "striped"), ({"clutter": (0.5, 2)}, "whole numbers"), ({"num_val_videos": -1}, "num_val")])
def test_a_dial_that_does_not_fit_is_refused_in_one_line(dials: dict, message: str):
    with pytest.raises(ValueError, match=message) as error:
        world_options("small", dials)
    assert "\n" not in str(error.value)
