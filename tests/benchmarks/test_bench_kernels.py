"""benchmarks/bench_kernels.py: what it needs, what it times, and what it says when something is wrong."""

import importlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from stvr.heads.assembly import MatchingOptions, build_matching
from stvr.propagation import Recurrent
from stvr.specs import ClipSpec, FeatureSpec, MapSpec
from stvr.training.loop import LoopOptions

ROOT = Path(__file__).parents[2]
ABSENT = ["zarr", "pydantic", "av", "typer", "pandas", "rich", "h5py", "scipy", "safetensors", "platformdirs",
          "unearth"]  # fmt: skip
EVERYTHING = """
import bench_kernels, paper_step
bench = bench_kernels.Bench("cpu", True, None)
cases = bench_kernels.cases_of(bench)
assert not bench.rows, bench.rows
names = {case.name for case in cases}
assert {"I3D to Mixed_4c", "training step", "recurrent step", "spline warp of two maps"} <= names
(step,) = [case for case in cases if case.name == "training step"]
assert bench_kernels.check_case(bench, step)
"""


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def run_without(absent, script):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "benchmarks"))),
                   "OMP_NUM_THREADS": "1"}  # fmt: skip
    script = f"import sys; sys.modules.update(dict.fromkeys({absent}))\n{script}"
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)


def test_every_case_can_be_made_and_a_step_be_taken_where_only_torch_triton_and_numpy_are():
    """scripts/gpu_check.sh runs on machines where nothing else is installed."""
    done = run_without(ABSENT, EVERYTHING)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_torchvision_the_training_step_says_why_it_is_missing():
    script = "from bench_kernels import *\nprint({each.name for each in cases_of(Bench('cpu', True, None))})"
    done = run_without([*ABSENT, "torchvision"], script)
    assert done.returncode == 0, done.stderr
    said, made = done.stdout.splitlines()
    assert "torchvision" in said
    assert "recurrent step" in made
    assert "training step" not in made


def test_the_step_that_is_timed_is_that_of_the_papers_preset():
    paper_step = importlib.import_module("paper_step")
    spec = FeatureSpec("i3d", "made", "00", (MapSpec("Mixed_4c", 16, 2, 512),), ClipSpec(image_size=320))
    with torch.device("meta"):
        ours, theirs = paper_step.paper_head(), build_matching(MatchingOptions(), spec)
    sizes = [{name: tuple(each.shape) for name, each in head.state_dict().items()} for head in (ours, theirs)]
    assert sizes[0] == sizes[1]
    plain = [{name: value for name, value in vars(head).items() if not name.startswith("_") and name != "training"}
             for head in (ours, theirs)]  # fmt: skip
    assert plain[0] == plain[1]
    assert vars(ours.proposals)["positive_from"] == vars(theirs.proposals)["positive_from"]
    assert isinstance(ours.propagation, Recurrent)
    defaults, timed = LoopOptions(), asdict(paper_step.PaperLoop())
    assert {name: getattr(defaults, name) for name in timed} == {**timed, "lr": 0.03, "precision": "auto"}


@pytest.fixture
def bench(tmp_path):
    return importlib.import_module("measuring").Bench("cpu", True, tmp_path)


def read(tmp_path):
    return json.loads((tmp_path / "kernels_cpu_small.json").read_text())["rows"]


def case_of(errors, ran):
    """Three ways that note when they run."""
    cases = importlib.import_module("cases")
    variant = importlib.import_module("measuring").Variant

    class Made(cases.Case):
        name, size, tolerance = "made", "1", 0.1

        def check(self, bench):
            return errors

        def races(self, bench):
            yield cases.Race("made, forward", {name: variant(lambda name=name: ran.append(name)) for name in errors})

    return Made()


