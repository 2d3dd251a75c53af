"""How often the rule of cuts is right: on videos of one take each, inside them and where any two are joined.

    python benchmarks/bench_cuts.py FILE... [--image-size 160]

A join is a cut 0, 3 or 5 frames into a clip, between the last frames of one video and the first of another.
"""

from __future__ import annotations

import argparse
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stvr.structures import ClipSpec
from stvr.video import cuts
from stvr.video.decode import decode_clips

AROUND = 16  # frames kept on either side of a join: more than the rule looks at
INTO = {0: 2, 3: 2, 5: 3}  # frames of a third clip that the first video has -> the clip that the second begins with


def begins(cells: NDArray[np.float32]) -> list[int]:
    """The clips that a new shot begins with; cells (F, 3, 8, 8) as the rule sees pictures."""
    finder = cuts.CutFinder()
    return [clip for clip in range(len(cells) // 8) if finder.of_cells(cells[8 * clip : 8 * clip + 8])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--image-size", type=int, default=160)
    options = parser.parse_args()
    clip = ClipSpec(image_size=options.image_size)
    takes = {file: np.concatenate([cuts.cells(frames) for _, frames, _ in decode_clips(file, clip)])
             for file in options.files}
    inside = {file: found for file, take in takes.items() if (found := begins(take))}
    print(f"{len(takes)} videos of {sum(len(take) // 8 for take in takes.values())} clips: cuts inside {len(inside)}")
    for file, found in inside.items():
        print(f"  {file}: clips {found}")
    found = missed = beside = 0
    for one, other in permutations(takes.values(), 2):
        for into, clip_number in INTO.items():
            told = begins(np.concatenate([one[-(AROUND + into) :], other[:AROUND]]))
            found, missed = found + (clip_number in told), missed + (clip_number not in told)
            beside += len({*told} - {clip_number})
    print(f"{found + missed} joins: {found} found ({found / (found + missed):.1%}), {beside} found elsewhere")


if __name__ == "__main__":
    main()
