"""Promises of the AVA reader. Counts of real files were taken with awk and by hand, not with the reader."""

from pathlib import Path

import pytest

from stvr.annotations.ava import read_ava, read_excluded, read_label_map
from stvr.annotations.rows import Annotations, merge

BOX = "0.1,0.2,0.5,0.9"


def ava(tmp_path: Path, text: str, **options) -> Annotations:
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    return read_ava(path, **options).checked()


def test_the_excerpt_of_ava_holds_99_person_seconds(shared: Path):
    boxes = read_ava(shared / "data/annotations/ava/ava_val_v2.2_excerpt_1j20qq1JyX4_0902-0969.csv").checked().boxes
    assert len(boxes) == 99  # awk -F, '{print $1,$2,$8}' | sort -u | wc -l
    first = boxes[(boxes.start == 902) & (boxes.person == "0")].iloc[0]
    assert first.labels == (12, 17, 79)
    assert [first.x1, first.y1, first.x2, first.y2] == pytest.approx([0.444, 0.054, 0.992, 0.990])


def test_a_dialect_with_unpadded_seconds_and_long_decimals_reads(shared: Path):
    annotations = read_ava(shared / "data/annotations/ava_format_animals/ava_train_v2.1.csv").checked()
    assert len(annotations.boxes) == 1965
    assert annotations.num_clipped == 16  # awk: rows with a number outside [0, 1]


def test_labels_are_sorted_as_numbers_not_as_text(tmp_path: Path):
    boxes = ava(tmp_path, f"v,0941,{BOX},17,0\nv,0941,{BOX},6,0\nv,0941,{BOX},17,0\n").boxes
    assert boxes.labels.tolist() == [(6, 17)]


def test_padded_and_unpadded_seconds_are_one_second(tmp_path: Path):
    assert ava(tmp_path, f"v,0007,{BOX},1,0\nv,7,{BOX},2,0\n").boxes.labels.tolist() == [(1, 2)]


def test_a_box_stands_for_its_second(tmp_path: Path):
    row = ava(tmp_path, f"v,0907,{BOX},1,0\n", offset_seconds=900).boxes.iloc[0]
    assert (row.start, row.stop) == (7, 8)


def test_a_box_that_sticks_out_is_clipped_and_counted(tmp_path: Path):
    annotations = ava(tmp_path, "v,1,-0.01,0.2,0.5,1.02,1,0\nv,2,0.1,0.2,0.5,0.9,1,0\n")
    assert annotations.num_clipped == 1
    assert annotations.boxes[["x1", "y1", "x2", "y2"]].iloc[0].tolist() == pytest.approx([0, 0.2, 0.5, 1])


def test_a_row_that_says_nobody_is_there_adds_nothing(tmp_path: Path):
    assert len(ava(tmp_path, f"v,0902,,,,,,\nv,0903,{BOX},1,0\n\n").boxes) == 1


def test_excluded_seconds_are_left_out(tmp_path: Path):
    text = f"v,0902,{BOX},1,0\nv,0903,{BOX},1,0\nw,0902,{BOX},1,0\n"
    assert ava(tmp_path, text, excluded={("v", 902)}).boxes.start.tolist() == [903, 902]


@pytest.mark.parametrize(("text", "says"), [
    (f"v,1,{BOX},1,0\nv\t2\t0.1\t0.2\t0.5\t0.9\t1\t0\n", "line 2.*tabs"),
    (f"v,1,{BOX},1\n", "line 1.*7: files without a person id"),
    (f"v,1,{BOX},1,0,9\n", "line 1.*this line has 9"),
    (f"v,1,{BOX},1,0\nv,2,0.5,0.2,0.1,0.9,1,0\n", "line 2.*x1 < x2"),
    ("v,1,20,40,100,180,1,0\n", "line 1: x1 is 20.*Divide pixels"),
    (f"v,1,{BOX},one,0\n", "line 1: label is 'one'"),
    (f"v,1.5,{BOX},1,0\n", "line 1: second is '1.5', wanted a whole"),
    (f"v,1,0.1,nan,0.5,0.9,1,0\nv,2,{BOX},1,0\n", "line 1: y1 is 'nan'"),
    (f"v,1,{BOX},1,0\nv,1,0.2,0.2,0.5,0.9,2,0\n", "person 0 of 'v' already has another box at 1 s"),
])
def test_a_row_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, text: str, says: str):
    with pytest.raises(ValueError, match=says) as refusal:
        ava(tmp_path, text)
    assert "\n" not in str(refusal.value)


def test_a_second_before_the_offset_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="second 7 is before the offset of 900 s"):
        ava(tmp_path, f"v,7,{BOX},1,0\n", offset_seconds=900)


def test_both_dialects_of_label_map_read(shared: Path):
    annotations = shared / "data/annotations"
    names = read_label_map(annotations / "ava/ava_action_list_v2.1_for_activitynet_2018.pbtxt")
    assert len(names) == 60
    assert names[1] == "bend/bow (at the waist)"
    assert read_label_map(annotations / "ava_format_animals/ava_action_list_v2.1.pbtxt") == {
        1: "Alert_Seek", 2: "Flapping", 3: "Foraging", 4: "Preening", 5: "Walking", 6: "Other"}


def test_a_name_may_hold_braces_and_quotes(tmp_path: Path):
    (tmp_path / "map.pbtxt").write_text('item {\n  name: "say \\"hi}\\""\n  id: 3\n}\nitem { id: 4 name: \'nod\' }\n')
    assert read_label_map(tmp_path / "map.pbtxt") == {3: 'say "hi}"', 4: "nod"}


@pytest.mark.parametrize("text", ["item { name: \"a\" id: 1 }\nitem { name: \"b\" id: 1 }", "item { id: 2 }", "walk,1"])
def test_a_label_map_without_one_name_for_each_id_is_refused(tmp_path: Path, text: str):
    (tmp_path / "map.pbtxt").write_text(text)
    with pytest.raises(ValueError, match=r"map\.pbtxt"):
        read_label_map(tmp_path / "map.pbtxt")


def test_excluded_timestamps_read_as_numbers(shared: Path, tmp_path: Path):
    excluded = read_excluded(shared / "data/annotations/ava/ava_val_excluded_timestamps_v2.2.csv")
    assert len(excluded) == 37
    assert ("5BDj0ow5hnA", 1038) in excluded
    (tmp_path / "bad.csv").write_text("v,0902\nv,soon\n")
    with pytest.raises(ValueError, match="line 2"):
        read_excluded(tmp_path / "bad.csv")


def test_files_that_name_a_label_differently_are_not_merged(tmp_path: Path):
    one, other = (ava(tmp_path, f"v,1,{BOX},1,0\n", names={1: name}) for name in ("walk", "run"))
    with pytest.raises(ValueError, match="label 1 is 'walk' in one file and 'run' in another"):
        merge([one, other])
