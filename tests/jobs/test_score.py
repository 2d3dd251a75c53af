"""stvr score: files in, one JSON object out, held to the evaluators' own numbers."""

import json

import pytest


@pytest.fixture
def scored(stvr):
    """Runs `stvr score ...` and reads the object it prints."""

    def run(*words):
        ended = stvr("score", *words)
        assert ended.status == 0, ended.err
        return json.loads(ended.out)

    return run


def test_ava_equals_the_official_evaluator(scored, shared):
    folder = shared / "data/reference_values/ava_eval_mmaction2"
    result = scored("ava", "--ground-truth", folder / "gt.csv", "--detections", folder / "pred.csv",
                    "--labels", folder / "action_list.txt")
    assert result["mAP"] == pytest.approx(0.09385522, abs=1e-8)
    assert list(result["per_action"].values()) == pytest.approx([0.17045455, 0, 0.11111111], abs=1e-8)
    assert result["support"]["action3"] == {"boxes": 5, "detections": 9, "matched": 2}


def test_released_equals_every_ap_of_the_authors(scored, shared):
    case = shared / "data/reference_values/stvr_frame_map_case.json"
    result, expected = scored("released", case), json.loads(case.read_text())["expected"]
    for threshold, values in expected.items():
        assert result[threshold]["mAP"] == pytest.approx(values["mAP"], abs=1e-9)
        assert result[threshold]["per_label"] == pytest.approx(values["per_label"], abs=1e-9)
    assert result["mAP"] == result["0.5"]["mAP"]


TRUTH = "f,0902,0.0,0.0,0.4,1.0,1,7\nf,902,0.6,0.0,1.0,1.0,2,8\ng,1000,0.0,0.0,0.4,1.0,2,1\n"
FOUND = "g,1000,0.6,0.0,1.0,1.0,2,0.9\nf,902,0.0,0.0,0.4,1.0,1,0.3\nf,902,0.6,0.0,1.0,1.0,2,0.5\nf,902,0,0,1,1,9,0.99\n"
LABELS = "\n".join(f'label {{\n  name: "{name}"\n  label_id: {i}\n  label_type: PERSON_POSE\n}}'
                   for i, name in ((1, "bend"), (2, "walk"), (3, "run")))


@pytest.fixture
def ava_files(tmp_path):
    def written(truth=TRUTH, found=FOUND, labels=LABELS):
        for name, text in (("truth.csv", truth), ("found.csv", found), ("labels.pbtxt", labels)):
            (tmp_path / name).write_text(text)
        return ["--ground-truth", tmp_path / "truth.csv", "--detections", tmp_path / "found.csv",
                "--labels", tmp_path / "labels.pbtxt"]

    return written


def test_seconds_may_be_padded_and_rows_unsorted_and_other_classes_do_not_count(scored, ava_files):
    result = scored("ava", *ava_files())
    # walk: false at .9, true at .5, of two boxes: 1/2 x 1/2
    assert result["per_action"] == {"bend": 1, "walk": pytest.approx(0.25), "run": None}
    assert result["mAP"] == pytest.approx(0.625)


def test_excluded_keyframes_and_a_plain_list_of_labels(scored, ava_files, tmp_path):
    (tmp_path / "exclude.csv").write_text("g,1000\n")
    result = scored("ava", *ava_files(labels="1: bend\n2: walk\n3: run\n"), "--exclude", tmp_path / "exclude.csv")
    assert (result["mAP"], result["settings"]["excluded_keyframes"]) == (1, 1)


def test_only_the_best_fifty_rows_of_a_keyframe_count_as_officially(scored, ava_files):
    crowd = "".join(f"f,902,0.5,0.5,0.6,0.6,3,0.9{i:02d}\n" for i in range(50))
    found = crowd + "f,902,0.0,0.0,0.4,1.0,1,0.3\n"
    assert scored("ava", *ava_files(found=found))["per_action"]["bend"] == 0  # the fifty-first
    assert scored("ava", *ava_files(found=found), "--max-per-frame", "0")["per_action"]["bend"] == 1


def test_evaluators_agree_where_every_keyframe_is_listed(scored, shared):
    folder = shared / "data/reference_values/ava_eval_mmaction2"
    files = ["--ground-truth", folder / "gt.csv", "--detections", folder / "pred.csv",
             "--labels", folder / "action_list.txt"]
    for evaluator in ("official", "mmaction2", "slowfast"):  # no box is wanted by two detections
        assert scored("ava", *files, "--evaluator", evaluator)["mAP"] == pytest.approx(0.09385522, abs=1e-8)


