"""Writes small stores and checkpoints with this release of stvr, and its answers with them, to test later releases.

Usage, once a release: python scripts/write_release_data.py tests/data/release_0.2.0
Everything is done by commands, in float32, so that the same script serves every release. stores/several is made without
numpy's AVX-512, as on a machine that has none: 64f422e has another digest of the analytic weights there.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

import stvr

SIDE, FPS, NUM_CLIPS, SWITCH = 64, 24, 9, 4  # pixels; frames a second; clips of a third of a second; clips until then
LABELS = {"a": ("nod", "wave"), "b": ("wave", "circle"), "c": ("circle", "nod")}  # video -> what its left actor does,
# before the switch and after; its right actor does the other of the two
TINY = {"width": 4, "proposal_width": 16, "proposal_context": 1, "proposal_summary": 8, "num_proposals": 12,
        "attention_width": 4, "bottleneck": 4, "tail_width": 8, "tail_units": 1, "embedding_width": 4}  # fmt: skip
HEADS: dict[str, dict[str, Any]] = {  # with options that change what a head is made of
    "none": {"classes": "binary", "fuse": "concat", "contrast": "none", "tail_norm": "frozen_batch"},
    "conv_lstm": {"lstm_form": "plain"},
    "flow": {"proposal_summary": 0, "proposal_context": 0},
    "traj_lstm": {"lstm_norm": "none"},
    "warp_lstm": {},
}
PLAIN = ("--image-size", "64", "--precision", "float32")
WITH_ALL = (*PLAIN, "--flow", "ilk", "--flip")
SETTINGS = {  # store -> what `stvr extract` is given, so that it finds the store as it would make it
    "stores/whole": ("videos", *WITH_ALL),
    "stores/int8": ("videos/a.mp4", *WITH_ALL, "--compress", "int8"),
    "stores/several": ("videos/b.mp4", *PLAIN, "--endpoint", "Mixed_4c,Mixed_5c.mean"),
}
EXPORTED = {"exported.h5": "stores/several"}
LOCATED = ("flow", "warp_lstm")
FIGURES = ("frame_map", "shuffled_query", "proposal_recall", "ndcg", "video_map", "errors")  # of eval.json
ASKED = ("videos/b.mp4", "--query", "videos/a.mp4", "--box", "0.08,0.2,0.5,0.95", "--at", "0.8")  # its left actor
IN_FLOAT32 = """
import torch
torch.cpu._is_avx512_bf16_supported = torch.cpu._is_amx_tile_supported = lambda: False
from stvr.cli import main
main()
"""  # whichever processor this is, features made on the way are those of any other


def main(out: Path) -> None:
    out.mkdir(parents=True)
    os.chdir(out)  # so that no path of this machine is noted
    paint_all()
    run("prepare", "table", "tracks.csv", "--videos", "videos", "--out", "pairs.json")
    write_stores()
    for name in HEADS:
        train(name)
    expected = {"made_by": versions(), **answers()}
    Path("expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def run(*words: object, numpy_without: str = "") -> str:
    """What a command prints."""
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": numpy_without}
    command = [sys.executable, "-c", IN_FLOAT32, *map(str, words)]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def paint_all() -> None:
    """Two blocks on plain ground in each video, and tracks.csv: their boxes for every third of a second."""
    Path("videos").mkdir()
    rows = ["video,seconds,x1,y1,x2,y2,person,label"]
    for number, (video, labels) in enumerate(LABELS.items()):
        actors = [labels, labels[::-1]]
        boxes = np.stack([track(number, 17, actors[0]), track(number + 2, 47, actors[1])])  # (2, T, 4)
        write_video(Path("videos") / f"{video}.mp4", boxes)
        for clip in range(NUM_CLIPS):
            for person, (before, after) in enumerate(actors):
                edges = ",".join(f"{edge:.4f}" for edge in boxes[person, 8 * clip + 4] / SIDE)
                rows.append(f"{video},{clip / 3:.4f},{edges},{person},{before if clip < SWITCH else after}")
    Path("tracks.csv").write_text("\n".join(rows) + "\n")


def track(number: int, x: float, labels: tuple[str, str]) -> NDArray[np.int64]:
    """(T, 4): a block around (x, 36) that does one thing until the switch and then another, in pixels."""
    times = np.arange(8 * NUM_CLIPS) / FPS
    angle = 2 * np.pi * times / (0.8 + 0.1 * number) + number
    label = np.where(times < SWITCH / 3, *labels)
    right = 8 * np.sin(angle) * np.isin(label, ["wave", "circle"])
    down = 8 * np.select([label == "nod", label == "circle"], [np.sin(angle), np.cos(angle)])
    middle, half = np.stack([x + right, 36 + down], 1), np.array([6 + number % 2, 10 + number % 3])
    return np.rint(np.concatenate([middle - half, middle + half], 1)).astype(np.int64)


def write_video(path: Path, boxes: NDArray[np.int64]) -> None:
    """boxes (2, T, 4). Encoded without loss: noise would make the features twice as large."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"qp": "0", "threads": "1"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for number in range(boxes.shape[1]):
            picture = np.full((SIDE, SIDE, 3), 128, np.uint8)
            for (x1, y1, x2, y2), colour in zip(boxes[:, number], [(220, 150, 60), (90, 190, 230)], strict=True):
                picture[y1:y2, x1:x2] = colour
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))


