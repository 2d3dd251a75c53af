"""The command line: a user's mistake is one line on standard error and exit status 2, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import HEAD, SPEC, spec_of, tiny_options, write_store, write_tiny_pairs

from stvr.commands import edges, video_files
from stvr.heads import build_head
from stvr.heads.assembly import MatchingOptions
from stvr.heads.checkpoint import load_head, save_head
from stvr.jobs.train import train
from stvr.tasks.pairs.build import read_pairs
from stvr.version import __version__
from stvr.world.synthetic import write_world


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with everything that commands need: store, other, pairs.json, run, head, videos, text, table.csv."""
    place = tmp_path_factory.mktemp("cli")
    write_store(place / "store")
    write_store(place / "other", replace(SPEC, weights_digest="sha256:11", weights="other.pt"))
    write_tiny_pairs(place / "pairs.json")
    write_tiny_pairs(place / "slow.json", fps=12)
    (place / "broken.json").write_text((place / "pairs.json").read_text()[:-40])
    (place / "text").write_text("not a checkpoint")
    (place / "empty").mkdir()
    train(place / "store", place / "pairs.json", place / "run", tiny_options(steps=1))
    options, spec = MatchingOptions(**HEAD), replace(spec_of(1024), weights_digest="?")
    save_head(place / "head.safetensors", build_head(options, spec), options, spec, {})
    write_world(place / "world", size="tiny", workers=1, num_train_videos=2, num_test_videos=1)
    rows = [f"{video},{second},.1,.2,.5,.9,a,{label}\n" for video in "abcd"
            for second, label in ((0, "nod"), (1, "wave"), (2, "bow"))]
    (place / "table.csv").write_text("video,seconds,x1,y1,x2,y2,person,label\n" + "".join(rows))
    (place / "ava.csv").write_text("a,902,0.1,0.2,0.5,0.9,12,0\nb,903,0.1,0.2,0.5,0.9,12,0\n")
    (place / "map.pbtxt").write_text('item { name: "Flapping" id: 12 }')
    (place / "options.toml").write_text("colour = 3\n")
    return place


TRAIN = "train --store {p}/store --pairs {p}/pairs.json --out {p}/new --preset small --steps 1"
EVAL = "eval --store {p}/store --pairs {p}/pairs.json --checkpoint {p}/run"
VIDEO = "{p}/world/videos/train_0000.mp4"
LOCATE = "locate --checkpoint {p}/head.safetensors --query " + VIDEO + " --box 9,9,80,80 --at 1 --out {p}/new " + VIDEO
TABLE = "prepare table {p}/table.csv --out {p}/new.json"

