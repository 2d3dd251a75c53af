"""How fast this machine is at every stage, and what one more query and one more hour of video cost."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from stvr.jobs.bench_stages import CLIPS_A_SECOND, STAGES, Bench, Row
from stvr.machine import processor
from stvr.render.tables import Table, cell_text
from stvr.structures import ClipSpec
from stvr.version import __version__
from stvr.video.decode import probe
from stvr.video.encode import write_video
from stvr.world.options import world_options
from stvr.world.scenes import build_scene

CLIPS_AN_HOUR = 3600 * CLIPS_A_SECOND
MADE_SECONDS = 4  # of the video that is made where none is given


@dataclass(frozen=True, slots=True)
class Costs:
    """What follows from the stages for one process. Seconds of this machine, for an hour of video.

    hour_seconds: to extract and look at one more hour. hour_bytes: of the store. query_seconds: of one more query of an
    hour that is in the store; looked_seconds: that has been looked at as well. live_queries: how many queries a live
    source can be asked in real time; 0 where the machine is too slow for one.
    """

    hour_seconds: float
    hour_bytes: float
    query_seconds: float
    looked_seconds: float
    live_queries: int


@dataclass(frozen=True, slots=True)
class BenchReport:
    about: Mapping[str, Any]
    rows: Sequence[Row]
    costs: Costs

    def to_json(self) -> dict[str, Any]:
        rows = [asdict(row) | {"times_real_time": row.times_real_time} for row in self.rows]
        return {"about": dict(self.about), "stages": rows, "costs": asdict(self.costs)}

    def tables(self) -> list[Table]:
        stages = [[row.stage, row.how, row.clips_per_second, row.times_real_time, row.note] for row in self.rows]
        costs = self.costs
        marginal = [
            ["one more hour of video", f"{costs.hour_seconds:,.0f} s", f"{costs.hour_bytes / 2**30:.2f} GiB of store"],
            ["one more query of an hour in the store", f"{costs.query_seconds:,.1f} s", "read, looked at, asked"],
            ["one more query of an hour looked at before", f"{costs.looked_seconds:,.2f} s", "asked alone"],
            ["queries of one live source", f"{costs.live_queries:,}", "in real time, beside all that they share"],
        ]
        about = ", ".join(f"{name} {value}" for name, value in self.about.items())
        return [Table(f"Every stage alone ({about})", ["stage", "how", "clips/s", "x real time", ""], stages),
                Table("What one more costs, one process, a stage after the other", ["", "", ""], marginal)]  # fmt: skip


def bench(
    video: Path | None = None, *, device: str = "cpu", seconds: float = 2.0, image_size: int = 320,
    runtimes: Sequence[str] = (), report: Callable[[str], None] = lambda stage: None,
) -> BenchReport:  # fmt: skip
    """Measures each stage for about so many seconds, on a video that is made or given.

    image_size: of the pictures that the backbone sees. runtimes: of those that have to compile first. ValueError for a
    video that cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = made_video(Path(folder) / "made.mp4", image_size) if video is None else video
        info, clip = probe(file), ClipSpec(image_size=image_size, context="video")
        clips = info.count_clips(clip)
        measuring = Bench(info, clip, device, seconds, Path(folder), tuple(runtimes))
        rows: list[Row] = []
        for name, stage in STAGES.items():
            report(name)
            rows += stage(measuring)
    about = {
        "stvr": __version__, "torch": torch.__version__, "processor": processor(), "device": device_name(device),
        "threads": torch.get_num_threads(), "python": platform.python_version(),
        "video": f"{info.width} x {info.height}, {info.codec}, {clips} clips", "image size": image_size,
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    return BenchReport(about, rows, costs_of(rows, measuring.bytes_a_clip))


def markdown(table: Table) -> str:
    """The title, then a line a row."""
    rows = [table.columns, ["---"] * len(table.columns),
            *([cell_text(cell, "") for cell in row] for row in table.rows)]  # fmt: skip
    return "\n".join([f"{table.title}\n", *(f"| {' | '.join(map(str, row))} |" for row in rows), ""])


def made_video(path: Path, image_size: int) -> Path:
    """A few seconds of the action world."""
    options = world_options("small", {"image_size": image_size // 2 * 2, "seconds": (MADE_SECONDS, MADE_SECONDS)})
    scene = build_scene(options, "train_0000")
    write_video(path, parts_of(scene.frames()), options.fps, options.image_size)
    return path


def parts_of(frames: Any) -> Iterator[Any]:
    yield frames


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def costs_of(rows: Sequence[Row], bytes_a_clip: float) -> Costs:
    """Seconds a clip of the stages that follow each other."""
    spent = {row.stage: 1 / row.clips_per_second for row in rows if row.clips_per_second}
    shared = spent["decode and resize"] + spent["backbone in context"] + spent["head looks"]
    left = 1 / CLIPS_A_SECOND - shared
    return Costs(
        CLIPS_AN_HOUR * (shared + spent["store writes"]),
        CLIPS_AN_HOUR * bytes_a_clip,
        CLIPS_AN_HOUR * (spent["store reads"] + spent["head looks"] + spent["head is asked"]),
        CLIPS_AN_HOUR * spent["head is asked"],
        max(0, int(left / spent["head is asked"])),
    )
