"""A query whose box moves: where it is at some seconds, on straight lines between."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from stvr.session import Session

STILL, LATER = (0.2, 0.1, 0.6, 0.7), (0.5, 0.1, 0.9, 0.7)


def test_it_is_pooled_where_it_is_in_the_middle_of_each_clip(untrained, store, films):
    """Clips of a third of a second: their middles are at 7/6, 9/6 and 11/6 s, so a sixth, half, five sixths along."""
    session = Session.open(untrained, store=store)
    moved = session.query(films[0], [(1.0, STILL), (2.0, LATER)], at=1.5)
    (tubelet,) = moved.tubelets
    wanted = torch.tensor([[0.25, 0.1, 0.65, 0.7], [0.35, 0.1, 0.75, 0.7], [0.45, 0.1, 0.85, 0.7]])
    torch.testing.assert_close(tubelet.boxes, wanted)
    assert not torch.equal(moved.regions, session.query(films[0], STILL, at=1.5).regions)


def test_before_and_after_it_stands_still_and_pixels_are_pixels(untrained, store, films):
    session = Session.open(untrained, store=store)
    pixels = (20, 10, 80, 90)
    still = session.query(films[0], pixels, at=1.5)
    for track in ([(1.5, pixels)], [(0.2, (1, 2, 30, 40)), (1.1, pixels)], [(1.9, pixels), (2.5, (1, 2, 30, 40))]):
        moved = session.query(films[0], track, at=1.5)
        torch.testing.assert_close(moved.tubelets[0].boxes, still.tubelets[0].boxes)
        torch.testing.assert_close(moved.regions, still.regions)


@pytest.mark.parametrize(("track", "said"), [
    ([(2.0, STILL), (1.0, LATER)], "go on from one to the next, not 2, 1"),
    ([(1.0, STILL), (1.0, LATER)], "go on from one to the next, not 1, 1"),
    ([(1.0, STILL), (2.0, (0.5, 0.5, 0.5, 0.9))], "has no area inside the picture"),
    ([(1.0, STILL), (2.0, (0.5, 0.5, 0.9))], "a box is four numbers"),
    ([(1.0, STILL), (float("nan"), LATER)], "go on from one to the next, not 1, nan"),
    ([(1.0, STILL), (2.0, (20, 10, 80, 90))], "some places of a box that moves are in pixels"),
    ([(100.0, STILL), (200.0, LATER)], "moves from 100 to 200 s, but .* shows pictures from 0.00 to 4"),
    ([(-5.0, STILL), (-1.0, LATER)], "moves from -5 to -1 s"),
    ([STILL], "a query's box is four numbers"),
    ([(1.0, *STILL)], "a query's box is four numbers"),
    (((0.2, 0.1), (0.6, 0.7)), "a query's box is four numbers"),
    ((), "a box is four numbers"),
    (None, "a query's box is four numbers"),
    (7, "a box is four numbers"),
    ((10, None, 40, 40), "a box is four numbers"),
    ("10,10,40,40", "a box is four numbers"),
    ((1.0, STILL), "a box is four numbers"),
    ([(1.0, (None, 1, 2, 3))], "a box is four numbers"),
])  # fmt: skip
def test_a_track_that_is_none_is_refused_in_one_line(untrained, store, films, track, said):
    with pytest.raises(ValueError, match=said) as error:
        Session.open(untrained, store=store).query(films[0], track, at=1.5)
    assert "\n" not in str(error.value)


def test_a_track_may_begin_before_and_end_after_the_video(untrained, store, films):
    session = Session.open(untrained, store=store)
    asked = session.query(films[0], [(-10.0, STILL), (60.0, STILL)], at=1.5)
    torch.testing.assert_close(asked.tubelets[0].boxes, torch.tensor(STILL).expand(len(asked.tubelets[0].boxes), 4))


@pytest.mark.parametrize(("track", "at", "told"), [
    ([(1.0, STILL), (15.0, LATER)], 1.5, "1 of 2 places of the box lie outside of"),
    ([(0.5, STILL), (1.0, LATER)], 3.0, "lies beside the seconds of its box, 0.5 to 1: it stands still"),
])  # fmt: skip
def test_what_of_a_track_does_not_count_is_told(untrained, store, films, caplog, track, at, told):
    Session.open(untrained, store=store).query(films[0], track, at=at)
    assert told in caplog.text


def test_a_span_that_is_cut_is_told(untrained, store, films, caplog):
    session = Session.open(untrained, store=store)
    session.query(films[0], STILL, at=1.5, span=(1.0, 2.0))
    assert caplog.text == ""
    session.query(films[0], STILL, at=1.5, span=(1.0, 9.0))
    assert "the span from 1 to 9 s is cut to" in caplog.text


@pytest.mark.parametrize("box", [
    (0.2, 0.2, 1.5, 0.7), (40, 30, 41.5, 90), [(1.0, (10, 10, 50, 50)), (2.0, (4, 4, 5, 60))],
])  # fmt: skip
def test_a_box_of_less_than_two_pixels_is_taken_for_a_slip(untrained, store, films, box):
    with pytest.raises(ValueError, match="is less than 2 pixels wide or high"):
        Session.open(untrained, store=store).query(films[0], box, at=1.5)


@pytest.mark.parametrize("at", [None, "soon", (1, 2)])
def test_a_time_that_is_no_number_is_refused(untrained, store, films, at):
    with pytest.raises(ValueError, match="the time of a query is a number of seconds"):
        Session.open(untrained, store=store).query(films[0], STILL, at=at)


def test_the_command_line_asks_as_a_session_does(stvr, untrained, store, films, tmp_path):
    session = Session.open(untrained, store=store)
    track = [(1.0, STILL), (2.0, LATER)]
    asked = list(session.ask(session.query(films[0], track, at=1.5), films[1]).to_json())
    text = "/".join(f"{','.join(map(str, box))}@{at}" for at, box in track)
    ended = stvr("locate", "--checkpoint", untrained, "--store", store, "--query", films[0], "--box", text, "--at", 1.5,
                 "--out", tmp_path / "out", films[1])  # fmt: skip
    assert ended.status == 0, ended.err
    lines = [json.loads(line) for line in (tmp_path / "out/tubelets.jsonl").read_text().splitlines()]
    assert len(lines) > 0
    assert lines == asked


def test_shares_may_lie_outside_by_a_hair(untrained, store, films):
    """As a tracker's do; they are no pixels."""
    session = Session.open(untrained, store=store)
    for box in ((0.5, 0.2, 1.0000001, 0.9), [(1.0, (0.5, 0.2, 0.99, 0.9)), (1.5, (0.5, 0.2, 1.004, 0.9))]):
        edges = session.query(films[0], box, at=1.8).tubelets[0].boxes[-1]
        torch.testing.assert_close(edges, torch.tensor([0.5, 0.2, 1.0, 0.9]))


