"""What is in a store, a file that a store was exported to, a checkpoint, a pairs file or a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stvr.heads.checkpoint import HEAD_FILE, load_head
from stvr.store import FeatureStore, is_store
from stvr.store.exchange import describe_export, is_export
from stvr.store.older_stores import refuse_folder_of_stores
from stvr.store.places import place_at
from stvr.tasks.pairs.audit import audit
from stvr.tasks.pairs.build import read_pairs, summary
from stvr.tasks.pairs.file import clip_spec
from stvr.video.decode import probe
from stvr.video.folders import SUFFIXES

KINDS = "a store, one that was exported, an index, a checkpoint, a run's folder, a pairs file or a video"
HEAD_SUFFIX = Path(HEAD_FILE).suffix


def describe(path: Path) -> dict[str, Any]:
    """JSON values. Raises ValueError or FileNotFoundError for what is none of these."""
    if is_store(path):
        return describe_store(FeatureStore.open(path))
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there. Name {KINDS}.")
    if path.is_dir():
        refuse_folder_of_stores(place_at(path))
        if not (path / HEAD_FILE).is_file():
            raise ValueError(f"{path} is a folder with no store, index or head in it. Name {KINDS}.")
    if path.suffix == ".json" and path.is_file():
        pairs, header = read_pairs(path)
        spec = clip_spec(header) if "clip" in header else None
        return {"kind": "pairs", **header, "splits": summary(pairs), "audit": audit(pairs, spec)}
    if path.suffix.lower() in SUFFIXES:
        return describe_video(path)
    if is_export(path):
        return describe_export(path)
    if path.is_file() and path.suffix != HEAD_SUFFIX:
        raise ValueError(f"it cannot be told what {path} is. Name {KINDS}.")
    checkpoint = load_head(path)
    parameters = sum(parameter.numel() for parameter in checkpoint.head.parameters())
    return {
        "kind": "checkpoint", "parameters": parameters, "head": checkpoint.options.model_dump(),
        "reads": checkpoint.spec.to_json(), "made_by": dict(checkpoint.provenance),
    }  # fmt: skip


def describe_store(store: FeatureStore) -> dict[str, Any]:
    notes = {video: store.info(video) for video in store.videos()}
    return {
        "kind": "store", "spec": store.spec.to_json(), "videos": len(notes),
        "clips": sum(each["num_clips"] for each in notes.values()), "failed": store.failed(),
        "doubtful": {video: each["doubt"] for video, each in notes.items() if "doubt" in each},
    }  # fmt: skip


def describe_video(path: Path) -> dict[str, Any]:
    """VideoError, a ValueError, for a file that cannot be read. coded: the size of its frames as they are stored."""
    info = probe(path)
    return {
        "kind": "video", "width": info.width, "height": info.height,
        "coded_width": info.display.coded_width, "coded_height": info.display.coded_height,
        "pixel_aspect": str(info.display.aspect), "codec": info.codec, "pictures": len(info.ticks),
        "offset_seconds": float(info.offset), "duration_seconds": float(info.duration), "doubt": info.doubt(),
    }  # fmt: skip
