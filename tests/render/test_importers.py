"""Promises of reading other tools' files: nobody lost, nobody merged, nothing left out without a word."""

import json
from pathlib import Path

import pytest
from stamped import write_stamped

from stvr.render.exporters import Account, Found, import_file, import_files

SIZE = (96, 64)


def mot(tmp_path: Path, *lines: str, name: str = "a.txt") -> tuple[list[Found], list[str]]:
    (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    account = Account()
    found = import_file(tmp_path / name, "mot", fps=24, size=SIZE, account=account)
    return found, account.lines()


def frames(count: int, line: str, first: int = 1) -> list[str]:
    return [line.format(frame) for frame in range(first, first + count)]


@pytest.mark.parametrize("lines", [
    frames(24, "{},1,11,11,20,40,0.5,-1,-1,-1"),
    frames(24, "{},1,11,11,20,40"),
    frames(24, "{} 1 11 11 20 40 0.5 -1 -1 -1"),
    frames(24, "{}\t1\t11\t11\t20\t40\t0.5"),
    frames(24, "{}, 1, 11, 11, 20, 40, 0.5,"),
    frames(24, "{}.0,1.0,11,11,20,40,0.5"),
    ["frame,id,bb_left,bb_top,bb_width,bb_height,conf", *frames(24, "{},1,11,11,20,40,0.5")],
    ["\ufeff1,1,11,11,20,40,0.5", *frames(23, "{},1,11,11,20,40,0.5", first=2)],
    frames(24, "{},1,11,11,20,40,0.5")[::-1],
    ["# made by hand", "", *frames(24, "{},1,11,11,20,40,0.5")],
])
def test_mot_is_read_however_it_is_written(tmp_path: Path, lines: list[str]):
    (found,), _ = mot(tmp_path, *lines)
    assert (found.start, found.stop, found.boxes[0].tolist()) == (0, 3, [10, 10, 30, 50])  # 24 frames: three clips


def test_mots_frames_from_zero_are_detected_and_said(tmp_path: Path):
    (found,), said = mot(tmp_path, *frames(24, "{},1,11,11,20,40,0.5", first=0))
    assert (found.start, found.stop) == (0, 3)
    assert said[0] == "a.txt: frames are counted from 0, not from 1 as in MOT"


def test_what_mots_ground_truth_says_not_to_look_at_is_counted(tmp_path: Path):
    lines = [*frames(24, "{},1,11,11,20,40,1,1,0.8"), *frames(24, "{},2,50,10,20,40,0,1,1"),
             *frames(24, "{},3,50,10,20,40,1,3,1"), *frames(24, "{},4,70,10,20,40,1,7,1")]
    found, said = mot(tmp_path, *lines)
    assert [(each.person, each.score) for each in found] == [("1", 1), ("4", 1)]  # a pedestrian, a static person
    assert said[1:] == [
        "24 boxes left out: MOT's ground truth flags them as not to be looked at (first: a.txt, line 25)",
        "24 boxes left out: their class in MOT's ground truth is no person (first: a.txt, line 49)"]


def test_a_score_of_nothing_is_a_score_where_it_is_no_flag(tmp_path: Path):
    found, said = mot(tmp_path, *frames(24, "{},1,11,11,20,40,0,-1,-1,-1"), *frames(24, "{},2,50,11,20,40,1,-1,-1,-1"))
    assert [each.score for each in found] == [0, 1]
    assert len(said) == 1


@pytest.mark.parametrize(("line", "says"), [
    ("3,1,11,11,-20,40,1", "line 3: the box is -20 wide and 40 high"),
    ("3,1,11,11,20,0,1", "line 3: the box is 20 wide and 0 high"),
    ("3,1,nan,11,20,40,1", "line 3: the box is nan wide"),
    ("2,1,11,11,20,40,1", r"line 3: '1' already has a box in this frame \(line 2\)"),
    ("2.5,1,11,11,20,40,1", "line 3: wanted frame,id,left"),
    ("-3,1,11,11,20,40,1", "line 3: wanted frame,id,left"),
    ("3,bob,11,11,20,40,1", "line 3: wanted frame,id,left"),
])
def test_a_line_of_mot_that_cannot_be_is_named(tmp_path: Path, line: str, says: str):
    with pytest.raises(ValueError, match=says):
        mot(tmp_path, *frames(2, "{},1,11,11,20,40,1"), line)


def test_detections_without_ids_are_linked_not_one_person(tmp_path: Path):
    found, said = mot(tmp_path, *frames(24, "{},-1,11,11,20,40,0.5"), *frames(24, "{},-1,61,11,20,40,0.5"))
    assert sorted(each.boxes[0, 0] for each in found) == [10, 60]
    assert "a (48 boxes, 2 people): boxes that do not say whose they are; linked by where they lie" in said


def test_boxes_outside_the_picture_are_left_out_and_counted(tmp_path: Path):
    found, said = mot(tmp_path, *frames(24, "{},1,11,11,20,40,1"), *frames(16, "{},1,-300,11,100,40,1", first=25))
    assert [(each.start, each.stop) for each in found] == [(0, 3)]
    assert said[-1] == "16 boxes left out: they lie outside the picture (first: a.txt, line 25)"


def coco(count: int = 24, **changes: object) -> dict:
    """Two people side by side in `count` frames, who wave and jump; `changes` are made in every annotation."""
    annotations = [{"id": 2 * frame + person, "image_id": frame, "category_id": 1 + person, "instance_id": 1 + person,
                    "bbox": [10 + 40 * person, 10, 20, 40], **changes} for frame in range(count) for person in (0, 1)]
    return {
        "videos": [{"id": 1, "name": "clip", "fps": 24, "width": 96, "height": 64}],
        "categories": [{"id": 1, "name": "wave"}, {"id": 2, "name": "jump"}],
        "images": [{"id": frame, "video_id": 1, "frame_id": frame, "width": 96, "height": 64}
                   for frame in range(count)],
        "annotations": annotations,
    }  # fmt: skip


def read(tmp_path: Path, content: object, form: str = "coco-video", **options: object) -> tuple[list[Found], list[str]]:
    (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8-sig")
    account = Account()
    return import_file(tmp_path / "a.json", form, account=account, **options), account.lines()


TWO = [("jump", 50, 0, 3), ("wave", 10, 0, 3)]  # label, left edge, clips


def seen(found: list[Found]) -> list[tuple[str, float, int, int]]:
    return sorted((each.label, each.boxes[0, 0], each.start, each.stop) for each in found)


def with_track_ids(content: dict) -> None:
    for each in content["annotations"]:
        each["track_id"] = each.pop("instance_id")


def with_ids_in_attributes(content: dict) -> None:
    for each in content["annotations"]:
        each["attributes"] = {"track_id": each.pop("instance_id"), "occluded": False}


def with_sizes_on_images(content: dict) -> None:
    del content["videos"][0]["width"], content["videos"][0]["height"]


@pytest.mark.parametrize("change", [with_track_ids, with_ids_in_attributes, with_sizes_on_images])
def test_coco_is_read_in_every_usual_spelling(tmp_path: Path, change):
    content = coco()
    change(content)
    found, said = read(tmp_path, content)
    assert seen(found) == TWO
    assert len(said) == 1  # the rate is assumed, since the video is not at hand


@pytest.mark.parametrize(("identity", "says"), [
    (None, "clip (48 boxes, 2 people): boxes that do not say"), (-1, "clip (48 boxes, 2 people): boxes that do not"),
    (7, "clip: ids are counted for each label, so a person is a label and an id"),
])
def test_two_people_of_coco_are_two_whatever_their_ids(tmp_path: Path, identity: object, says: str):
    found, said = read(tmp_path, coco(instance_id=identity))
    assert seen(found) == TWO
    assert len({each.person for each in found}) == 2
    assert any(line.startswith(says) for line in said)


def test_several_boxes_of_one_id_and_label_are_a_fault(tmp_path: Path):
    with pytest.raises(ValueError, match=r"annotation 1: '7' already has a box in this frame \(annotation 0\)"):
        read(tmp_path, coco(instance_id=7, category_id=1))


def test_one_who_does_two_things_is_one_person(tmp_path: Path):
    found, _ = read(tmp_path, coco(instance_id=7, bbox=[10, 10, 20, 40]))
    assert [each.person for each in found] == ["7", "7"]
    assert {each.label for each in found} == {"wave", "jump"}


def test_cocos_frames_from_one_are_detected_and_said(tmp_path: Path):
    content = coco()
    for image in content["images"]:
        image["frame_id"] += 1
    found, said = read(tmp_path, content)
    assert seen(found) == TWO
    assert said[0] == "a.json: frames are counted from 1, not from 0 as in CocoVID"


def test_crowds_and_masks_of_coco_are_left_out_and_counted(tmp_path: Path):
    content = coco()
    content["annotations"] += [{"id": 90, "image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
                               {"id": 91, "image_id": 0, "category_id": 1, "segmentation": []}]
    found, said = read(tmp_path, content)
    assert seen(found) == TWO
    assert said[1:] == ["1 boxes left out: they are around a crowd, not one person (first: a.json, annotation 90)",
                        "1 annotations left out: they have no 'bbox' (first: a.json, annotation 91)"]


def without(content: dict, *path: object) -> dict:
    place = content
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return content


@pytest.mark.parametrize(("path", "says"), [
    (("videos",), "the file has no 'videos'"), (("images",), "YouTube-VIS perhaps"),
    (("videos", 0, "id"), "a video has no 'id'"), (("videos", 0, "name"), "video 1 has no 'file_name'"),
    (("images", 3, "frame_id"), "image 3 has no 'frame_id'; it has 'id', 'video_id'"),
    (("images", 3, "video_id"), "image 3 has no 'video_id'"),
    (("annotations", 3, "image_id"), "annotation 3 has no 'image_id'"),
    (("videos", 0, "fps"), "Give --fps, or the video itself with --videos"),
])
def test_the_key_that_coco_lacks_is_named(tmp_path: Path, path: tuple, says: str):
    with pytest.raises(ValueError, match=says) as refusal:
        read(tmp_path, without(coco(), *path))
    assert "a.json" in str(refusal.value)


def fiftyone(field: str = "detections", **changes: object) -> dict:
    frames = {}
    for frame in range(1, 25):
        both = [{"label": label, "bounding_box": [0.125 + 0.5 * person, 0.25, 0.25, 0.5], "index": 1 + person,
                 **changes} for person, label in enumerate(("wave", "jump"))]
        frames[str(frame)] = {"frame_number": frame, field: {"_cls": "Detections", "detections": both}}
    return {"samples": [{"filepath": "/data/clip.mp4", "frames": frames,
                         "metadata": {"frame_width": 96, "frame_height": 64, "frame_rate": 24.0}}]}


BOTH = [("jump", 60, 0, 3), ("wave", 12, 0, 3)]


@pytest.mark.parametrize("field", ["detections", "ground_truth"])
def test_fiftyones_boxes_are_found_in_any_field(tmp_path: Path, field: str):
    found, _ = read(tmp_path, fiftyone(field), "fiftyone")
    assert seen(found) == BOTH


@pytest.mark.parametrize("index", [None, 1])
def test_two_people_of_fiftyone_are_two_whatever_their_index(tmp_path: Path, index: object):
    found, said = read(tmp_path, fiftyone(index=index), "fiftyone")
    assert seen(found) == BOTH
    assert len(said) == 2


def test_fiftyones_instances_are_people(tmp_path: Path):
    content = fiftyone(index=None)
    for frame in content["samples"][0]["frames"].values():
        for person, detection in enumerate(frame["detections"]["detections"]):
            detection["instance"] = {"_id": {"$oid": f"{person}" * 24}}
    found, _ = read(tmp_path, content, "fiftyone")
    assert {each.person for each in found} == {"0" * 24, "1" * 24}


def test_samples_without_boxes_are_counted_and_those_with_some_are_read(tmp_path: Path):
    content = fiftyone()
    content["samples"][0]["frames"]["25"] = {"frame_number": 25, "detections": None}
    content["samples"].append({"filepath": "/data/empty.mp4", "metadata": None})
    found, said = read(tmp_path, content, "fiftyone")
    assert seen(found) == BOTH
    assert said[-1] == "1 videos left out: no box of a person is left (first: /data/empty.mp4 in a.json)"


def test_what_fiftyone_does_not_say_can_be_given(tmp_path: Path):
    content = fiftyone()
    content["samples"][0]["metadata"] = None
    with pytest.raises(ValueError, match="has no 'metadata' with 'frame_width'"):
        read(tmp_path, content, "fiftyone", fps=24)
    found, _ = read(tmp_path, content, "fiftyone", fps=24, size=SIZE)
    assert seen(found) == BOTH
    film = write_stamped(tmp_path / "clip.mp4", [frame / 24 for frame in range(48)])  # its picture is 96 x 64, too
    found, said = read(tmp_path, content, "fiftyone", videos=[film])
    assert (seen(found), said) == (BOTH, [])


def test_several_fields_of_boxes_are_not_guessed_between(tmp_path: Path):
    content = fiftyone("ground_truth")
    for frame in content["samples"][0]["frames"].values():
        frame["predictions"] = frame["ground_truth"]
    with pytest.raises(ValueError, match=r"several fields of boxes \(ground_truth, predictions\)"):
        read(tmp_path, content, "fiftyone")


def test_people_of_two_files_are_apart_unless_their_boxes_agree(tmp_path: Path):
    for name, first, lines in (("one", 1, ("{},1,11,11,20,40,1", "{},2,61,11,20,40,1")),
                               ("two", 33, ("{},1,61,11,20,40,1", "{},2,11,33,20,18,1"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "seqinfo.ini").write_text("[Sequence]\nname=clip\nframeRate=24\nimWidth=96\nimHeight=64\n")
        (tmp_path / name / f"{name}.txt").write_text("\n".join(text for line in lines
                                                               for text in frames(48, line, first)))
    account = Account()
    found = import_files([tmp_path / "one" / "one.txt", tmp_path / "two" / "two.txt"], "mot", account=account)
    # frames 33 to 48 (clips 4 and 5) are in both files; where 1 of the second stands, 2 of the first stood
    assert sorted((each.person, each.start, each.stop) for each in found) == [
        ("1", 0, 6), ("2", 0, 10), ("two:2", 4, 10)]
    assert account.lines()[1] == (
        "two.txt: another file of clip: 1 of its 2 people are known, as their boxes agree where both files have one "
        "(first: '1' is '2'); 1 have ids that others have, so they are apart (first: '2' is 'two:2')")


def test_a_video_at_hand_says_when_its_frames_are_shown(tmp_path: Path):
    # 30 frames in the first second, 5 in each of the next two: MOT's frame 31 is shown at 1 s, not at 2.25 s
    film = write_stamped(tmp_path / "a.mp4", [each / 30 for each in range(30)] + [1 + each / 5 for each in range(10)])
    (tmp_path / "a.txt").write_text("\n".join(frames(10, "{},1,11,11,20,40,1", first=31)))
    account = Account()
    (found,) = import_file(tmp_path / "a.txt", "mot", fps=24, size=SIZE, videos=[film], account=account)
    assert (found.start, found.stop) == (3, 9)  # seconds 1 to 3
    assert account.lines() == []


@pytest.mark.parametrize(("text", "says"), [
    ("WEBVTT\n\nNOTE stvr {}\n", "line 3: the note has no 'width'"),
    ("WEBVTT\n\nNOTE stvr {\n", "line 3: wanted JSON"),
    ('WEBVTT\n\nNOTE stvr {"reference": "a", "width": 9, "height": 9}\n\n00:00.000 --> 00:00.333\nhello\n',
     "line 6: wanted JSON as `stvr export` writes it, got 'hello'"),
    ('WEBVTT\n\nNOTE stvr {"reference": "a", "width": 9, "height": 9}\n\n00:00.000 --> 00:00.333\n{"tubelet": 1}\n',
     "the cue in line 5 has no 'box'"),
])
def test_what_webvtt_lacks_is_one_line_with_its_number(tmp_path: Path, text: str, says: str):
    (tmp_path / "a.vtt").write_text(text, encoding="utf-8-sig")
    with pytest.raises(ValueError, match=says) as refusal:
        import_file(tmp_path / "a.vtt", "webvtt")
    assert "a.vtt" in str(refusal.value)


CASES = {"11_cvat_shapes": "cvat", "12_cvat_labels_import": "cvat", "13_cvat_jobs": "cvat", "14_cvat_attrs": "cvat",
         "15_mot": "mot", "16_coco": "coco-video", "17_fiftyone": "fiftyone", "30_bom": None}


@pytest.mark.parametrize("folder", CASES)
def test_every_case_that_was_read_wrongly_is_read_or_refused_in_one_line(shared: Path, folder: str):
    for path in sorted((shared / "data/cases" / folder).iterdir()):
        form = CASES[folder] or path.name.removeprefix("i_")
        if path.suffix not in (".csv", ".jsonl") and form in (*CASES.values(), "webvtt"):
            found = read_or_refused(path, form)
            assert all((each.boxes[:, 2:] > each.boxes[:, :2]).all() and each.start >= 0 for each in found)


def read_or_refused(path: Path, form: str) -> list[Found]:
    try:
        return import_file(path, form, fps=24, size=SIZE)
    except ValueError as error:
        if path.name not in str(error):
            raise
        return []
