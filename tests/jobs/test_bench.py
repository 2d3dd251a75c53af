"""What `stvr bench` prints is what a stopwatch beside it would say, and what follows from that."""

from __future__ import annotations

import json
import time

import pytest

from stvr.jobs.bench import BenchReport, Costs, costs_of, made_video, markdown
from stvr.jobs.bench_stages import STAGES, Bench, Row
from stvr.video.decode import probe

STAGE_NAMES = {"decode", "resize", "decode and resize", "backbone", "backbone in context", "store writes",
               "store reads", "head looks", "head is asked", "search"}  # fmt: skip


def test_a_rate_is_that_of_the_clock(tmp_path):
    bench = Bench(None, None, "cpu", 0.3, tmp_path)
    assert bench.clips_per_second(lambda: time.sleep(0.05), 3) == pytest.approx(60, rel=0.2)


def test_costs_are_sums_over_an_hour():
    """An hour has 10,800 clips. A live source has a third of a second a clip: 0.01 + 0.1 + 0.02 of it are shared."""
    rates = {"decode and resize": 100.0, "backbone in context": 10.0, "head looks": 50.0, "store writes": 1000.0,
             "store reads": 200.0, "head is asked": 40.0, "decode": 7.0}  # fmt: skip
    costs = costs_of([Row(name, "", rate) for name, rate in rates.items()], 2000.0)
    assert costs.hour_seconds == pytest.approx(10_800 * 0.131)
    assert costs.hour_bytes == 21_600_000
    assert costs.query_seconds == pytest.approx(10_800 * (0.005 + 0.02 + 0.025))
    assert costs.looked_seconds == pytest.approx(270)
    assert costs.live_queries == 8  # (1/3 - 0.13) / 0.025 = 8.13
    slow = costs_of([Row(name, "", rate / 20) for name, rate in rates.items()], 0.0)
    assert slow.live_queries == 0


def test_a_video_of_ones_own_as_json(stvr, films):
    ended = stvr("bench", films[0], "--seconds", 0, "--image-size", 64, "--runtime", "abacus", "--json")
    assert ended.status == 0, ended.err
    said = json.loads(ended.out)
    assert said["about"]["video"] == "96 x 96, h264, 12 clips"
    assert {row["stage"] for row in said["stages"]} == STAGE_NAMES
    unknown, = [row for row in said["stages"] if "abacus" in row["how"]]
    assert unknown["clips_per_second"] is None
    assert "there is no runtime 'abacus'" in unknown["note"]
    rates = {row["stage"]: row["clips_per_second"] for row in said["stages"] if row["clips_per_second"]}
    assert all(row["times_real_time"] == pytest.approx(row["clips_per_second"] / 3) for row in said["stages"]
               if row["clips_per_second"])  # fmt: skip
    assert said["costs"]["looked_seconds"] == pytest.approx(10_800 / rates["head is asked"])
    assert all(f"measuring {name}" in ended.err for name in STAGES)


def test_without_a_video_one_is_made(tmp_path):
    info = probe(made_video(tmp_path / "made.mp4", 65))
    assert (info.width, info.height, info.duration) == (64, 64, 4)  # H.264 wants even sides


def test_the_tables_say_what_the_report_does():
    rows = [Row("decode", "h264", 300.0), Row("backbone", "torch", None, "cannot be had")]
    stages, costs = map(markdown, BenchReport({"stvr": "1"}, rows, Costs(7200.0, 2.0**30, 12.0, 3.0, 8)).tables())
    assert "| decode | h264 | 300 | 100 |  |" in stages
    assert "| backbone | torch |  |  | cannot be had |" in stages
    assert "| one more hour of video | 7,200 s | 1.00 GiB of store |" in costs
    assert "| queries of one live source | 8 |" in costs


def test_what_is_no_video_is_the_users_fault(stvr, tmp_path):
    ended = stvr("bench", tmp_path / "nothing.mp4")
    assert (ended.status, ended.err.strip()) == (2, f"stvr: {tmp_path}/nothing.mp4 does not exist.")
