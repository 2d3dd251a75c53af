"""Lists of labelled videos as they are published; every expected row was written down by hand."""

from __future__ import annotations

import json
from math import inf

import pytest

from stvr.annotations.label_lists import read_class_names, read_label_list
from stvr.cli import main
from stvr.specs import ClipSpec
from stvr.tasks.labels.file import read_labels


def rows_of(path, text, **options):
    path.write_text(text)
    return [tuple(row) for row in read_label_list(path, **options).rows]


def test_lists_of_folder_frames_and_class(tmp_path):
    names = tmp_path / "category.txt"
    names.write_text("Swiping Left\nSwiping Right\n\n")
    classes = read_class_names(names)
    assert classes == {"0": "Swiping Left", "1": "Swiping Right"}
    text = "34870 37 1\nsub dir/12 36 0\n\n"
    assert rows_of(tmp_path / "train_videofolder.txt", text, classes=classes) == [
        ("34870", "Swiping Right", "", 0.0, inf), ("sub dir/12", "Swiping Left", "", 0.0, inf),
    ]  # fmt: skip
    assert rows_of(tmp_path / "unnamed.txt", text)[0][:2] == ("34870", "1")
    with pytest.raises(ValueError, match=r"few.txt, line 2: class 2 is not among the names of --classes, .* 0 to 1"):
        rows_of(tmp_path / "few.txt", "1 20 0\n2 20 2\n", classes=classes)
    with pytest.raises(ValueError, match=r"odd.txt, line 1: wanted `folder frames class`"):
        rows_of(tmp_path / "odd.txt", "nothing to see\n")


def test_train_and_test_lists_of_ucf101_say_the_same_classes(tmp_path):
    numbered = tmp_path / "classInd.txt"
    numbered.write_text("1 ApplyEyeMakeup\n2 ApplyLipstick\n")
    train, test = "ApplyLipstick/v_ApplyLipstick_g08_c01.avi 2\n", "ApplyLipstick/v_ApplyLipstick_g01_c01.avi\n"
    for classes in (None, read_class_names(numbered)):
        assert rows_of(tmp_path / "trainlist01.txt", train, classes=classes)[0][:2] == (
            "ApplyLipstick/v_ApplyLipstick_g08_c01", "ApplyLipstick")  # fmt: skip
        assert rows_of(tmp_path / "testlist01.txt", test, classes=classes)[0][1] == "ApplyLipstick"


def test_a_split_of_hmdb51(tmp_path):
    (tmp_path / "brush_hair_test_split1.txt").write_text("a b.avi 1 \nc.avi 2 \nd.avi 0 \n")
    (tmp_path / "brush_hair_test_split2.txt").write_text("a b.avi 2 \n")
    (tmp_path / "wave_test_split1.txt").write_text("w.avi 1\n")
    found = read_label_list(tmp_path)
    assert [row[:3] for row in found.rows] == [
        ("a b", "brush_hair", "train"), ("c", "brush_hair", "test"), ("w", "wave", "train")]  # fmt: skip
    assert found.left_out == {"in neither list of this split": 1}
    assert [row[:3] for row in read_label_list(tmp_path, hmdb_split=2).rows] == [("a b", "brush_hair", "test")]
    with pytest.raises(ValueError, match="holds no lists like brush_hair_test_split3"):
        read_label_list(tmp_path, hmdb_split=3)


def test_kinetics(tmp_path):
    text = "label,youtube_id,time_start,time_end,split\nriding a bike,-0abc_,10,20,validate\n"
    assert rows_of(tmp_path / "k.csv", text) == [("-0abc__000010_000020", "riding a bike", "val", 0.0, inf)]


def test_jester_and_something_something(tmp_path):
    assert rows_of(tmp_path / "jester-v1-train.csv", "34870;Drumming Fingers\n56557;Sliding Two Fingers Right\n") == [
        ("34870", "Drumming Fingers", "", 0.0, inf), ("56557", "Sliding Two Fingers Right", "", 0.0, inf),
    ]  # fmt: skip
    unlabelled = tmp_path / "jester-v1-test.csv"
    unlabelled.write_text("1;\n2;\n")
    assert read_label_list(unlabelled).left_out == {"without a label": 2}
    something = [{"id": "78687", "label": "holding potato", "template": "Holding [something] next to [something]"}]
    assert rows_of(tmp_path / "train.json", json.dumps(something))[0][:2] == (
        "78687", "Holding something next to something")  # fmt: skip


