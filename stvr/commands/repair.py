"""stvr repair: recompute what is broken in a store."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from stvr.commands import (
    Device,
    FlowWeights,
    StorePath,
    Videos,
    Weights,
    done,
    exit_telling,
    sources,
    tell_doubts,
    usable,
)


def repair(
    store: StorePath,
    videos: Videos,
    weights: Weights = None,
    flow_weights: FlowWeights = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the cores, or the GPUs.")] = 1,
    device: Device = "cpu",
) -> None:
    """Recompute what `stvr verify` finds broken from the videos; what is whole is not touched."""
    from stvr import progress
    from stvr.backbones import load_backbone
    from stvr.backbones.weights.named import as_noted
    from stvr.extract.flow import flow_of
    from stvr.extract.repair import repair as run_repair
    from stvr.store import FeatureStore, check_all

    opened, files = FeatureStore.open(store), sources(videos)
    with progress.shown() as tell:
        found = check_all(opened, tell)
    if not found.faults:
        done(store, "nothing is broken")
        return
    given = as_noted(weights, opened.spec.weights)
    load = partial(load_backbone, opened.spec.backbone, given, opened.spec.endpoint, device=device)
    report = run_repair(opened, found, files, load, flow_of(opened.spec, flow_weights, usable(device)), workers)
    done(store, f"{len(report.done)} videos repaired ({report.clips_computed} clips computed, "
                f"{report.clips_reused} kept), {len(report.failed)} failed")
    tell_doubts(report.doubtful)
    for name, mixed in report.mixed.items():
        print(f"stvr: {name} was repaired, but has {mixed}", file=sys.stderr)
    exit_telling(report.failed)
