"""AVA's files become keyframes with everybody in them; a file of people is read as it was written, faults by line."""

from __future__ import annotations

import pytest
from marked import write_ava

from stvr.tasks.people.file import COLUMNS, Keyframe, Person, read_people
from stvr.tasks.people.prepare import prepare_people

PEOPLE = (Person("0", (0.2, 0.1, 0.6, 0.9), ("12: stand", "80: watch (a person)")),
          Person("1", (0.6, 0.2, 0.9, 0.8), ("14: walk",)))  # fmt: skip


def files_of(folder):
    return {"train": [folder / "ava_train.csv"], "test": [folder / "ava_val.csv"]}


def test_every_keyframe_that_is_listed_and_trusted_has_its_people(tmp_path):
    ava, out = write_ava(tmp_path / "ava"), tmp_path / "people.csv"
    counts, left_out = prepare_people(files_of(ava), ava / "classes.pbtxt", out, excluded=[ava / "excluded.csv"])
    assert counts == {"train": 12, "test": 11}  # one of the test files' twelve is excluded
    assert [(each.count, each.why) for each in left_out] == [
        (3, "at excluded timestamps"), (1, "of classes that the label map does not name")]  # fmt: skip
    read = read_people(out)
    assert read[0] == Keyframe("a", 1, 1.0, "train", PEOPLE)
    assert [each for each in read if not each.people] == [Keyframe("d", 5, 5.0, "test", ())]


def test_videos_that_were_cut_and_boxes_that_stand_for_the_middle_of_their_second(tmp_path):
    ava, out = write_ava(tmp_path / "ava"), tmp_path / "people.csv"
    prepare_people(files_of(ava), ava / "classes.pbtxt", out, offset_seconds=1, at=0.5)
    assert [(each.second, each.at) for each in read_people(out)[:2]] == [(1, 0.5), (2, 1.5)]
    with pytest.raises(ValueError, match="before the offset of 2 s"):
        prepare_people(files_of(ava), ava / "classes.pbtxt", out, offset_seconds=2)
    with pytest.raises(ValueError, match="is in two files"):
        prepare_people({"train": files_of(ava)["train"] * 2}, ava / "classes.pbtxt", out)


@pytest.mark.parametrize(("row", "said"), [
    ("a,1,1.0,train,0,0.5,0.1,0.4,0.9,12: stand", "line 3: look at the box"),
    ("a,1,1.0,train,0,0.1,0.1,0.4,0.9,stand", "line 3: look at the class"),
    ("a,1,1.0,trane,,,,,,", "line 3: look at split"),
    (",1,1.0,train,,,,,,", "line 3: look at video"),
    ("a,x,1.0,train,,,,,,", "line 3: look at video, second"),
])  # fmt: skip
def test_a_fault_is_named_with_its_line(tmp_path, row, said):
    path = tmp_path / "people.csv"
    path.write_text("\n".join([",".join(COLUMNS), "a,0,0.0,train,,,,,,", row]) + "\n")
    with pytest.raises(ValueError, match=said):
        read_people(path)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("video,label\na,nod\n")
    with pytest.raises(ValueError, match="no file of people"):
        read_people(tmp_path / "labels.csv")