@pytest.mark.parametrize(("evaluator", "unlisted", "empty", "order"), [
    ("official", 1, 0.5, 1), ("mmaction2", 0.5, 0.5, 1), ("slowfast", 0.5, 0.5, 0.5),
])  # fmt: skip
def test_what_differs_between_evaluators_by_hand_count(scored, ava_files, evaluator, unlisted, empty, order):
    """One true box and, before it in rank, one false detection: AP 1/2; without that one, 1."""
    truth, right = "f,902,0.0,0.0,0.4,1.0,1,7\n", "f,902,0.0,0.0,0.4,1.0,1,0.3\n"

    def bend(truth: str, found: str) -> float:
        return scored("ava", *ava_files(truth, found), "--evaluator", evaluator)["per_action"]["bend"]

    other = "f,903,0.0,0.0,0.4,1.0,1,0.9\n"
    assert bend(truth, other + right) == unlisted  # f,903 is not in the ground truth
    assert bend(truth + "f,0903\n", other + right) == empty  # it is, without a box
    assert bend(truth + "f,903,0.6,0.0,1.0,1.0,9,8\n", other + right) == empty  # it is, with a box of another class
    assert bend(truth, right + "f,902,0.0,0.0,0.4,1.0,1,0.9\n") == order  # two on one box, the worse one first


def test_more_rows_than_the_official_evaluator_takes_are_its_own_option(stvr, ava_files):
    ended = stvr("score", "ava", *ava_files(), "--evaluator", "slowfast", "--max-per-frame", "50")
    assert (ended.status, "slowfast counts all rows" in ended.err) == (2, True)
    assert "Choose one of official, mmaction2, slowfast" in stvr("score", "ava", *ava_files(), "--evaluator", "x").err


@pytest.mark.parametrize(("truth", "found", "said"), [
    (TRUTH, "h,902,0,0,0.4,1,1,0.9\nh,3,0,0,0.4,1,1,0.9\n",
     "none of 2 keyframes is in the ground truth (first: h,0902; wanted such as f,0902)"),
    (TRUTH, "f,0002,0,0,0.4,1,1,0.9\n", "(first: f,0002; wanted such as f,0902)"),
    (TRUTH, "", "found.csv holds no row"),
    (TRUTH, "f,902,0,0,0.4,1,9,0.9\n", "holds no detection of a class that --labels names"),
    ("f,902\n", FOUND, "the ground truth holds no box"),
    (TRUTH, "f,902,0,0,128,216,1,0.9\n", "line 1: the box is 0, 0, 128, 216, wanted shares"),
])  # fmt: skip
def test_detections_that_cannot_match_are_refused(stvr, ava_files, truth, found, said):
    ended = stvr("score", "ava", *ava_files(truth, found))
    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("form", [
    "\ufefff,902,0.0,0.0,0.4,1.0,1,0.3\n",
    "f.mp4,0902,0.0,0.0,0.4,1.0,1,0.3\n",
    '"f", 902.0, 0, 0,0.4, 1,1,0.3\r\n',
    "f;902;0,0;0,0;0,4;1,0;1;0,3\n",
    "video,t,x1,y1,x2,y2,a,s\nf,902,0,0,0.4,1,1,0.3\n",
    "films/f.MP4\t902\t0\t0\t.4\t1\t1\t.3\n",
])  # fmt: skip
def test_names_numbers_and_cells_of_other_programs_are_read(scored, ava_files, form):
    result = scored("ava", *ava_files(found=form))
    assert result["per_action"]["bend"] == 1
    assert result["keyframes"] == {"ground_truth": 2, "detections": 1, "both": 1}