FAULTS = [
    ("fly", "No such command 'fly'"),
    ("demo --size nope --out {p}/new", "there is no demo of size 'nope'. Choose one of tiny, small, full."),
    ("train --store {p}/store", "Missing option '--pairs'"),
    (TRAIN + " --steps zero", "Invalid value for '--steps'"),
    (TRAIN + " --steps 0", "Invalid value for '--steps'"),
    (TRAIN + " --colour red", "No such option"),
    (TRAIN + " --store {p}/nowhere", "there is no feature store at"),
    (TRAIN + " --store {p}/text", "there is no feature store at"),
    (TRAIN + " --pairs {p}/nowhere.json", "nowhere.json: there is no such pairs file"),
    (TRAIN + " --pairs {p}/broken.json", "broken.json is not a pairs file"),
    (TRAIN + " --pairs {p}/text", "is not a pairs file"),
    (TRAIN + " --pairs {p}/slow.json", "8 frames at 12 a second"),
    (TRAIN + " --out {p}/run", "is not empty. Go on with the run in it by --resume"),
    (TRAIN + " --out {p}/store --resume", "holds no run to resume"),
    (TRAIN + " --out {p}/run --resume", "was begun with other"),
    (TRAIN + " --out {p}/text", "text"),
    (TRAIN + " --preset huge", "'huge' is no preset of the head 'matching'. Its presets are: paper, small"),
    (TRAIN + " --propagation wind", "no propagation 'wind'. Choose one of none, conv_lstm, flow, traj_lstm, warp_lstm"),
    (TRAIN + " --head hydra", "no head 'hydra'. Choose one of matching"),
    (TRAIN + " --optimizer lion", "option 'optimizer'"),
    (TRAIN + " --lr -1", "option 'lr'"),
    (TRAIN + " --config {p}/nowhere.toml", "wanted a TOML file"),
    (TRAIN + " --config {p}/options.toml", "there is no option 'colour'"),
    (TRAIN + " --device abacus", "the device 'abacus' cannot be used here"),
    (EVAL + " --videos {p}/world/videos", "--videos puts pictures into the report. Give --out"),
    (EVAL + " --videos {p}/nowhere --out {p}/new", "--videos wants a folder of video files"),
    (EVAL + " --videos {p}/empty --out {p}/new", "no video file in"),
    (EVAL + " --checkpoint {p}/text", "wanted a safetensors file of stvr"),
    (EVAL + " --checkpoint {p}/nowhere", "there is no such checkpoint. Make one with `stvr train`"),
    (EVAL + " --checkpoint {p}/store", "there is no such checkpoint"),
    (EVAL + " --store {p}/other", "trained on other features than the store holds"),
    (EVAL + " --split dev", "no pair has split 'dev'"),
    (EVAL + " --limit 0", "Invalid value for '--limit'"),
    (LOCATE, "the head reads features of the weights 'analytic' (?)"),
    (LOCATE + " --box 1,2,3", "wanted --box X1,Y1,X2,Y2, got '1,2,3'"),
    (LOCATE + " --box a,b,c,d", "Give 4 numbers separated by commas"),
    (LOCATE + " --span 1", "wanted --span START,STOP in seconds"),
    (LOCATE + " --at soon", "Invalid value for '--at'"),
    (LOCATE + " --weights {p}/text", "text"),
    (LOCATE.replace("{p}/new ", "{p}/new {p}/empty "), "stvr: "),
    ("extract {p}/empty --store {p}/new", "no video file in"),
    ("extract " + VIDEO + " --store {p}/new --pairs {p}/pairs.json", "none of the 1 files is named in"),
    ("extract " + VIDEO + " --store {p}/new --backbone resnet", "there is no backbone 'resnet'"),
    ("extract " + VIDEO + " --store {p}/new --endpoint Mixed_9z", "Mixed_9z"),
    ("extract " + VIDEO + " --store {p}/new --weights {p}/nowhere.pt", "nowhere.pt"),
    ("extract " + VIDEO + " --store {p}/new --flow wind",
     "there is no optical flow 'wind'. Choose one of none, ilk, tvl1, raft"),
    ("extract " + VIDEO + " --store {p}/new --flow raft", "needs its trained weights"),
    ("extract " + VIDEO + " --store {p}/new --flow raft --flow-weights {p}/nowhere.pth", "nowhere.pth"),
    ("extract " + VIDEO + " --store {p}/new --flow raft --flow-weights {p}/text", "text"),
    ("extract " + VIDEO + " --store {p}/new --flow-weights {p}/text", "--flow-weights is for --flow raft"),
    ("extract " + VIDEO + " --store {p}/new --flow ilk --flow-weights {p}/text", "--flow ilk takes no weights"),
    ("extract " + VIDEO + " --store {p}/new --colour-order GBR", "no colour order 'GBR'. Choose one of RGB, BGR"),
    ("extract " + VIDEO + " --store {p}/new --resize nearest", "no resize 'nearest'. Choose one of bilinear, tf1"),
    ("extract " + VIDEO + " --store {p}/empty --image-size 8", "Invalid value for '--image-size'"),
    ("extract " + VIDEO + " --store {p}/text --endpoint Conv3d_1a_7x7", "text: a file is where a folder is needed"),
    ("extract " + VIDEO + " --store {p}/new --boxes-weights {p}/text", "--boxes-weights is for --boxes"),
    ("extract " + VIDEO + " --store {p}/new --weights {p}/empty", "got a folder with 0 .index files"),
    ("store export {p}/store --out {p}/empty", "empty is a folder, but a file is to be written there"),
    ("store import {p}/empty --out {p}/new", "empty is a folder. Name a file"),
    ("prepare ava {p}/nowhere.csv --out {p}/new.json", "nowhere.csv: No such file"),
    ("prepare ava {p}/table.csv --out {p}/new.json", "table.csv, line 1"),
    ("prepare ava {p}/ava.csv --labels {p}/map.pbtxt --out {p}/new.json", "--held-out none"),
    ("prepare ava {p}/ava.csv --labels {p}/map.pbtxt --held-out Flap --out {p}/new.json", "no action is called 'Flap'"),
    ("prepare ava {p}/ava.csv --held-out 13 --out {p}/new.json", "nobody does any of the 1 labels to hold out"),
    ("prepare ucf101-24 {p}/text --videos {p}/world/videos --out {p}/new.json", "is not UCF101-24's pyannot.pkl"),
    (TABLE + " --protocol fair", "'debiased', 'released', 'paper' or 'one_shot'"),
    (TABLE + " --absent-share 1", "option 'absent_share'"),
    (TABLE + " --pixels", "Give --videos"),
    (TABLE + " --videos {p}/empty", "no video file in"),
    (TABLE + " --held-out run;nod", "no action is called 'run'. The actions are: bow, nod, wave"),
    ("synth {p}/empty --size vast", "'vast'"),
    ("synth {p}/store", "is not empty"),
    ("synth {p}/text", "text: a file is where a folder is needed"),
    ("synth {p}/text/new", "text: a file is where a folder is needed"),
    ("synth {p}/new --actors 1.5", "--actors wants a whole number"),
    ("info {p}/nowhere", "is not there"),
    ("info {p}/text", "it cannot be told what"),
    ("info {p}/empty", "is a folder with no store, index or head in it"),
]


