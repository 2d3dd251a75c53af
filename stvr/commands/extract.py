"""stvr extract: videos -> backbone -> store."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import (
    Device,
    FlowWeights,
    Store,
    Videos,
    Weights,
    done,
    exit_telling,
    named_in,
    shown_videos,
    sources,
    tell_doubts,
    usable,
)


def extract(
    videos: Videos,
    store: Store,
    pairs: Annotated[Path | None, typer.Option(help="Only the videos that a pairs file names.")] = None,
    backbone: Annotated[
        str, typer.Option(help="The backbone: i3d, resnet3d_50, or torchvision's: resnet50, s3d and more.")
    ] = "i3d",
    weights: Weights = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="Where the backbone is cut; i3d: Mixed_4c. A,B keeps both maps; A.mean is pooled."),
    ] = None,
    context: Annotated[str, typer.Option(help="What the features of a clip see: the clip, or the video.")] = "clip",
    cuts: Annotated[
        str | None,
        typer.Option(help="keep: a video's context ends at hard cuts; ignore: it goes on.", show_default="keep"),
    ] = None,
    image_size: Annotated[int, typer.Option(min=32, help="Frames are resized to squares of this many pixels.")] = 320,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    runtime: Annotated[str, typer.Option(help="What runs it: auto, torch, winograd, compile or openvino.")] = "auto",
    flow: Annotated[str, typer.Option(help="Optical flow beside the features: none, ilk, tvl1 or raft.")] = "none",
    flow_weights: FlowWeights = None,
    boxes: Annotated[str | None, typer.Option(help="Also find region boxes, with this torchvision detector.")] = None,
    boxes_weights: Annotated[Path | None, typer.Option(help="Its weights, unless they have been fetched.")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Also extract the features of mirrored frames.")] = False,
    colour_order: Annotated[str, typer.Option(help="RGB, or BGR as in the authors' program.")] = "RGB",
    resize: Annotated[str, typer.Option(help="bilinear, or tf1 as in the authors' program.")] = "bilinear",
    compress: Annotated[str, typer.Option(help="How features are kept: lossless, bits7 or int8.")] = "lossless",
    batch_size: Annotated[int, typer.Option(min=1, help="Clips that go through the backbone together.")] = 8,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that share the cores or feed the GPUs; actors with ray.",
                     show_default="1, on a GPU as many as cores"),
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or ray for the cluster at RAY_ADDRESS.")] = "local",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds without progress after which a video fails.")] = 120.0,
    retry: Annotated[bool, typer.Option("--retry", help="Try files again that an earlier run found broken.")] = False,
    accept_doubtful: Annotated[
        bool, typer.Option("--accept-doubtful", help="Exit with status 0 though videos are not as they promise.")
    ] = False,
    device: Device = "cpu",
) -> None:
    """Stage one: videos -> backbone -> store. If it is stopped, start it again and it goes on.

    Several runs may fill one store. A file that cannot be extracted is noted there with the reason; exit status 1, as
    for a doubtful one, whose clock jumps or that is shorter than it promises, but which is in the store.
    """
    from stvr.backbones import load_backbone
    from stvr.extract.default_weights import runtime_for, weights_for
    from stvr.extract.detector import detect, load_detector
    from stvr.extract.flow import load_flow
    from stvr.extract.job import by_name
    from stvr.extract.job import extract as run_extract
    from stvr.extract.workers import usual_workers
    from stvr.store import FeatureStore
    from stvr.structures import ClipSpec

    if boxes_weights and not boxes:
        raise ValueError("--boxes-weights is for --boxes. Give both, or neither.")
    paths, clip = by_name(sources(videos)), ClipSpec(image_size=image_size)
    if pairs is not None:
        paths, clip = named_in(pairs, paths, image_size)
    clip = replace(clip, context=context, cuts=cuts or ("keep" if context == "video" else "ignore"))
    flows = load_flow(flow, clip.image_size, flow_weights, usable(device))
    weights = weights_for(store, endpoint) if weights is None and backbone == "i3d" else weights
    runtime = runtime_for(store, context) if runtime == "auto" else runtime
    network = load_backbone(backbone, weights, endpoint, precision, device, runtime)
    detector = load_detector(boxes, boxes_weights, device) if boxes else None
    report = run_extract(
        paths, store, network, clip, batch_size=batch_size, flow=flows, flip=flip, colour_order=colour_order,
        resize=resize, compress=compress, workers=workers or usual_workers(device, engine), engine=engine,
        timeout=timeout, retry=retry,
    )  # fmt: skip
    done(store, f"{len(report.done)} videos extracted ({report.clips_computed} clips), "
                f"{len(report.skipped)} already there, {len(report.failed)} failed")
    tell_doubts(report.doubtful)
    for name, mixed in report.mixed.items():
        print(f"stvr: {name} was extracted, but has {mixed}", file=sys.stderr)
    if detector:
        whole = {video: path for video, path in paths.items() if video not in report.failed}
        with shown_videos("finding boxes", len(whole)) as show:
            names = detect(whole, FeatureStore.open(store), detector, batch_size, show)
        done(store, f"region boxes added for {len(names)} videos")
    exit_telling(report.failed)
    if report.doubtful and not accept_doubtful:
        sys.exit(1)
