"""Promises of telling people of several files apart: joined only where boxes agree, never lost."""

import numpy as np

from stvr.tubelets.same_tracks import Joined, Places, people_apart


def standing(first: int, last: int, x: float) -> Places:
    """Somebody who does not move, from frame `first` to `last`: 10 wide, 20 high."""
    frames = np.arange(first, last + 1, dtype=float)
    return Places(frames, np.tile([x, 0.0, x + 10, 20.0], (len(frames), 1)))


def test_boxes_that_agree_in_the_overlap_join_two_people():
    told = people_apart([("job1", {"0": standing(0, 29, 5)}), ("job2", {"0": standing(25, 47, 5)})])
    assert told == [[Joined("0", "0", False)], [Joined("0", "0", True)]]


def test_the_number_of_a_track_joins_nobody():
    told = people_apart([("job1", {"0": standing(0, 29, 5), "1": standing(0, 29, 50)}),
                         ("job2", {"0": standing(25, 47, 50), "1": standing(25, 47, 80)})])
    assert told[1] == [Joined("0", "1", True), Joined("1", "job2:1", False)]


def test_people_who_never_meet_stay_apart():
    told = people_apart([("a", {"0": standing(0, 9, 5)}), ("b", {"0": standing(10, 19, 5)})])
    assert told[1] == [Joined("0", "b:0", False)]


def test_half_of_a_box_is_not_the_same_box():
    # moved by 5 of 10: 5 of 15 columns are shared, an IoU of a third; by 3: 7 of 13
    apart = people_apart([("a", {"0": standing(0, 9, 0)}), ("b", {"0": standing(5, 9, 5)})])
    joined = people_apart([("a", {"0": standing(0, 9, 0)}), ("b", {"0": standing(5, 9, 3)})])
    assert (apart[1][0].known, joined[1][0].known) == (False, True)


def test_a_third_file_meets_what_the_second_one_added():
    told = people_apart([(word, {"0": standing(10 * index, 10 * index + 12, 5)}) for index, word in enumerate("abc")])
    assert [joined[0].called for joined in told] == ["0", "0", "0"]


def test_nobody_gets_a_name_that_another_has():
    told = people_apart([("a", {"0": standing(0, 9, 5)}), ("b", {"0": standing(0, 9, 50), "b:0": standing(0, 9, 80)})])
    assert len({each.called for joined in told for each in joined}) == 3