def test_what_is_wrong_or_not_a_number_is_not_timed_and_says_so(bench, tmp_path):
    cases, ran = importlib.import_module("cases"), []
    case = case_of({"right": 0.01, "wrong": 0.5, "broken": float("nan")}, ran)
    assert not cases.check_case(bench, case)
    assert not ran
    cases.time_case(bench, case)
    assert {*ran} == {"right"}
    rows = {row["variant"]: row for row in read(tmp_path)}
    assert {name for name, row in rows.items() if row["failed"]} == {"wrong", "broken"}
    assert "wrong" in rows["wrong"]["note"]
    assert rows["wrong"]["milliseconds"] is None
    assert rows["right"]["milliseconds"] >= 0


def test_everything_is_checked_before_anything_is_timed(bench, monkeypatch):
    script, order = importlib.import_module("bench_kernels"), []

    class Noted(importlib.import_module("cases").Case):
        def __init__(self, name):
            self.name, self.size = name, ""

        def check(self, bench):
            order.append(f"check {self.name}")
            return {}

        def races(self, bench):
            order.append(f"time {self.name}")
            return iter(())

    monkeypatch.setattr(script, "GROUPS", {"a": lambda bench: iter([Noted("a"), Noted("b")])})
    monkeypatch.setattr(script, "ceilings", lambda bench: order.append("ceilings"))
    script.run(bench, 60)
    assert order == ["check a", "check b", "ceilings", "time a", "time b"]


def test_a_row_is_on_disk_as_soon_as_it_is_known_and_a_failure_does_not_end_the_rest(bench, tmp_path):
    script = importlib.import_module("bench_kernels")

    def fails():
        raise RuntimeError("out of\nmemory")

    script.attempt(bench, "first", fails)
    assert [row["note"] for row in read(tmp_path)] == ["failed: RuntimeError: out of"]
    bench.add("second", "", "", (1.0, "wall"))
    assert [row["part"] for row in read(tmp_path)] == ["first", "second"]
    assert "| second |" in (tmp_path / "kernels_cpu_small.md").read_text()


def test_what_finds_no_time_left_says_so(bench, tmp_path, monkeypatch):
    script = importlib.import_module("bench_kernels")
    monkeypatch.setattr(script, "GROUPS", {"a": lambda bench: iter([case_of({}, [])])})
    script.run(bench, -1)
    assert [row["note"] for row in read(tmp_path)] == ["not run: no time left"] * 2


def test_predictions_follow_from_bytes_flops_launches_and_chains():
    predictions = importlib.import_module("predictions")
    chip = predictions.Chip(copy=1e12, bfloat16=1e15, float32=5e14, cache=5e7)
    work = predictions.Work(bytes=8e9, flop=3e12, launches=4, chain=1e-3)
    assert predictions.floor_seconds(work, chip) == pytest.approx(8e-3)  # 8 GB at 1 TB/s; 3 TFLOP need but 3 ms
    assert predictions.floor_seconds(replace(work, bytes=0.0), chip, wide=True) == pytest.approx(6e-3)
    assert predictions.predicted_seconds(work, chip) == pytest.approx(10e-3 + 4 * 2.5e-6 + 1e-3)  # at 80 % of the copy
    assert predictions.chip_of("NVIDIA H100 80GB HBM3").copy == 3.0e12
    assert predictions.chip_of("NVIDIA A100-SXM4-80GB") is None


def test_the_record_of_predictions_is_what_the_function_says():
    predictions = importlib.import_module("predictions")
    assert "\n".join(predictions.table()) in predictions.RECORD.read_text(encoding="utf-8")


def test_every_operation_has_a_prediction():
    operations, predictions = map(importlib.import_module, ("kernel_operations", "predictions"))
    for name in operations.OPERATIONS:
        there = predictions.operation_work(name, 8, 1024, 2, backward=False)
        back = predictions.operation_work(name, 8, 1024, 2, backward=True)
        assert there is not None
        assert back.bytes > there.bytes >= operations.OPERATIONS[name].moved[0] * 8 * 1024 * 400 * 2