def write_stores() -> None:
    """Lossless with flow and both views, two shards a video; one video in int8; two endpoints; a file of one."""
    with tempfile.TemporaryDirectory() as draft:
        run("extract", "videos/a.mp4", *WITH_ALL, "--store", f"{draft}/a")
        run("store", "quantize", f"{draft}/a", "--out", "stores/int8", "--compress", "int8")
        spec = stvr.FeatureStore.open(f"{draft}/a").spec  # no command says how long shards are
    stvr.FeatureStore.create("stores/whole", spec, clips_per_shard=8)
    run("extract", *SETTINGS["stores/whole"], "--store", "stores/whole")
    run("extract", *SETTINGS["stores/several"], "--store", "stores/several", numpy_without="X86_V4")  # that is AVX-512
    for path, store in EXPORTED.items():
        run("store", "export", store, "--out", path)


def train(propagation: str) -> None:
    """A head of a few thousand numbers, trained as long as it takes to answer something."""
    options = {**TINY, **HEADS[propagation]}
    lines = ["warmup_steps = 10", "[head]", *(f"{name} = {json.dumps(value)}" for name, value in options.items())]
    with tempfile.TemporaryDirectory() as draft:
        config = Path(draft) / "head.toml"
        config.write_text("\n".join(lines))
        run("train", "--store", "stores/whole", "--pairs", "pairs.json", "--out", f"runs/{propagation}",
            "--preset", "small", "--config", config, "--propagation", propagation, "--steps", 200, "--batch-size", 4,
            "--lr", 0.02)  # fmt: skip
    Path(f"runs/{propagation}/state.safetensors").unlink()  # larger than the head, and goes on with this code alone


def answers() -> dict[str, Any]:
    stores = sorted(str(path.parent) for path in Path("stores").rglob("zarr.json") if holds_a_spec(path))
    runs = [f"runs/{name}" for name in HEADS]
    return {
        "settings": SETTINGS, "exported": EXPORTED,
        "info": {path: json.loads(run("info", path)) for path in [*stores, *runs, *EXPORTED, "pairs.json"]},
        "verify": {path: run("verify", path).strip() for path in stores},
        "values": {path: values(stvr.FeatureStore.open(path)) for path in stores},
        "eval": {path: evaluated(path) for path in runs},
        "locate": {"asked": ASKED, "tubelets": {f"runs/{name}": located(f"runs/{name}") for name in LOCATED}},
    }  # fmt: skip


def holds_a_spec(path: Path) -> bool:
    return "spec" in json.loads(path.read_text())["attributes"].get("stvr", {})


def values(store: stvr.FeatureStore) -> dict[str, dict[str, str]]:
    """Video -> array -> digest of the values as they are read: dtype, shape and bytes."""
    return {video: arrays(store, stvr.Span(video, 0, store.num_clips(video))) for video in store.videos()}


def arrays(store: stvr.FeatureStore, span: stvr.Span) -> dict[str, str]:
    read: dict[str, NDArray[Any]] = {"ticks": store.ticks(span.video)}
    for endpoint in store.spec.endpoints:
        of = f" of {endpoint}" if len(store.spec.maps) > 1 else ""
        read[f"features{of}"] = store.read(span, endpoint=endpoint).numpy()
        if store.spec.flipped:
            read[f"flipped{of}"] = store.read(span, True, endpoint).numpy()
    if store.spec.flow != "none":
        read["flow"] = store.read_flow(span).numpy()
    return {name: hashlib.sha256(f"{array.dtype} {array.shape}\n".encode() + array.tobytes()).hexdigest()
            for name, array in read.items()}  # fmt: skip


def evaluated(checkpoint: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as out:
        run("eval", "--checkpoint", checkpoint, "--store", "stores/whole", "--pairs", "pairs.json", "--out", out)
        figures: Mapping[str, Any] = json.loads((Path(out) / "eval.json").read_text())
    return {name: figures[name] for name in FIGURES}


def located(checkpoint: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as out:
        run("locate", *ASKED, "--checkpoint", checkpoint, "--out", out)
        return [json.loads(line) for line in (Path(out) / "tubelets.jsonl").read_text().splitlines()]


def versions() -> dict[str, str]:
    packages = ("torch", "numpy", "zarr", "av", "h5py", "scikit-image")
    return {"stvr": stvr.__version__, "python": platform.python_version(),
            **{name: version(name) for name in packages}, "machine": platform.machine()}  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(str(__doc__))
    main(Path(sys.argv[1]))