def test_what_does_not_count_is_said(stvr, ava_files):
    found = FOUND + "f,902,0.4,0.9,0.1,0.1,1,0.9\nf,903,-0.1,0,0.4,1.2,1,0.2\n"
    ended = stvr("score", "ava", *ava_files(found=found))
    assert ended.status == 0
    swapped = stvr("score", "ava", *ava_files(found="f,902,0.0,0.0,1.0,0.4,1,0.9\nf,902,0,0,1,1,0,0.9\n"))
    assert "no detection of found.csv overlaps a true box of its keyframe and class by 0.5" in swapped.err
    assert "does not name is left out, and ids seem to count from 0; 1 such rows" in swapped.err
    assert "found.csv, line 4: a class that --labels does not name is left out; 1 such rows" in ended.err
    assert "found.csv, line 5: a box without area" in ended.err
    assert "found.csv, line 6: a box sticks out of the picture" in ended.err
    assert "1 of 3 keyframes of found.csv are not in the ground truth (first: f,0903): left out" in ended.err
    assert json.loads(ended.out)["support"]["walk"] == {"boxes": 2, "detections": 2, "matched": 1}


def test_equal_scores_rank_as_in_the_released_program(scored, tmp_path):
    """A right detection in the first clip, a false one of the same score in the second: numpy's order, reversed, has
    the second first. Three true boxes (one in each clip of the second): AP 1/3 x 1/2."""
    box, nothing = [0, 0, 0.4, 1], [0.6, 0, 1, 1]
    case = {"pairs": [[{"label": [1]}, {"gt": [[box]]}]],
            "detections": [{"num_detections": [1, 1, 0], "detection_boxes": [[box], [nothing], [box]],
                            "detection_scores": [[0.5], [0.5], [0]], "detection_classes": [[1], [1], [1]]}]}
    (tmp_path / "case.json").write_text(json.dumps(case))
    assert scored("released", tmp_path / "case.json")["mAP"] == pytest.approx(1 / 6)


@pytest.mark.parametrize(("found", "said"), [
    ("f,902,0,0,1,1\n", "line 1: wanted video,second,x1,y1,x2,y2,action_id"),
    ("f,902,0,0,1,1,1,0.5\nf,902,0,0,x,1,1,0.5\n", "line 2: wanted numbers"),
    ("f,902,0,0,1,1,1,nan\n", "line 1: wanted numbers"),
])  # fmt: skip
def test_a_row_that_does_not_fit_is_named(stvr, ava_files, found, said):
    ended = stvr("score", "ava", *ava_files(found=found))
    assert ended.status == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1


BOX = [0.0, 0.0, 0.4, 1.0]


@pytest.fixture
def tube_files(tmp_path):
    def written(truth, found, suffix="json"):
        for name, content in (("truth", truth), ("found", found)):
            (tmp_path / f"{name}.{suffix}").write_text(content if isinstance(content, str) else json.dumps(content))
        return ["--ground-truth", tmp_path / f"truth.{suffix}", "--detections", tmp_path / f"found.{suffix}"]

    return written


def test_video_names_its_tube_iou_and_gives_every_threshold(scored, tube_files):
    truth = {"tubelets": [{"video": "v", "label": "a", "start": 3, "boxes": [BOX] * 10}]}
    found = [{"video": "v", "label": "a", "start": 7, "boxes": [BOX] * 6, "score": 0.4}]  # tube IoU 6 / 10
    result = scored("video", *tube_files(truth, found), "--iou", "0.2", "--iou", "0.5", "--iou", "0.7")
    assert result["mAP_at"] == {"0.2": 1, "0.5": 1, "0.7": 0}
    assert result["mAP"] == 1
    assert result["mAP_50_95"] == pytest.approx(0.3)  # .5 .55 .6
    assert result["settings"]["tube_iou"] == "temporal_x_spatial"


def test_a_table_and_json_lines_say_the_same(scored, tube_files):
    header = "video,label,tubelet,frame,x1,y1,x2,y2"
    rows = [f"v,a,0,{frame},0,0,40,100" for frame in (5, 3, 4)]
    found = [f"v,a,1,{frame},0,0,40,100,0.5" for frame in (3, 4)]
    table = scored("video", *tube_files("\n".join([header, *rows]), "\n".join([header + ",score", *found]), "csv"),
                   "--iou", "0.65", "--inclusive")
    assert table["mAP"] == 1  # 2 of 3 frames
    line = {"video": "v", "label": "a", "start": 3, "boxes": [[0, 0, 40, 100]] * 3}
    lines = scored("video", *tube_files(json.dumps(line) + "\n", json.dumps({**line, "start": 4, "score": 1}) + "\n",
                                        "jsonl"), "--iou", "0.45")
    assert lines["mAP"] == 1  # 2 of 4 frames
    assert lines["support"] == {"a": {"tubelets": 1, "detections": 1, "matched": 1}}


