"""stvr score: detections against ground truth, without a model; one JSON object on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Score detections against ground truth: one JSON object with mAP.")

Truth = Annotated[Path, typer.Option(help="The file of the ground truth.", show_default=False)]
Found = Annotated[Path, typer.Option(help="The file of the detections, with scores.", show_default=False)]


@app.command("ava")
def score_ava_command(
    ground_truth: Truth,
    detections: Found,
    labels: Annotated[Path, typer.Option(help="The classes that count: .pbtxt of either dialect.", show_default=False)],
    exclude: Annotated[Path | None, typer.Option(help="CSV of video,second to ignore.")] = None,
    evaluator: Annotated[str, typer.Option(help="Whose rules: official, mmaction2 or slowfast.")] = "official",
    max_per_frame: Annotated[
        int | None,
        typer.Option(min=0, help="How many rows of a keyframe count, best first; 0: all.", show_default="official: 50"),
    ] = None,
) -> None:
    """Frame-mAP as AVA's official evaluator counts it, on its CSV: video,second,x1,y1,x2,y2,action_id[,score].

    Detections at keyframes that the ground truth does not list are left out; mmaction2 and slowfast count them false.
    """
    from stvr.jobs.score import score_ava

    show(score_ava(ground_truth, detections, labels, exclude, evaluator=evaluator, max_per_frame=max_per_frame))


@app.command("released")
def score_released_command(
    case: Annotated[Path, typer.Argument(help="JSON: pairs and detections.", show_default=False)],
) -> None:
    """Frame-mAP as the released program of Feng et al. counts it, on a dump of that program."""
    from stvr.jobs.score import score_released

    show(score_released(case))


@app.command("video")
def score_video_command(
    ground_truth: Truth,
    detections: Found,
    iou: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=1.0, help="A threshold, as often as you like; 0.2 and 0.5 if none. mAP: the first."),
    ] = None,
    tube_iou: Annotated[
        str, typer.Option(help="temporal_x_spatial (MultiSports, UCF101-24) or volume (Ego4D).")
    ] = "temporal_x_spatial",
    area: Annotated[str, typer.Option(help="all_point (VOC) or trapezoid (ACT, MultiSports).")] = "all_point",
    inclusive: Annotated[
        bool, typer.Option("--inclusive", help="Boxes are in pixels and include their last row and column.")
    ] = False,
) -> None:
    """video-mAP of linked tubelets in JSON, JSON Lines or CSV (stvr/annotations/tubelets_file.py describes them)."""
    from stvr.jobs.score import score_video
    from stvr.metrics.video_map import VIDEO_THRESHOLDS

    thresholds = iou or VIDEO_THRESHOLDS
    show(score_video(ground_truth, detections, thresholds, tube_iou=tube_iou, area=area, inclusive=inclusive))


def show(results: Mapping[str, Any]) -> None:
    """The object on standard output, what was left out on standard error too."""
    print(json.dumps(results, indent=1))
    for line in results.get("notes", ()):
        print(f"stvr: {line}", file=sys.stderr)
