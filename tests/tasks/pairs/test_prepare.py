"""Promises of `stvr prepare`: annotation files in, a pairs file out."""

import json
from pathlib import Path

import pytest

from stvr.annotations.held_out import draw_held_out, parse_held_out, read_labels, released_labels
from stvr.tasks.pairs.build import read_pairs
from stvr.tasks.pairs.prepare import PairOptions, prepare

BOX = "0.1,0.2,0.5,0.9"


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """Six videos of ten seconds; labels 4 (the authors hold it out for test), 12 and 79."""
    rows = [f"{video},{902 + second:04d},{BOX},{label},{person}\n" for video in "abcdef"
            for person, label in enumerate((4, 12, 79)) for second in range(3 * person, 3 * person + 3)]
    (tmp_path / "ava.csv").write_text("".join(rows))
    return tmp_path / "ava.csv"


def test_the_authors_labels_are_27_for_val_and_27_for_test():
    labels = released_labels()
    assert {split: len(some) for split, some in labels.items()} == {"val": 27, "test": 27}
    assert not labels["val"] & labels["test"]
    # gen_subsets.py reads `test, val = json.load(...)`: the file's first list, which begins with [4], is test
    assert (4,) in labels["test"]
    assert (11, 17, 74, 80) in labels["val"]


def test_the_authors_labels_are_those_of_their_file(shared: Path):
    test, val = json.loads((shared / "data/annotations/ava/stvr_val_test.json").read_text())
    assert released_labels() == {"val": set(map(tuple, val)), "test": set(map(tuple, test))}


def test_ava_becomes_a_pairs_file_that_says_what_it_came_from(csv: Path, tmp_path: Path):
    summary = prepare("ava", [csv], tmp_path / "pairs.json", options=PairOptions(seed=3))
    pairs, header = read_pairs(tmp_path / "pairs.json")
    assert header["protocol"] == "debiased"
    assert header["seed"] == 3
    assert header["held_out"] == {"val": [], "test": ["4"]} | {"val": ["79"]}
    assert list(header["source"]) == ["ava.csv"]
    assert summary["tubelets"] == 18
    assert {split: counts["pairs"] for split, counts in summary["splits"].items()} == {"train": 6, "val": 6, "test": 6}
    assert len(pairs) == 18


