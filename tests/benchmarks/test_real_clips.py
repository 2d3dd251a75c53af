"""benchmarks/bench_real.py and its parts: what cannot be read is left out, named and counted, and the rest is asked."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clock import Reader, run
from official import real_clips

from stvr.store import FeatureStore
from stvr.video.decode import probe

ROOT = Path(__file__).parents[2]
CLIPS = {f"{name}_{group}": ("Weizmann", name, group) for name in ("wave", "run") for group in ("anna", "ben")}


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Four clips, a file that is none, and a store of them."""
    folder = real_clips(tmp_path_factory.mktemp("real"), CLIPS, seconds=0.7)
    (folder / "broken.avi").write_bytes(b"this is no video")
    run([folder / f"{name}.avi" for name in (*CLIPS, "broken")], folder / "video", Reader())
    return folder, FeatureStore.open(folder / "video")


@pytest.fixture
def folder(made, tmp_path):
    """A copy without the store."""
    for path in made[0].iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    return tmp_path


def read(folder: Path, store: FeatureStore) -> list[str]:
    return [clip.name for clip in importlib.import_module("real_clips").read_clips(folder / "manifest.csv", store)]


def test_whoever_is_not_in_the_store_is_left_out_named_and_counted(made, folder, capsys):
    with (folder / "manifest.csv").open("a") as file:
        file.write("broken.avi,Weizmann,run,carl,wave_anna.json\n")
    assert read(folder, made[1]) == [*CLIPS]
    first, last = capsys.readouterr().err.splitlines()
    assert first == f"manifest.csv, line 6: broken.avi is left out: {made[1]} does not have it."
    assert last.startswith("1 of 5 clips of ")


@pytest.mark.parametrize(("boxes", "said"), [
    (None, "there is no file of boxes run_ben.json"), ('{"width": 64', "run_ben.json is no JSON with width"),
    ('{"width": 64, "height": 48, "fps": 12}', "run_ben.json is no JSON with width"),
    ('{"width": 64, "height": 48, "fps": 12, "tubes": []}', "run_ben.json has a box in no clip"),
    ('{"width": 64, "height": 48, "fps": 12, "tubes": [{"sf": 0, "boxes": []}]}', "run_ben.json has a box in no clip"),
])  # fmt: skip
def test_whoever_has_no_boxes_is_left_out_in_one_line(made, folder, capsys, boxes, said):
    if boxes is None:
        (folder / "run_ben.json").unlink()
    else:
        (folder / "run_ben.json").write_text(boxes)
    assert read(folder, made[1]) == ["wave_anna", "wave_ben", "run_anna"]
    first, last = capsys.readouterr().err.splitlines()
    assert f"line 5: run_ben.avi is left out: {said}" in first
    assert last.startswith("1 of 4 clips of ")


def test_a_tube_without_boxes_leaves_the_others(made, folder, capsys):
    boxes = json.loads((folder / "run_ben.json").read_text())
    (folder / "run_ben.json").write_text(json.dumps({**boxes, "tubes": [*boxes["tubes"], {"sf": 0, "boxes": []}]}))
    assert read(folder, made[1]) == [*CLIPS]
    assert capsys.readouterr().err == ""


def main(monkeypatch, folder: Path) -> int:
    """The exit status of bench_real.py; a small network takes I3D's place."""
    module = importlib.import_module("bench_real")
    words = (folder / "manifest.csv", "--work", folder / "work", "--out", folder / "real.md")
    monkeypatch.setattr(module, "load_backbone", lambda *rest: Reader())
    monkeypatch.setattr(module, "extract", lambda videos, place, backbone, clip: run(videos, place, backbone))
    monkeypatch.setattr(sys, "argv", ["bench_real.py", *map(str, words)])
    threads = torch.get_num_threads()
    try:
        module.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        torch.set_num_threads(threads)
    return 0


def test_where_nobody_is_left_a_line_says_so_with_status_2(monkeypatch, folder, capsys):
    (folder / "manifest.csv").write_text("file,set,class,group,boxes\nbroken.avi,mine,run,anna,wave_anna.json\n")
    assert main(monkeypatch, folder) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("broken is left out: ")
    assert lines[-1].startswith("bench_real.py: none of the 1 clips of ")
    assert not any("Traceback" in line for line in lines)
    assert not (folder / "real.md").exists()


def test_a_manifest_without_a_column_is_refused_with_those_that_it_needs(monkeypatch, folder, capsys):
    (folder / "manifest.csv").write_text("file,set,class,group\nwave_anna.avi,mine,run,anna\n")
    assert main(monkeypatch, folder) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no column boxes; it needs file, set, class, group, boxes" in line


def test_an_actor_whose_clip_is_left_out_is_joined_and_asked_without_it(made, folder, monkeypatch):
    from real_clips import read_clips
    from real_time import join_actors, when

    real_time = sys.modules["real_time"]
    whole = join_actors(read_clips(folder / "manifest.csv", made[1]), folder / "joined")
    (folder / "run_ben.json").unlink()
    clips = read_clips(folder / "manifest.csv", made[1])
    less = join_actors(clips, folder / "joined")
    anna, ben = less
    assert anna.path == whole[0].path
    assert ben.path != whole[1].path  # or else features of the longer one would stand for it
    assert [len(probe(each.path).ticks) for each in (anna, ben)] == [2 * 16, 16]
    monkeypatch.setattr(real_time, "query_of", lambda *rest: None)
    monkeypatch.setattr(real_time, "figures", lambda session, query, video, truth: {"length": float(len(truth))})
    asked = [each.clip.name for each in when(None, clips, less)]  # type: ignore[arg-type]
    assert sorted(asked) == ["wave_anna", "wave_ben"]  # of run nobody else has one


def test_a_joined_video_that_was_broken_off_is_made_again(made, folder, monkeypatch):
    from real_clips import read_clips
    from real_time import join_actors

    real_time, clips = sys.modules["real_time"], read_clips(folder / "manifest.csv", made[1])

    def broken_off(path, spec):
        yield 0, np.random.default_rng(0).integers(0, 256, (99, 64, 64, 3), np.uint8), None  # enough to be written
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(real_time, "decode_clips", broken_off)
        with pytest.raises(KeyboardInterrupt):
            join_actors(clips, folder / "joined")
    joined = join_actors(clips, folder / "joined")
    assert [len(probe(each.path).ticks) for each in joined] == [2 * 16, 2 * 16]
