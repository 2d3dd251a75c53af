"""What matching on a deeper map, and the context of the whole video, are worth on the action world: three seeds a row.

Run: python benchmarks/bench_match_world.py FOLDER [--seeds 3] [--size tiny] [--deep Mixed_5c] [--out FILE.md].
The stages of `stvr demo` on one world: the small preset of the matching head is trained with each seed on each row's
features and asked for actions that no training video shows. Started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.jobs.demo import SIZES, DemoSize, Places, evaluated, prepare, train_head
from stvr.machine import processor
from stvr.structures import ClipSpec
from stvr.world.synthetic import write_world

IOU = "0.5"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to train. context: of the features. deep: whether candidates are compared on the deeper map too."""

    name: str
    context: str
    deep: bool


ROWS = (
    Row("a clip by itself, matched where it is localised (the default)", "clip", deep=False),
    Row("matched on {deep} too", "clip", deep=True),
    Row("the whole video as context", "video", deep=False),
    Row("the whole video as context, matched on {deep} too", "video", deep=True),
)


def store_of(world: Places, plan: DemoSize, context: str, deep: str) -> Path:
    """Both maps of every video of the world, in one context."""
    store = world.out / f"{context}.zarr"
    clip = ClipSpec(image_size=plan.image_size, context=context, cuts="keep" if context == "video" else "ignore")
    backbone = load_backbone(weights="analytic", endpoint=f"{plan.endpoint},{deep}")
    extract(sorted(world.videos.glob("*.mp4")), store, backbone, clip)
    return store


@dataclass(frozen=True, slots=True)
class Apart(Places):
    """The places of one training: the world's own, but features of a store and a run by themselves."""

    kept: Path
    trained: Path

    store = property(lambda self: self.kept)
    run = property(lambda self: self.trained)
    evaluation = property(lambda self: self.trained / "eval")


def figures(places: Places, plan: DemoSize, row: Row, deep: str, seed: int) -> tuple[float, float]:
    """frame-mAP at IoU .5 on unseen actions, asked with the right query and with another's, in percent."""
    head = {"localise_on": plan.endpoint, **({"match_on": deep} if row.deep else {})}
    train_head(places, {**plan.training, "seed": seed, "head": head}, "cpu")
    table = evaluated(places, seed, plan.max_pairs, "cpu")
    return 100 * table["frame_map"]["mean"][IOU], 100 * table["shuffled_query"]["mean"][IOU]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", default="tiny", choices=SIZES)
    parser.add_argument("--deep", default="Mixed_5c")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    plan = SIZES[chosen.size]
    world = Places(chosen.folder)
    world.out.mkdir(parents=True, exist_ok=True)
    write_world(world.world, size=plan.world, seed=0, **plan.dials)
    stores = {context: store_of(world, plan, context, chosen.deep) for context in ("clip", "video")}
    prepare(Apart(world.out, stores["clip"], world.out), 0)
    lines = [f"{processor()}; world and sizes of `stvr demo --size {chosen.size}`; frame-mAP@.5 in percent on unseen "
             "actions, (asked with another's query).", "",
             f"| features and head | {' | '.join(f'seed {seed}' for seed in range(chosen.seeds))} | mean |",
             f"|---|{'---|' * (chosen.seeds + 1)}"]  # fmt: skip
    for number, row in enumerate(ROWS):
        places = [Apart(world.out, stores[row.context], world.out / f"run_{number}_{seed}")
                  for seed in range(chosen.seeds)]  # fmt: skip
        found = [figures(each, plan, row, chosen.deep, seed) for seed, each in enumerate(places)]
        means = [sum(column) / len(found) for column in zip(*found, strict=True)]
        cells = [f"{right:.1f} ({other:.1f})" for right, other in [*found, tuple(means)]]
        lines.append(f"| {row.name.format(deep=chosen.deep)} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.out:
        chosen.out.write_text(text)


if __name__ == "__main__":
    main()