def test_preparing_twice_gives_the_same_bytes(csv: Path, tmp_path: Path):
    for name in ("one.json", "two.json"):
        prepare("ava", [csv], tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize("offset", [0, 900])
def test_released_references_of_ava_stay_in_its_fifteen_minutes(csv: Path, tmp_path: Path, offset: int):
    summary = prepare("ava", [csv], tmp_path / "pairs.json", {"offset_seconds": offset},
                      options=PairOptions(protocol="released"))
    assert summary["extent_seconds"] == (900 - offset, 1800 - offset)
    tests = [pair for pair in read_pairs(tmp_path / "pairs.json")[0] if pair.split == "test"]
    # seconds 902-904, n = 3: max(902 - 3, 900) to 904 + 3 + 1
    assert {(offset + p.reference.start / 3, offset + p.reference.stop / 3) for p in tests} == {(900, 908)}


def test_other_videos_than_avas_last_as_long_as_their_annotations(csv: Path, tmp_path: Path):
    (tmp_path / "own.csv").write_text(csv.read_text().replace(",09", ",00"))
    released = PairOptions(protocol="released")
    for path, options in ((tmp_path / "own.csv", released), (csv, PairOptions())):
        summary = prepare("ava", [path], tmp_path / "pairs.json", options=options)
        assert summary["extent_seconds"] is None
    lengths = dict.fromkeys("abcdef", 2800)
    summary = prepare("ava", [csv], tmp_path / "pairs.json", video_clips=lengths, options=released)
    assert summary["extent_seconds"] is None


def test_the_length_of_a_trimmed_video_bounds_its_references(csv: Path, tmp_path: Path):
    prepare("ava", [csv], tmp_path / "pairs.json", {"offset_seconds": 900}, video_clips=dict.fromkeys("abc", 33))
    pairs = read_pairs(tmp_path / "pairs.json")[0]
    assert {span.video for pair in pairs for span in (pair.query.span, pair.reference)} == set("abc")
    assert max(pair.reference.stop for pair in pairs) <= 33


def test_training_files_only_train(csv: Path, tmp_path: Path):
    (tmp_path / "train.csv").write_text(csv.read_text().replace("d,", "t,").replace("e,", "u,"))
    text = "".join(line for line in (tmp_path / "train.csv").read_text().splitlines(True) if line[0] in "tu")
    (tmp_path / "train.csv").write_text(text)
    prepare("ava", [csv], tmp_path / "pairs.json", train_files=[tmp_path / "train.csv"])
    for pair in read_pairs(tmp_path / "pairs.json")[0]:
        assert (pair.query.span.video in "tu") == (pair.split == "train")


def test_names_of_videos_that_fit_nothing_are_said(csv: Path, tmp_path: Path):
    with pytest.raises(LookupError, match="names of the video files"):
        prepare("ava", [csv], tmp_path / "pairs.json", video_clips={"a.mp4": 99})


def test_the_authors_labels_are_not_put_on_another_label_map(csv: Path, tmp_path: Path):
    (tmp_path / "map.pbtxt").write_text('item { name: "Flapping" id: 12 }')
    with pytest.raises(ValueError, match="Name the labels to hold out"):
        prepare("ava", [csv], tmp_path / "pairs.json", {"labels": tmp_path / "map.pbtxt"})


def test_labels_to_hold_out_are_ids_or_names(tmp_path: Path):
    names = {1: "nod", 12: "stand", 80: "watch (e.g., a person)"}
    (tmp_path / "labels.txt").write_text("12\n80,12\nnod\nstand + nod\nwatch (e.g., a person)\n\n")
    assert read_labels(tmp_path / "labels.txt", names) == {(12,), (12, 80), (1,), (1, 12), (80,)}
    (tmp_path / "labels.txt").write_text("12\nrun\n")
    with pytest.raises(ValueError, match="line 2: no action is called 'run'"):
        read_labels(tmp_path / "labels.txt", names)


def test_labels_on_the_command_line_stand_between_semicolons(tmp_path: Path):
    names = {1: "nod", 12: "stand", 80: "watch (e.g., a person)"}
    assert parse_held_out("12,79; nod;watch (e.g., a person);1+12", names) == {"test": {(12, 79), (1,), (80,), (1, 12)}}
    assert parse_held_out("none", names) == {}
    assert parse_held_out("nod; val: 12,79;val:7", names) == {"val": {(12, 79), (7,)}, "test": {(1,)}}
    (tmp_path / "labels.txt").write_text("nod\n12,80\n")
    assert parse_held_out(str(tmp_path / "labels.txt"), names) == {"test": {(1,), (12, 80)}}
    assert parse_held_out("7", {}) == {"test": {(7,)}}
    for text in ("run", "12,run", "12,", "nod;run", "-1", "1.5", "x" * 5000):
        with pytest.raises((ValueError, OSError)) as refusal:
            parse_held_out(text, names)
        assert "\n" not in str(refusal.value)


def test_labels_to_hold_out_that_nobody_does_are_said(csv: Path, tmp_path: Path):
    summary = prepare("ava", [csv], tmp_path / "pairs.json", held_out="4;5")
    assert summary["held_out"] == {"test": ["4"]}
    assert summary["unseen"] == ["5"]
    with pytest.raises(LookupError, match=r"nobody does any of the 2 labels to hold out.*: 4; 12; 79\."):
        prepare("ava", [csv], tmp_path / "pairs.json", held_out="5;4,12")


def test_five_of_24_labels_are_held_out_for_each_split():
    labels = [(index,) for index in range(1, 25)]
    held_out = draw_held_out(labels, seed=0)
    assert {split: len(some) for split, some in held_out.items()} == {"val": 5, "test": 5}
    assert not held_out["val"] & held_out["test"]
    assert draw_held_out(labels[::-1], seed=0) == held_out
    assert draw_held_out(labels, seed=1) != held_out
    with pytest.raises(ValueError, match="2 labels are too few"):
        draw_held_out(labels[:2], seed=0)


def test_ucf101_24_becomes_pairs_of_14_5_and_5_classes(shared: Path, tmp_path: Path):
    annotations = shared / "data/annotations/ucf101-24"
    rates = {line.strip().split("/")[-1]: 25.0 for line in (annotations / "testlist01.txt").read_text().split()}
    summary = prepare("ucf101-24", [annotations / "pyannot.pkl"], tmp_path / "pairs.json", {"frame_rates": rates})
    labels = {split: counts["labels"] for split, counts in summary["splits"].items()}
    assert labels == {"train": 14, "val": 5, "test": 5}
    pairs, header = read_pairs(tmp_path / "pairs.json")
    assert header["labels"]["3"] == "Biking"
    assert all(pair.query.span.video != pair.reference.video for pair in pairs)


def test_fewer_than_24_classes_hold_out_nothing_unless_told(shared: Path, tmp_path: Path):
    annotations = shared / "data/annotations/ucf101-24"
    rates = {line.strip().split("/")[-1]: 25.0 for line in (annotations / "testlist01.txt").read_text().split()}
    some = {video: rate for video, rate in rates.items() if not video.startswith("v_Biking")}
    summary = prepare("ucf101-24", [annotations / "pyannot.pkl"], tmp_path / "pairs.json", {"frame_rates": some})
    assert summary["held_out"] == {}
    assert set(summary["splits"]) == {"train"}
    summary = prepare("ucf101-24", [annotations / "pyannot.pkl"], tmp_path / "pairs.json", {"frame_rates": some},
                      held_out="Surfing;Diving")
    assert summary["held_out"] == {"test": ["Diving", "Surfing"]}


def test_a_users_table_becomes_pairs(tmp_path: Path):
    rows = [f"{video},{second},.1,.2,.5,.9,a,{label}\n" for video in "abcd"
            for second, label in ((0, "nod"), (1, "wave"), (2, "bow"))]
    (tmp_path / "own.csv").write_text("video,seconds,x1,y1,x2,y2,person,label\n" + "".join(rows))
    summary = prepare("table", [tmp_path / "own.csv"], tmp_path / "pairs.json")
    assert {split: counts["pairs"] for split, counts in summary["splits"].items()} == {"train": 12}
    summary = prepare("table", [tmp_path / "own.csv"], tmp_path / "pairs.json", held_out="wave",
                      options=PairOptions(absent_share=0))
    assert {split: counts["pairs"] for split, counts in summary["splits"].items()} == {"train": 8, "test": 4}
    assert read_pairs(tmp_path / "pairs.json")[1]["labels"] == {"1": "bow", "2": "nod", "3": "wave"}


def test_labels_that_make_no_pair_are_said(tmp_path: Path):
    (tmp_path / "ava.csv").write_text(f"a,1,{BOX},1,0\nb,1,{BOX},2,0\n")
    with pytest.raises(ValueError, match="2 tubelets of 2 labels make no pair"):
        prepare("ava", [tmp_path / "ava.csv"], tmp_path / "pairs.json", held_out={"test": {(2,)}})
    assert not (tmp_path / "pairs.json").exists()
