"""Promises of the reader of a user's own table."""

from pathlib import Path

import pytest

from stvr.annotations.labelled import link_annotations
from stvr.annotations.table import read_table

HEADER = "video,seconds,x1,y1,x2,y2,person,label"


def table(tmp_path: Path, text: str, **options):
    (tmp_path / "own.csv").write_text(text)
    return read_table(tmp_path / "own.csv", **options).checked()


def test_a_row_stands_until_the_next_of_its_person_at_most_a_second(tmp_path: Path):
    boxes = table(tmp_path, f"{HEADER}\nv,0,.1,.1,.2,.2,a,nod\nv,0.25,.1,.1,.3,.3,a,nod\nv,0.5,0,0,1,1,b,nod\n").boxes
    assert boxes[["person", "start", "stop"]].values.tolist() == [["a", 0, 0.25], ["a", 0.25, 1.25], ["b", 0.5, 1.5]]


def test_one_row_a_second_and_three_a_second_give_the_same_clips(tmp_path: Path):
    slow = table(tmp_path, HEADER + "".join(f"\nv,{second},.1,.1,.2,.2,a,nod" for second in range(3)))
    fast = table(tmp_path, HEADER + "".join(f"\nv,{tick / 3:.4f},.1,.1,.2,.2,a,nod" for tick in range(7)))
    one, other = link_annotations(slow)[0], link_annotations(fast)[0]
    assert (one.span.start, one.span.stop) == (other.span.start, other.span.stop) == (0, 9)


def test_pixels_are_divided_by_the_size_of_the_picture(tmp_path: Path):
    row = "v,0,32,24,160,240,a,nod"
    with_columns = table(tmp_path, f"{HEADER},width,height\n{row},320,240\n").boxes
    with_sizes = table(tmp_path, f"{HEADER}\n{row}\n", sizes={"v": (320, 240)}).boxes
    for boxes in (with_columns, with_sizes):
        assert boxes[["x1", "y1", "x2", "y2"]].iloc[0].tolist() == pytest.approx([0.1, 0.1, 0.5, 1.0])


def test_two_labels_at_one_moment_are_one_combined_label(tmp_path: Path):
    annotations = table(tmp_path, f"{HEADER}\nv,0,0,0,1,1,a,walk\nv,0,0,0,1,1,a,nod\n")
    assert annotations.names == {1: "nod", 2: "walk"}
    assert annotations.boxes.labels.tolist() == [(1, 2)]


def test_columns_may_come_in_any_order_and_names_hold_commas(tmp_path: Path):
    annotations = table(tmp_path, 'label,person,video,y2,x2,y1,x1,seconds\n"sit, still",a,v,.9,.5,.2,.1,3\n')
    assert annotations.names == {1: "sit, still"}
    assert annotations.boxes.x1.iloc[0] == pytest.approx(0.1)


@pytest.mark.parametrize(("text", "says"), [
    ("video,seconds,x1,y1,x2,y2,label\n", "has no column person"),
    (f"{HEADER}\n", "a header and no row"),
    (f"{HEADER}\nv,0,.1,.1,.2,.2,a,nod\nv,soon,.1,.1,.2,.2,a,nod\n", "line 3: seconds is 'soon'"),
    (f"{HEADER}\nv,0,.1,.1,.2,.2,a,\n", "line 2: label is empty"),
    (f"{HEADER}\nv,-1,.1,.1,.2,.2,a,nod\n", "line 2: seconds is -1"),
    (f"{HEADER}\nv,0,.1,.1,.2,inf,a,nod\n", "line 2: y2 is 'inf'"),
    (f"{HEADER}\nv,0,10,10,20,20,a,nod\n", "line 2: x1 is 10.*Divide pixels"),
    (f"{HEADER}\nv,0,.1,.1,.2\n", "line 2: person is empty"),
    (f"{HEADER},width,height\nv,0,1,1,2,2,a,nod,0,9\n", "line 2: the picture is 0 x 9"),
    (f"{HEADER}\nv,0,.1,.1,.2,.2,a,nod\nv,0,.1,.1,.3,.2,a,nod\n", "line 3: person a of 'v' already has another box"),
])
def test_a_cell_that_does_not_fit_is_refused_with_its_line_and_column(tmp_path: Path, text: str, says: str):
    with pytest.raises(ValueError, match=says):
        table(tmp_path, text)


def test_pixels_of_a_video_of_unknown_size_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="line 2: the size of video 'v' is not known"):
        table(tmp_path, f"{HEADER}\nv,0,1,1,2,2,a,nod\n", sizes={"w": (320, 240)})
