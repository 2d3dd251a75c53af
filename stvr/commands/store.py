"""stvr verify, stvr repair: is a store whole; make it whole again."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from stvr.commands import Device, FlowWeights, Videos, Weights, done, exit_telling, sources, usable

if TYPE_CHECKING:
    from stvr.store import Checked

StorePath = Annotated[str, typer.Argument(help="The folder of the store, or s3://BUCKET/PREFIX.", show_default=False)]


def verify(store: StorePath) -> None:
    """Check every chunk of a store against its checksum, every array against the spec. Exit status 1 when broken."""
    from stvr import progress
    from stvr.store import FeatureStore, check_all

    opened = FeatureStore.open(store)
    with progress.shown() as tell:
        found = check_all(opened, tell)
    failed = opened.failed()
    for fault in found.faults:
        print(fault)
    done(store, summary(found, failed))
    for video, reason in failed.items():
        print(f"stvr: {video} could not be extracted: {reason}", file=sys.stderr)
    if found.faults:
        print(f"stvr: run `stvr repair {store} VIDEOS` to compute what is broken again", file=sys.stderr)
        sys.exit(1)


def summary(found: Checked, failed: dict[str, str]) -> str:
    parts = [f"{found.complete} complete videos, {len(found.faults)} faults"]
    if found.unfinished:
        first = found.unfinished[0]
        parts.append(f"{len(found.unfinished)} unfinished ({first} first): `stvr extract` goes on with them")
    if found.unsigned:
        parts.append(f"{len(found.unsigned)} from before there were checksums: only their layout could be checked")
    if failed:
        parts.append(f"{len(failed)} in quarantine")
    return "; ".join(parts)


def repair(
    store: StorePath,
    videos: Videos,
    weights: Weights = None,
    flow_weights: FlowWeights = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the cores, or the GPUs.")] = 1,
    device: Device = "cpu",
) -> None:
    """Compute again what `stvr verify` finds broken, from the videos; what is whole is not touched."""
    from stvr import progress
    from stvr.backbones import load_backbone
    from stvr.extract.flow import flow_of
    from stvr.extract.repair import repair as run_repair
    from stvr.store import FeatureStore, check_all

    opened, files = FeatureStore.open(store), sources(videos)
    with progress.shown() as tell:
        found = check_all(opened, tell)
    if not found.faults:
        done(store, "nothing is broken")
        return
    load = partial(load_backbone, opened.spec.backbone, weights, opened.spec.endpoint, device=device)
    report = run_repair(opened, found, files, load, flow_of(opened.spec, flow_weights, usable(device)), workers)
    done(store, f"{len(report.done)} videos repaired ({report.clips_computed} clips computed, "
                f"{report.clips_reused} kept), {len(report.failed)} not")
    for name, doubt in report.doubtful.items():
        print(f"stvr: {name} is repaired, but has {doubt}", file=sys.stderr)
    exit_telling(report.failed)
