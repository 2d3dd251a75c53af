"""The file of labels: what it may hold, and what is said of what is wrong in it."""

from __future__ import annotations

from math import inf

import pytest
from tiny import NUM_CLIPS, write_store

from stvr.structures import ClipSpec, Span
from stvr.tasks.choosing import of_split
from stvr.tasks.labels.file import Stretch, found_in, read_labels

HEADER = "video,label,split,start,stop\n"


def written(path, text):
    path.write_text(text)
    return path


def test_a_row_is_a_stretch_of_video_and_what_is_left_out_is_all_of_it(tmp_path):
    path = written(tmp_path / "labels.csv", HEADER + "a.mp4,nod,train,1.5,4\nb,wave,test,,\n")
    assert read_labels(path, ClipSpec()) == [Stretch("a", "nod", "train", 1.5, 4.0),
                                             Stretch("b", "wave", "test", 0.0, inf)]  # fmt: skip


def test_a_table_of_boxes_gives_each_run_of_one_label(tmp_path):
    rows = [f"v,{third / 3:.4f},.1,.1,.5,.9,0,{'nod' if third < 6 else 'wave'}" for third in range(9)]
    path = written(tmp_path / "tracks.csv", "video,seconds,x1,y1,x2,y2,person,label\n" + "\n".join(rows) + "\n")
    found = read_labels(path, ClipSpec())
    assert [(each.label, each.start, each.stop) for each in found] == [
        ("nod", 0.0, 2.0), ("wave", 2.0, pytest.approx(11 / 3)),  # the last box stands for a second
    ]  # fmt: skip


def test_without_splits_a_quarter_of_the_videos_tests_and_it_is_said(tmp_path, caplog):
    rows = "".join(f"v{number},nod\nv{number},wave\n" for number in range(200))
    found = read_labels(written(tmp_path / "labels.csv", "video,label\n" + rows), ClipSpec())
    tests = {each.video for each in found if each.split == "test"}
    assert 30 <= len(tests) <= 70
    assert not tests & {each.video for each in found if each.split == "train"}
    assert "does not say which videos test" in caplog.text


@pytest.mark.parametrize(("text", "said"), [
    ("video,class\na,nod\n", "no column label"),
    (HEADER, "no row"),
    (HEADER + "a,,train,,\n", r"line 2: label is empty"),
    (HEADER + "a,nod,traning,,\n", r"line 2: split is 'traning', wanted train, val or test"),
    (HEADER + "a,nod,train,4,2\n", r"line 2: it starts at 4 s and stops at 2 s"),
    (HEADER + "a,nod,train,now,2\n", r"line 2: start is 'now', wanted a number"),
])  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        read_labels(written(tmp_path / "labels.csv", text), ClipSpec())


def test_a_split_that_is_not_there_is_refused_with_those_that_are():
    rows = [Stretch("a", "nod", "train"), Stretch("b", "nod", "test")]
    assert of_split(rows, None, "row") == rows[1:]
    assert of_split(rows[:1], None, "row") == rows[:1]
    with pytest.raises(LookupError, match="no row has split 'val'; the file has: test, train"):
        of_split(rows, "val", "row")


def test_seconds_become_the_clips_of_a_store(tmp_path):
    store = write_store(tmp_path / "store", videos="ab")  # 24 clips of a third of a second each
    rows = [Stretch("a", "nod", "train", 1.0, 2.0), Stretch("b", "nod", "train"), Stretch("a", "nod", "train", 7.5, 99),
            Stretch("a", "nod", "train", 8.5, 9.0), Stretch("z", "nod", "train")]  # fmt: skip
    there, reasons = found_in(rows, store)
    assert [span for _, span in there] == [Span("a", 3, 6), Span("b", 0, NUM_CLIPS), Span("a", 22, 24)]
    assert ["8.00 s" in reasons[0], "'z' is not in this store" in reasons[1]] == [True, True]
    with pytest.raises(LookupError, match="none of the 1 labelled stretches"):
        found_in(rows[-1:], store)