@pytest.mark.parametrize(("command", "says"), FAULTS, ids=[command for command, _ in FAULTS])
def test_a_fault_is_one_line_and_status_2(stvr, place, command, says):
    before = {path for path in place.rglob("*") if ".partial" not in path.name}
    ended = stvr(*(word.format(p=place) for word in command.split()))
    assert ended.status == 2
    lines = [line for line in ended.err.splitlines() if "analytic ones, which see motion" not in line]
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("stvr: ")
    assert says in lines[0]
    assert "Traceback" not in ended.err + ended.out
    assert {path for path in place.rglob("*") if ".partial" not in path.name} == before  # and nothing is left behind


def test_an_error_of_our_own_keeps_its_traceback(stvr, monkeypatch):
    def broken(path: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("stvr.jobs.info.describe", broken)
    with pytest.raises(ZeroDivisionError):
        stvr("info", "x")


def test_control_c_says_how_to_go_on(stvr, monkeypatch):
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stvr.jobs.info.describe", interrupted)
    ended = stvr("info", "x")
    assert (ended.status, ended.err) == (130, "stvr: stopped; start the same command again to go on\n")


def test_help_shows_every_command_and_loads_no_torch():
    code = ("import sys, stvr.cli; sys.argv = ['stvr', '--help']\n"
            "try:\n    stvr.cli.main()\nexcept SystemExit as ended:\n    status = ended.code\n"
            "print(status, sorted({'torch', 'numpy', 'pandas', 'av', 'zarr'} & set(sys.modules)))")
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "0 []"
    for command in ("demo", "synth", "prepare", "extract", "train", "eval", "locate", "info", "weights"):
        assert f" {command} " in output


@pytest.mark.parametrize("command", [[], ["prepare"], ["weights"]])
def test_without_a_command_the_help_is_shown(stvr, command):
    ended = stvr(*command)
    assert "Usage: stvr" in ended.out
    assert (ended.status, ended.err) == (2, "")


@pytest.mark.parametrize("command", [
    ["synth"], ["extract"], ["train"], ["eval"], ["locate"], ["info"], ["demo"], ["prepare", "ava"],
    ["prepare", "table"], ["prepare", "ucf101-24"], ["weights", "convert"], ["weights", "info"],
])
def test_every_command_has_help(stvr, command):
    ended = stvr(*command, "--help")
    assert (ended.status, ended.err) == (0, "")
    assert "Usage: stvr " + " ".join(command) in ended.out


def test_train_eval_and_info_follow_one_another(stvr, place, tmp_path):
    (tmp_path / "tiny.toml").write_text(
        "window_seconds = 1\nmax_query_seconds = 1\n[head]\n" + "".join(f"{k} = {v}\n" for k, v in HEAD.items()))
    asked = ["train", "--frozen-backbone", "--store", place / "store", "--pairs", place / "pairs.json", "--out",
             tmp_path / "run", "--preset", "small", "--config", tmp_path / "tiny.toml", "--batch-size", 2]
    ended = stvr(*asked, "--steps", 2, "--propagation", "none")
    assert ended.status == 0, ended.err
    assert ended.out.startswith(f"{tmp_path}/run/head.safetensors: 2 steps, 2 of them now; total ")
    assert load_head(tmp_path / "run").options.propagation == {"name": "none"}
    ended = stvr(*asked, "--steps", 2, "--propagation", "none", "--resume")
    assert ended.out == f"{tmp_path}/run/head.safetensors: 2 steps, 0 of them now; nothing left to do\n"
    ended = stvr("eval", "--checkpoint", tmp_path / "run", "--store", place / "store", "--pairs", place / "pairs.json",
                 "--out", tmp_path / "eval")
    assert ended.status == 0, ended.err
    assert "5 of 5 pairs" in ended.out
    assert json.loads((tmp_path / "eval" / "eval.json").read_text())["evaluated"] == "5 of 5 pairs"
    assert "5 of 5 pairs" in (tmp_path / "eval" / "report.html").read_text()
    for path, kind in ((tmp_path / "run", "checkpoint"), (place / "store", "store"), (place / "pairs.json", "pairs")):
        assert json.loads(stvr("info", path).out)["kind"] == kind


def test_eval_shows_the_worst_pairs_of_the_videos_it_finds(stvr, place, tmp_path):
    (tmp_path / "films" / "more").mkdir(parents=True)
    film = (place / "world" / "videos" / "train_0000.mp4").read_bytes()  # 4 s; a later moment shows its last frame
    for name in ("a", "more/b"):
        (tmp_path / "films" / f"{name}.mp4").write_bytes(film)
    (tmp_path / "films" / "c.mp4").write_text("no film")  # and there is no d
    asked = ["eval", "--checkpoint", place / "run", "--store", place / "store", "--pairs", place / "pairs.json"]
    ended = stvr(*asked, "--out", tmp_path / "eval", "--videos", tmp_path / "films")
    assert ended.status == 0, ended.err
    lines = [line for line in ended.err.splitlines() if "answered worst" in line]
    assert len(lines) == 1  # c and d are asked with each other, a and b too
    assert lines[0].startswith("stvr: 2 of the 4 pairs answered worst are not shown: ")
    assert "'d' has no video file" in lines[0]
    (tmp_path / "films" / "d.mp4").write_text("no film")
    messages = stvr(*asked, "--out", tmp_path / "eval", "--videos", tmp_path / "films").err
    assert "c.mp4 cannot be read" in messages
    assert "d.mp4 cannot be read" in messages
    assert (tmp_path / "eval" / "report.html").read_text().count('<figure class="query">') == 2


def test_resuming_without_a_run_says_so(stvr, place, tmp_path):
    ended = stvr("train", "--store", place / "store", "--pairs", place / "pairs.json", "--out", tmp_path / "run",
                 "--preset", "small", "--steps", 1, "--batch-size", 1, "--resume")
    assert ended.status == 0
    assert f"stvr: there is no run in {tmp_path}/run yet" in ended.err


def test_extract_takes_the_videos_that_the_pairs_name(stvr, place, tmp_path):
    videos = place / "world" / "videos"
    write_tiny_pairs(tmp_path / "pairs.json")
    text = (tmp_path / "pairs.json").read_text().replace('"video":"a"', '"video":"train_0000"')
    (tmp_path / "pairs.json").write_text(text)
    asked = ["extract", videos, "--store", tmp_path / "store", "--pairs", tmp_path / "pairs.json", "--image-size", 64]
    ended = stvr(*asked)
    assert ended.status == 0, ended.err
    assert ended.out == f"{tmp_path}/store: 1 videos extracted (12 clips), 0 already there, 0 failed\n"
    assert "stvr: 3 videos of" in ended.err  # b, c and d have no file
    assert "0 videos extracted (0 clips), 1 already there" in stvr(*asked).out


def test_flow_and_both_views_are_shown_by_info_and_refused_elsewhere(stvr, place, tmp_path):
    video, store = place / "world" / "videos" / "train_0000.mp4", tmp_path / "store"
    asked = ["extract", video, "--store", store, "--image-size", 64, "--flip", "--colour-order", "BGR", "--resize"]
    assert stvr(*asked, "tf1", "--flow", "tvl1").status == 0
    spec, names = json.loads(stvr("info", store).out)["spec"], ("flow", "flipped", "colour_order", "resize")
    assert [spec[name] for name in names] == ["tvl1 at 64 px", True, "BGR", "tf1"]
    ended = stvr(*asked, "tf1")
    assert ended.status == 2
    assert "its flow is 'tvl1 at 64 px', not 'none'. Give another --store" in ended.err


def test_one_broken_video_does_not_stop_an_extraction_but_is_reported(stvr, place, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    ended = stvr("extract", tmp_path / "broken.mp4", place / "world" / "videos" / "train_0000.mp4", "--store",
                 tmp_path / "store", "--image-size", 64)
    assert ended.status == 1
    assert f"stvr: {tmp_path}/broken.mp4 cannot be read as a video" in ended.err
    assert "1 videos extracted" in ended.out


def test_a_table_holds_out_what_is_named(stvr, place, tmp_path):
    out = tmp_path / "pairs.json"
    ended = stvr("prepare", "table", place / "table.csv", "--out", out)
    assert ended.status == 0
    assert "stvr: nothing is held out" in ended.err
    assert {pair.split for pair in read_pairs(out)[0]} == {"train"}
    ended = stvr("prepare", "table", place / "table.csv", "--out", out, "--held-out", "wave; bow+nod")
    assert "stvr: held out for test (1): wave\n" in ended.err
    assert "nobody does it: bow + nod\n" in ended.err
    assert {pair.label for pair in read_pairs(out)[0] if pair.split == "test"} == {"3"}


def test_the_worlds_own_list_is_held_out(stvr, place, tmp_path):
    """The tiny world is too small for pairs of every label; its held-out labels never train."""
    world = place / "world"
    ended = stvr("prepare", "ava", world / "test.csv", "--train", world / "train.csv", "--labels",
                 world / "actions.pbtxt", "--held-out", world / "held_out.txt", "--protocol", "released", "--videos",
                 world / "videos", "--out", tmp_path / "pairs.json")
    assert ended.status == 0, ended.err
    held_out = (world / "held_out.txt").read_text().split()
    for pair in read_pairs(tmp_path / "pairs.json")[0]:
        assert (pair.split == "test") == (pair.label in held_out)
        assert pair.reference.stop <= 12


def test_ucf101_24_pairs_its_two_basketball_videos(stvr, shared, tmp_path):
    out = tmp_path / "pairs.json"
    ended = stvr("prepare", "ucf101-24", shared / "data/annotations/ucf101-24/pyannot.pkl", "--videos",
                 shared / "data/videos/ucf101-24", "--out", out)
    assert ended.status == 1  # the seven videos at hand are few of those in the file
    assert "stvr: 3187 videos left out: no video file has their name" in ended.err
    assert "stvr: nothing is held out" in ended.err  # six of the 24 classes
    shown = {(p.query.span.video, p.reference.video) for p in read_pairs(out)[0] if p.targets}
    two = "v_Basketball_g01_c02", "v_Basketball_g07_c04"
    assert shown == {two, two[::-1]}
    assert {p.split for p in read_pairs(out)[0]} == {"train"}


def test_the_excerpt_of_ava_keeps_the_authors_labels_and_minutes(stvr, shared, tmp_path):
    annotations = shared / "data/annotations/ava"
    excerpt = annotations / "ava_val_v2.2_excerpt_1j20qq1JyX4_0902-0969.csv"
    ended = stvr("prepare", "ava", excerpt, "--labels", annotations / "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
                 "--protocol", "released", "--out", tmp_path / "pairs.json")
    assert ended.status == 0, ended.err
    assert "stvr: references lie between 900 and 1800 s" in ended.err
    done = defaultdict(set)
    for _, second, *_, action, person in (line.split(",") for line in excerpt.read_text().split()):
        done[second, person].add(int(action))
    lists = json.loads((annotations / "stvr_val_test.json").read_text())
    for split, labels in zip(("test", "val"), lists, strict=True):
        assert f"stvr: held out for {split} ({sum(set(label) in done.values() for label in labels)}): " in ended.err
    assert min(pair.reference.start for pair in read_pairs(tmp_path / "pairs.json")[0]) >= 900 * 3


def test_another_label_map_is_used_without_the_authors_labels(stvr, shared, tmp_path):
    animals = shared / "data/annotations/ava_format_animals"
    asked = ["prepare", "ava", animals / "ava_val_v2.1.csv", "--train", animals / "ava_train_v2.1.csv", "--labels",
             animals / "ava_action_list_v2.1.pbtxt", "--out", tmp_path / "pairs.json"]
    assert stvr(*asked).status == 2
    ended = stvr(*asked, "--held-out", "none", "--excluded", animals / "ava_val_excluded_timestamps_v2.1.csv")
    assert ended.status == 0, ended.err
    assert "stvr: nothing is held out" in ended.err
    ended = stvr(*asked, "--held-out", "Walking;Foraging")
    assert ended.status == 0, ended.err
    assert "stvr: held out for test (2): Foraging; Walking" in ended.err
    assert {p.label for p in read_pairs(tmp_path / "pairs.json")[0] if p.split == "test"} <= {"3", "5"}


def test_a_folder_gives_its_videos_in_order(tmp_path):
    for name in ("b.MP4", "a.webm", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in video_files([tmp_path, tmp_path / "notes.txt"])] == ["a.webm", "b.MP4", "notes.txt"]


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "1;2", "one,two", "1,,2", "nan,2", "1,inf"])
def test_two_numbers_are_two_numbers(text):
    assert edges("1.5, -2", 2, "--span START,STOP") == [1.5, -2]
    with pytest.raises(ValueError, match="wanted --span START,STOP, got"):
        edges(text, 2, "--span START,STOP")


def test_the_version_is_printed(stvr):
    ended = stvr("--version")
    assert (ended.status, ended.out, ended.err) == (0, f"{__version__}\n", "")
