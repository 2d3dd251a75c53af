"""stvr bench: how fast is this machine?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import Device, usable


def bench(
    video: Annotated[
        Path | None, typer.Argument(help="A video of yours; else a few seconds are made.", show_default=False)
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="How long each figure is measured.")] = 2.0,
    image_size: Annotated[int, typer.Option(min=32, help="Side of the pictures that the backbone sees.")] = 320,
    runtime: Annotated[
        list[str] | None, typer.Option(help="Measure this runtime too, which has to compile first: compile, openvino.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of the tables.")] = False,
    device: Device = "cpu",
) -> None:
    """How fast this machine is at every stage, and what one more query and one more hour of video cost."""
    from stvr.jobs.bench import bench as run_bench
    from stvr.jobs.bench import markdown

    report = run_bench(
        video, device=usable(device), seconds=seconds, image_size=image_size, runtimes=runtime or (),
        report=lambda stage: print(f"stvr: measuring {stage}", file=sys.stderr, flush=True),
    )  # fmt: skip
    if as_json:
        print(json.dumps(report.to_json(), indent=1))
        return
    for table in report.tables():
        print(markdown(table))