def test_inclusive_pixels_are_one_wider(scored, tube_files):
    truth = [{"video": "v", "label": "a", "start": 0, "boxes": [[0, 0, 9, 9]]}]
    found = [{"video": "v", "label": "a", "start": 0, "boxes": [[0, 0, 4, 9]]}]  # 4/9 as edges, 5/10 as pixels
    assert scored("video", *tube_files(truth, found), "--iou", "0.47")["mAP"] == 0
    assert scored("video", *tube_files(truth, found), "--iou", "0.47", "--inclusive")["mAP"] == 1


@pytest.mark.parametrize(("found", "said"), [
    ([{"video": "v", "label": "a", "boxes": [BOX]}], "tubelet 0: wanted video, label, start, boxes"),
    ([{"video": "v", "label": "a", "start": 0, "boxes": []}], "boxes (T, 4), at least one"),
    ([{"video": "v", "label": "a", "start": 0, "boxes": [[1, 0, 0, 1]]}], "x1 <= x2"),
    ("{", "neither JSON nor JSON Lines"),
])  # fmt: skip
def test_a_tubelet_that_does_not_fit_is_named(stvr, tube_files, found, said):
    ended = stvr("score", "video", *tube_files([], found))
    assert ended.status == 2
    assert said in ended.err


TUBE = {"video": "v1", "label": "wave", "start": 0, "boxes": [[10, 10, 40, 50]] * 4}


@pytest.mark.parametrize(("change", "said"), [
    ({"label": "Wave"}, "none of 1 tubelets has a label and a video of the ground truth (first: Wave in v1; wanted "
                        "such as wave in v1)"),
    ({"video": "v2"}, "(first: wave in v2; wanted such as wave in v1)"),
    ({"boxes": [[0.1, 0.1, 0.4, 0.8]] * 4}, "one has shares of the picture, the other pixels"),
    (None, "holds no tubelet"),
])  # fmt: skip
def test_tubelets_that_cannot_match_are_refused(stvr, tube_files, change, said):
    ended = stvr("score", "video", *tube_files([TUBE], [] if change is None else [TUBE | change]))
    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.parametrize("video", ["v1.mp4", "wave/v1", "C:\\films\\v1.AVI"])
def test_a_video_of_tubelets_may_be_named_with_folder_and_ending(scored, tube_files, video):
    result = scored("video", *tube_files([TUBE], [TUBE | {"video": video, "score": 0.5}]))
    assert (result["mAP"], result["support"]["wave"]["matched"]) == (1, 1)


@pytest.mark.parametrize(("header", "row"), [
    ("\ufeffvideo; label; tubelet; frame; x1; y1; x2; y2; score", "v1;wave;0;{};10;10;40;50;0,9"),
    ("Video,Label,Tubelet,Frame,X1,Y1,X2,Y2,Score", '"v1", wave, 0, {}.0, 10, 10, 40, 50, 0.9'),
])  # fmt: skip
def test_tables_of_tubelets_are_read_in_any_dress(scored, tube_files, header, row):
    found = "\n".join([header, *(row.format(frame) for frame in range(4))])
    truth = "\n".join(["video,label,tubelet,frame,x1,y1,x2,y2", *(f"v1,wave,0,{i},10,10,40,50" for i in range(4))])
    assert scored("video", *tube_files(truth, found, "csv"))["mAP"] == 1


def test_a_decimal_comma_between_commas_is_named(stvr, tube_files):
    header = "video,label,tubelet,frame,x1,y1,x2,y2,score"
    ended = stvr("score", "video", *tube_files(f"{header}\nv,a,0,0,1,1,2,2,1", f"{header}\nv,a,0,0,1,1,2,2,0,9", "csv"))
    assert "found.csv, line 2: 10 cells, but 9 in the header" in ended.err
    ended = stvr("score", "video", *tube_files(f"{header}\nv,a,0,0,1,1,2,2,1", f"{header}\nv,a,0,0.5,1,1,2,2,1", "csv"))
    assert "found.csv, line 2: frame is '0.5', wanted a whole number" in ended.err


def test_a_dump_that_is_none_is_refused_in_one_line(stvr, tmp_path):
    (tmp_path / "case.json").write_text('{"pairs": [[{"label": [1]}, {}]], "detections": [{}]}')
    ended = stvr("score", "released", tmp_path / "case.json")
    assert ended.status == 2
    assert "is not a dump of the released program" in ended.err
