"""Boxes in other units than shares of the picture are refused, with the first line that shows it."""

from pathlib import Path

import pytest

from stvr.annotations.ava import read_ava
from stvr.annotations.table import read_table

HEADER = "video,seconds,x1,y1,x2,y2,person,label"
SIZES = {"v": (96, 64)}


def table(tmp_path: Path, boxes: list[str], header: str = HEADER, more: str = "", **options):
    lines = [f"v,{second},{box},a,nod{more}" for second, box in enumerate(boxes)]
    (tmp_path / "own.csv").write_text("\n".join([header, *lines]))
    return read_table(tmp_path / "own.csv", **options).checked()


def test_shares_that_are_divided_again_are_refused_with_columns_and_with_sizes(tmp_path: Path):
    boxes = [".1,.1,.4,.9", ".1,.2,.4,.9"]
    for given in ({"header": f"{HEADER},width,height", "more": ",96,64"}, {"sizes": SIZES}):
        with pytest.raises(ValueError, match=r"line 2: the box is 0\.3 x 0\.8 pixels, and most are so small"):
            table(tmp_path, boxes, **given)
    assert len(table(tmp_path, boxes).boxes) == 2


def test_a_file_of_shares_of_shares_is_refused_where_no_size_is_known(tmp_path: Path):
    (tmp_path / "ava.csv").write_text("v,1,.0003,.0004,.0012,.0018,1,0\nv,2,.0003,.0004,.0012,.0018,1,0\n")
    with pytest.raises(ValueError, match=r"ava\.csv, line 1: the box is 0\.0009 x 0\.0014 of the picture"):
        read_ava(tmp_path / "ava.csv").checked()


def test_one_small_box_among_others_is_a_box(tmp_path: Path):
    boxes = ["10,10,11,11", "10,10,40,50", "12,10,42,50"]
    assert len(table(tmp_path, boxes, sizes=SIZES).boxes) == 3


def test_percent_read_as_pixels_stick_out_and_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"line 2: .*sticks out of the picture, and most do"):
        table(tmp_path, ["10,10,40,90", "12,10,42,90"], sizes=SIZES)


def test_a_box_partly_above_one_is_no_share(tmp_path: Path):
    with pytest.raises(ValueError, match=r"line 3: x2 is 1\.2, wanted a share"):
        table(tmp_path, [".1,.1,.4,.9", ".1,.1,1.2,.9"])
    assert table(tmp_path, [".1,.1,.4,.9", ".1,.1,1.02,.9"]).num_clipped == 1  # a hand that overshoots


def test_pixels_may_stick_out_of_the_picture_and_are_clipped(tmp_path: Path):
    annotations = table(tmp_path, ["-10,0,48,70", "0,0,48,32", "0,0,48,33"], sizes=SIZES)
    assert annotations.num_clipped == 1
    assert annotations.boxes[["x1", "y1", "x2", "y2"]].iloc[0].tolist() == [0, 0, 0.5, 1]


@pytest.mark.parametrize("box", [".4,.9,.1,.1", ".5,.1,.4,.9", ".1,.1,.1,.9"])
def test_a_negative_or_empty_size_is_refused_with_its_line(tmp_path: Path, box: str):
    with pytest.raises(ValueError, match=r"line 3: the box .* covers nothing"):
        table(tmp_path, [".1,.1,.4,.9", box])
