"""Measures what features of fetched weights usually are, and writes the file that ships for the head `nearest`.

    python scripts/measure_usual.py VIDEOS --out stvr/heads/usual/i3d-kinetics-400.safetensors --work FOLDER

Mean and deviation of every channel at three endpoints, of clips by themselves and in the context of their video. Every
video counts alike. The header says of which videos, so take those whose licence allows it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from torch import Tensor

from stvr.backbones import load_backbone
from stvr.commands import video_files
from stvr.extract.job import extract
from stvr.heads.checkpoint import write_tensors
from stvr.heads.usual import measured_usual
from stvr.store import FeatureStore
from stvr.structures import ClipSpec

WEIGHTS, ENDPOINTS = "i3d-kinetics-400", ("Mixed_4c", "Mixed_4f", "Mixed_5c")
CLIPS = {"clip": ClipSpec(), "video": ClipSpec(context="video", cuts="keep")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="the folder for the stores")
    parser.add_argument("--credit", default="", help="whose videos these are, and under which licences")
    options = parser.parse_args()
    backbone = load_backbone("i3d", WEIGHTS, ",".join(ENDPOINTS))
    tensors: dict[str, Tensor] = {}
    header: dict[str, Any] = {"weights": WEIGHTS, "credit": options.credit, "specs": {}}
    for context, clip in CLIPS.items():
        extract(video_files(options.videos), options.work / context, backbone, clip)
        store = FeatureStore.open(options.work / context)
        for endpoint, (mean, deviation) in measured_usual(store, ENDPOINTS).items():
            tensors |= {f"{context}.{endpoint}.mean": mean, f"{context}.{endpoint}.deviation": deviation}
        header |= {"videos": store.videos(), "specs": {**header["specs"], context: store.spec.to_json()}}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(options.out, tensors, header)


if __name__ == "__main__":
    main()
