"""Prints what a trained I3D sees in each video: the five likeliest of Kinetics' actions, with probabilities.

Usage: python scripts/check_kinetics.py [--weights FILE|NAME] [--labels FILE] VIDEO...
Seen are the middle 64 frames of a video at 25 a second: what `stvr predict --segments 1` says, a line a video.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from stvr.commands import video_files
from stvr.jobs.predict import ByNetwork, likeliest

NUM_SHOWN = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="video files, folders of them")
    parser.add_argument("--weights", default="i3d-kinetics-400",
                        help="of I3D with its last layer: a file, or a name as `stvr weights list` has it")
    parser.add_argument("--labels", type=Path, help="the names of the classes in their order, one a line")
    options = parser.parse_args()
    try:
        network = ByNetwork(options.weights, options.labels, 1, "cpu")
        for video in video_files(options.videos):
            (segment,) = network.segments(video)
            seen = likeliest(segment.probabilities, network.classes, NUM_SHOWN)
            print(f"{video.name}: {', '.join(map(shown, seen))}", flush=True)
    except (ValueError, LookupError, OSError) as error:
        print(f"check_kinetics: {error}", file=sys.stderr)
        return 2
    return 0


def shown(guess: dict[str, Any]) -> str:
    return f"{guess['label']} {guess['score']:.2f}"


if __name__ == "__main__":
    sys.exit(main())
