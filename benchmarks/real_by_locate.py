"""The real clips' figure by the command line: `stvr locate`, nothing trained, for every query of bench_real.py.

    python benchmarks/real_by_locate.py MANIFEST --store STORE.zarr [--sets DAVIS-2016,UCF101-24] [--out FILE.md]

MANIFEST as for bench_real.py, STORE as its FOLDER/video: the weights i3d-kinetics-400, the whole video as context. A
second of every clip that has a partner is the query, its box moves as the actor does, and all videos of other groups
are the references. Answers are kept beside the store: a query that was answered is not asked again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from real_clips import RealClip, manifest_rows, read_clips
from real_questions import Outcome, askers, best_iou, judged
from real_tables import table

from stvr.files import write_json, write_text
from stvr.machine import processor
from stvr.store import FeatureStore
from stvr.structures import Span, Tubelet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--sets", help="whose clips ask, joined by commas")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    store = FeatureStore.open(chosen.store)
    clips = read_clips(chosen.manifest, store)
    sets = chosen.sets.split(",") if chosen.sets else {row["set"] for row in manifest_rows(chosen.manifest)}
    outcomes: list[Outcome] = []
    for one in askers(clips):
        if one.kind in sets:
            outcomes.append(Outcome(one, asked(one, clips, store, chosen.store.with_suffix(".answers") / one.name)))
            print(len(outcomes), one.name, outcomes[-1].figures, flush=True)
            if chosen.out:
                write_text(chosen.out, page(outcomes))
    print(page(outcomes))


def asked(one: RealClip, clips: Sequence[RealClip], store: FeatureStore, out: Path) -> dict[str, float]:
    """One `stvr locate` over all videos of other groups, judged as in bench_real.py."""
    others = {str(clip.path): clip for clip in clips if clip.group != one.group}
    lines, question = out / "tubelets.jsonl", out / "question.json"
    asked = arguments_of(one, store)
    if not question.exists() or json.loads(question.read_text()) != asked:
        command = [sys.executable, "-m", "stvr", "locate", *asked, "--store", store.path, "--out", out, *others]
        subprocess.run([str(each) for each in command], check=True, stderr=subprocess.DEVNULL)
        write_json(question, asked)
    answers = []
    for line in map(json.loads, lines.read_text().splitlines()):
        clip = others[line["reference"]]
        found = tubelet_of(line, clip, store)
        answers.append((found, clip, best_iou(found, clip)))
    return judged(one, clips, answers)


def arguments_of(one: RealClip, store: FeatureStore) -> list[str]:
    """A second of the clip, its box where it is in the middle of each clip of features, and no clip beside these."""
    example, spec, offset = one.example, store.spec.clip, store.offset_seconds(one.name)
    seconds = [offset + spec.middle_of(clip) for clip in range(example.span.start, example.span.stop)]
    box = "/".join(f"{','.join(f'{float(edge):.6f}' for edge in place.clamp(0, 1))}@{at:.4f}"
                   for place, at in zip(example.boxes, seconds, strict=True))  # fmt: skip
    middle = (seconds[0] + seconds[-1]) / 2
    return ["--query", str(one.path), "--box", box, "--at", f"{middle:.4f}",
            "--span", f"{seconds[0] - 0.1:.4f},{seconds[-1] + 0.1:.4f}"]  # fmt: skip


def tubelet_of(line: dict[str, Any], clip: RealClip, store: FeatureStore) -> Tubelet:
    """Of a line of `stvr locate`: boxes (T, 4) in [0, 1] by clip."""
    spec, boxes = store.spec.clip, torch.tensor([each["box"] for each in line["boxes"]])
    start = round((line["start_seconds"] - store.offset_seconds(clip.name)) * spec.fps / spec.frames_per_clip)
    size = torch.tensor([line["width"], line["height"]] * 2, dtype=torch.float32)
    return Tubelet(Span(clip.name, start, start + len(boxes)), boxes / size, float(line["score"]))


def page(outcomes: Sequence[Outcome]) -> str:
    return (f"# The real clips by the command line\n\n`python benchmarks/real_by_locate.py MANIFEST --store STORE`, "
            f"{processor()}, torch {torch.__version__}: `stvr locate` without `--checkpoint`, nothing trained. In "
            "brackets the middle 95 % of 2,000 draws of the queries.\n\n"
            + table([("whole video, 4c + 4f + 5c, proposals map", outcomes)]))  # fmt: skip


if __name__ == "__main__":
    main()
