"""The demo: its sizes, and that every stage hands on to the next."""

from __future__ import annotations

import json

import pytest

from stvr.jobs.demo import SIZES, DemoSize, Places, demo
from stvr.jobs.train import train_options
from stvr.world.options import world_options

SMALLEST = DemoSize(
    "tiny",
    {"num_test_videos": 5, "image_size": 64, "seconds": (2, 2), "actors": (2, 2)},
    image_size=64,
    endpoint="Mixed_3b",
    training={"steps": 2, "batch_size": 2, "flip": "on"},
    max_pairs=3,
)


@pytest.mark.parametrize("name", ["tiny", "small", "full"])
def test_every_size_is_made_of_options_that_exist(name):
    size = SIZES[name]
    assert world_options(size.world, size.dials).image_size == size.image_size
    train_options("small", flags=size.training)


def test_the_demos_are_those_that_were_published():
    """As benchmarks/results/demo_cpu.md says."""
    sizes = {"tiny": ((60, 20, 80), (120, 60), False), "small": ((150, 48, 112), (1200, 150), True)}
    for name, (videos, asked, mirrored) in sizes.items():
        size = SIZES[name]
        world, training = world_options(size.world, size.dials), train_options("small", flags=size.training)
        assert (world.num_train_videos, world.num_test_videos, size.image_size) == videos
        assert (training.steps, size.max_pairs) == asked
        assert (size.mirrored, size.endpoint) == (mirrored, "Mixed_3c")


def test_the_stages_follow_one_another_and_a_second_start_repeats_none(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(SIZES, "smallest", SMALLEST)
    report = demo(tmp_path / "demo", size="smallest", steps=1)
    printed = capfd.readouterr()
    for stage in ("synth", "extract", "prepare", "train", "eval", "locate"):
        assert f"stvr demo: {stage}" in printed.err
    places = Places(tmp_path / "demo")
    page = report.read_text()
    assert "i3d at Mixed_3b, weights analytic, 64 px" in page
    assert page.count("Solid: the first answer") == len(list(places.answers.glob("*/answer.mp4"))) > 0
    results = json.loads((places.evaluation / "eval.json").read_text())
    before = {path: path.stat().st_mtime_ns for path in (places.run / "head.safetensors", places.world / "world.json")}

    demo(tmp_path / "demo", size="smallest", steps=1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads((places.evaluation / "eval.json").read_text()) == results
