"""The recipes of the paper's table and of one-shot figures run dry: made videos in the official forms, tiny heads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from official import (
    DETECTOR,
    SMALL,
    ava,
    cells,
    detector_weights,
    jhmdb,
    real_clips,
    run_script,
    ucf101_24,
)

FEATURES = {"WEIGHTS": "analytic", "ENDPOINT": "Mixed_3b", "IMAGE_SIZE": 64}
UNSEEN = ("clap", "sit", "wave", "throw", "pullup", "catch")


@pytest.fixture
def small(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "small.toml").write_text(SMALL)
    return {**FEATURES, "PRESET": "small", "CONFIG": tmp_path / "small.toml"}


def measured(folder: Path, name: str = "frame_map") -> str:
    return f"{100 * json.loads((folder / 'eval.json').read_text())[name]['mean']['0.5']:.1f}"


@pytest.mark.slow
def test_the_papers_table_on_ava_comes_from_its_official_files(tmp_path, small):
    folder = ava(tmp_path / "ava", {"f1": 1, "f2": 1, "f3": 2, "f4": 2, "t1": 3, "t2": 3, "t3": 3}, {"t1", "t2", "t3"})
    ended = run_script("reproduce_ava.sh", folder, folder / "videos", tmp_path / "work", **small, HELD_OUT="3",
                       ROWS="none", PROTOCOLS="debiased")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    row, chance, middle = cells(tmp_path / "work/table.md")
    shown = measured(tmp_path / "work/debiased/none.eval")
    assert row == ["none", "18.8", shown, "-", "3 of 3"]  # each asks another; of one label, so nobody is a stranger
    assert [each[2] for each in (chance, middle)] == ["100.0", "100.0"]  # all true boxes are targets


@pytest.mark.slow
def test_the_papers_table_on_ucf101_24_has_both_protocols_and_goes_on_where_it_stopped(tmp_path, small):
    labels = {"Biking": 2, "Diving": 5, "Fencing": 6}
    videos = {f"v_{name}_g0{group}_c01": label for name, label in labels.items() for group in (1, 2)}
    folder = ucf101_24(tmp_path / "ucf", videos)
    words = ["reproduce_ucf101_24.sh", folder / "pyannot.pkl", folder / "videos", tmp_path / "work"]
    given = {**small, "HELD_OUT": "Diving", "ROWS": "warp_lstm"}
    ended = run_script(*words, **given)
    assert ended.returncode == 0, ended.stderr
    work = tmp_path / "work"
    both = [cell for protocol in ("released", "debiased")
            for cell in (measured(work / protocol / "warp_lstm.eval"), "-", "2 of 2")]  # fmt: skip
    assert cells(work / "table.md")[0] == ["warp_lstm", "59.4", *both]
    kept = [path for name in ("*.safetensors", "eval.json", "released.json") for path in work.rglob(name)]
    written = {path: path.stat().st_mtime_ns for path in kept}
    assert len(written) == 2 * (2 + 1) + 1  # head and state of two runs, two figures, the pairs
    assert run_script(*words, **given).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.slow
def test_one_shot_on_jhmdb_asks_six_unseen_classes_with_supports_of_the_training_list(tmp_path, small):
    videos = {f"{name}{number}": name for name in (*UNSEEN, "run") for number in (1, 2)}
    folder = jhmdb(tmp_path / "jhmdb", videos, {f"{name}2" for name in UNSEEN}, seconds=0.7)
    given = {**small, "LABEL_SPLITS": 1, "SEEDS": "0 1", "PROPOSALS": "boxes", "DETECTOR": DETECTOR,
             "DETECTOR_WEIGHTS": detector_weights(tmp_path / "boxes.pth")}  # fmt: skip
    ended = run_script("reproduce_jhmdb.sh", folder, folder / "videos", tmp_path / "work", **given)
    assert ended.returncode == 0, ended.stderr
    (row,) = cells(tmp_path / "work/table.md")
    assert [*row[:2], *row[4:]] == ["boxes", "1", "2", "36 of 36"]  # six supports, each asked of six videos
    two = [float(measured(tmp_path / f"work/split1.boxes.seed{seed}")) for seed in (0, 1)]
    assert float(row[2].split(" ± ")[0]) == pytest.approx(sum(two) / 2, abs=0.11)


@pytest.mark.slow
def test_across_data_sets_every_class_is_asked_and_none_is_trained(tmp_path):
    labels = {"Biking": 2, "Diving": 5, "Fencing": 6}
    videos = {f"v_{name}_g0{group}_c01": label for name, label in labels.items() for group in (1, 2)}
    folder = ucf101_24(tmp_path / "ucf", videos)
    (folder / "testlist01.txt").write_text("".join(f"{name}/v_{name}_g01_c01.avi\n" for name in labels))
    given = {**FEATURES, "ENDPOINT": "Mixed_4c,Mixed_5c", "SEEDS": "0", "PROPOSALS": "map",
             "STATISTICS": tmp_path / "work/features.zarr"}  # fmt: skip
    ended = run_script("reproduce_across.sh", folder, folder / "videos", tmp_path / "work", **given)
    assert ended.returncode == 0, ended.stderr
    shown = [measured(tmp_path / "work/map.seed0", name) for name in ("frame_map", "shuffled_query")]
    assert cells(tmp_path / "work/table.md") == [["map", "all", *shown, "1", "9 of 9"]]  # three of three videos
    pairs = (tmp_path / "work/seed0.json").read_text()
    assert '"split":"train"' not in pairs


@pytest.mark.slow
def test_real_clips_of_ones_own_become_the_tables_and_plots(tmp_path):
    clips = {f"{name}_{group}": ("mine", name, group) for name in ("wave", "run") for group in ("anna", "ben")}
    clips |= {f"w_{name}_{group}": ("Weizmann", name, group) for name in ("bend", "jump") for group in ("ido", "eli")}
    folder = real_clips(tmp_path / "clips", clips)
    ended = run_script("reproduce_real.sh", folder, tmp_path / "work", WEIGHTS="analytic", IMAGE_SIZE=64,
                       STATISTICS=tmp_path / "work/{context}")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "work/real.md").read_text()
    assert page.count("| outside Weizmann, 4 |") == 18 + 8  # every clip asks: of which, and of where
    assert page.count("| Weizmann, 4 |") == 18 + 8 + 7  # and of when: four clips, each asked of the other actor's video
    assert {path.name for path in (tmp_path / "work").glob("*.svg")} == {f"real_{name}.svg" for name in
                                                                         ("which", "where", "when")}  # fmt: skip


SMALLER = """
import runpy, sys
from stvr.jobs import demo
training = {"steps": 2, "batch_size": 2, "warmup_steps": 1}
world = {"seconds": (2, 2), "num_test_videos": 4, "num_train_videos": 3, "image_size": 64}
demo.SIZES["tiny"] = demo.DemoSize("tiny", world, 64, "Mixed_3b", training)
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_the_table_of_the_world_is_made_from_nothing_and_goes_on_where_it_stopped(tmp_path):
    (tmp_path / "smaller.py").write_text(SMALLER)
    given = {"PYTHON": f"{sys.executable} {tmp_path / 'smaller.py'}", "SIZE": "tiny", "SEEDS": 1,
             "OPTIONS": "--worlds plain"}  # fmt: skip
    words = ["reproduce_action_world.sh", tmp_path / "work"]
    ended = run_script(*words, **given, ROWS="nearest")
    assert ended.returncode == 0, ended.stderr
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("figures.json")}
    assert kept
    assert {path.parent.name for path in kept} == {"nearest_0"}
    assert run_script(*words, **given, ROWS="nearest").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert "| nearest |" in (tmp_path / "work/table.md").read_text()


@pytest.mark.parametrize(("script", "words", "said"), [
    ("reproduce_ava.sh", 3, "there is no ava_train_v2.1.csv"), ("reproduce_real.sh", 2, "there is no manifest.csv"),
    ("reproduce_across.sh", 3, "holds neither pyannot.pkl nor puppet_mask"),
    ("reproduce_jhmdb.sh", 3, "puppet_mask. Give the published folders"),
    ("reproduce_ucf101_24.sh", 3, "Give pyannot.pkl"),
])  # fmt: skip
def test_what_is_missing_is_said_in_one_line(tmp_path, script, words, said):
    ended = run_script(script, *[tmp_path] * words)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert said in ended.stderr


RECIPES = ("ava", "ucf101_24", "jhmdb", "across", "real", "action_world", "strg", "stmodeling")


@pytest.mark.parametrize("script", RECIPES)
def test_without_its_folders_a_recipe_says_how_it_is_called(script):
    ended = run_script(f"reproduce_{script}.sh")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith("usage: ")
