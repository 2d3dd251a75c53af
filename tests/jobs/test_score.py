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
    assert result["support"]["action3"] == {"boxes": 5, "detections": 9}


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
    assert (lines["mAP"], lines["support"]) == (1, {"a": {"tubelets": 1, "detections": 1}})  # 2 of 4 frames


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


def test_a_dump_that_is_none_is_refused_in_one_line(stvr, tmp_path):
    (tmp_path / "case.json").write_text('{"pairs": [[{"label": [1]}, {}]], "detections": [{}]}')
    ended = stvr("score", "released", tmp_path / "case.json")
    assert ended.status == 2
    assert "is not a dump of the released program" in ended.err