def test_databases_of_3d_resnets_and_of_activitynet(tmp_path):
    whole = {"labels": ["swim"], "database": {
        "v1": {"subset": "training", "annotations": {"label": "swim", "segment": [1, 301]}},
        "v2": {"subset": "validation", "annotations": {"label": "swim", "segment": [1, 31]}},
        "v3": {"subset": "testing", "annotations": {}},
    }}  # fmt: skip
    assert rows_of(tmp_path / "ucf.json", json.dumps(whole)) == [
        ("v1", "swim", "train", 0.0, inf), ("v2", "swim", "val", 0.0, inf)]  # fmt: skip
    whole["database"]["v1"]["annotations"]["segment"] = [20, 40]
    with pytest.raises(ValueError, match=r"'v1': its segment begins at frame 20"):
        rows_of(tmp_path / "part.json", json.dumps(whole))
    seconds = {"database": {"v": {"subset": "validation", "annotations": [
        {"label": "swim", "segment": [2.5, 4.0]}, {"label": "run", "segment": [5, 6.25]}]}}}  # fmt: skip
    assert rows_of(tmp_path / "activity.json", json.dumps(seconds)) == [
        ("v", "swim", "val", 2.5, 4.0), ("v", "run", "val", 5.0, 6.25)]  # fmt: skip


@pytest.mark.parametrize(("entry", "message"), [
    ("foo", "wanted an object with"),
    ({"subset": "training", "annotations": "foo"}, 'wanted annotations with a "label" each'),
    ({"subset": "training", "annotations": ["foo"]}, 'wanted annotations with a "label" each'),
    ({"subset": "training", "annotations": [{"label": "a", "segment": [5, 2]}]}, r"its segment is \[5, 2\]"),
    ({"subset": "training", "annotations": [{"label": "a", "segment": [None, 2]}]}, "wanted two numbers"),
    ({"subset": "training", "annotations": {"label": "a", "segment": []}}, "wanted two numbers"),
    ({"subset": "training", "annotations": {"label": "a", "segment": 3}}, "wanted two numbers"),
])  # fmt: skip
def test_an_entry_of_a_database_that_is_none_is_one_line_that_names_it(tmp_path, entry, message):
    with pytest.raises(ValueError, match=rf"odd.json, 'v1': .*{message}"):
        rows_of(tmp_path / "odd.json", json.dumps({"database": {"v1": entry}}))


@pytest.mark.parametrize(("text", "message"), [
    ("", "is empty"), ("null", 'wanted an object with a "database"'), ("[1, 2]", 'wanted an object with a "database"'),
    ('[{"id": 1, "template": ["a"]}]', r"its class is \['a'\], wanted a text"), ("{", "is not JSON"),
])  # fmt: skip
def test_json_that_is_no_list_of_labels_is_one_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        rows_of(tmp_path / "odd.json", text)


def command(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["stvr", "prepare", "labels", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_the_command_joins_lists_and_what_it_writes_is_read_back(tmp_path, monkeypatch, capsys):
    (tmp_path / "train.txt").write_text("a 30 0\nb 31 1\n")
    (tmp_path / "val.txt").write_text("c 32 1\n")
    (tmp_path / "names.txt").write_text("Stop, Sign\nThumb Up\n")
    out = tmp_path / "labels.csv"
    assert command(monkeypatch, "--train", tmp_path / "train.txt", "--val", tmp_path / "val.txt",
                   "--classes", tmp_path / "names.txt", "--out", out) == 0  # fmt: skip
    assert "2 classes; train 2, val 1" in capsys.readouterr().out
    assert [(each.video, each.label, each.split) for each in read_labels(out, ClipSpec())] == [
        ("a", "Stop, Sign", "train"), ("b", "Thumb Up", "train"), ("c", "Thumb Up", "val")]  # fmt: skip


def test_lists_with_and_without_splits_cannot_be_mixed(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.txt").write_text("a 30 0\n")
    assert command(monkeypatch, tmp_path / "a.txt", "--train", tmp_path / "a.txt", "--out", tmp_path / "l.csv") == 2
    assert "some lists say what trains" in capsys.readouterr().err