@pytest.mark.parametrize("kind", [np.array, torch.tensor, iter])
def test_numbers_may_come_from_numpy_and_torch(untrained, store, films, kind):
    session = Session.open(untrained, store=store)
    moved = session.query(films[0], [(np.float32(1.0), kind(STILL)), (torch.tensor(2.0), kind(LATER))], at=1.5)
    assert moved.tubelets[0].boxes[0, 0] == pytest.approx(0.25)
    assert torch.equal(session.query(films[0], kind(STILL), at=1.5).tubelets[0].boxes[0], torch.tensor(STILL))


@pytest.mark.parametrize("text", ["0,0,1,1@", "0,0,1,1@1/0,0,1,1", "0,0,1@1", "@1", "0,0,1,1@x", "0,0,1,1/0,0,1,1"])
def test_a_box_that_moves_and_lacks_something_is_refused_in_one_line(stvr, untrained, films, tmp_path, text):
    ended = stvr("locate", "--checkpoint", untrained, "--query", films[0], "--box", text, "--at", 1.5,
                 "--out", tmp_path / "out", films[1])  # fmt: skip
    assert (ended.status, ended.err.strip().count("\n")) == (2, 0)
    assert f"wanted --box X1,Y1,X2,Y2@SECONDS/X1,Y1,X2,Y2@SECONDS/... of a box that moves, got {text!r}." in ended.err
