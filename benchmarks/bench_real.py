"""What one example finds in real clips with nothing trained: which video, where in it, when, and what a question costs.

    python benchmarks/bench_real.py MANIFEST --work FOLDER [--weights NAME] [--checkpoint RUN] [--out FILE.md]

MANIFEST is a CSV with file, set, class, group, boxes (see real_clips.py). Each class that another group shows too asks,
with a true second of one video; queries and answers are never of one group. Statistics are those that ship, measured on
other videos. Intervals are the middle 95 % of 2,000 draws of the queries. Extracts into FOLDER first; started again, it
goes on where it was. FILE.md gets the tables, and FILE_which.svg and so on the plots. A checkpoint is a trained head,
asked too.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from called import Parser, above_zero, told_in_one_line
from real_clips import RealClip, manifest_rows, read_clips, tell_failed
from real_questions import Answers, Outcome, askers, by_the_head, localisation, retrieval, the_whole_picture
from real_tables import Rows, plot, table
from real_time import Joined, join_actors, when

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.files import write_text
from stvr.machine import processor
from stvr.session import Session
from stvr.store import FeatureStore
from stvr.structures import ClipSpec

ENDPOINTS = ("Mixed_4c", "Mixed_4f", "Mixed_5c")
CLIPS = {"clip": ClipSpec(), "video": ClipSpec(context="video", cuts="keep")}
CONTEXTS = {"clip": "a clip by itself", "video": "whole video"}
PLOTTED = {"which": ("Which, true boxes given: rank-1 outside Weizmann", "rank-1"),
           "where": ("Over all videos: the first answer is right in action and tube, outside Weizmann",
                     "all videos: action and tube right"),
           "when": ("When, in joined videos: clip AP", "clip AP")}  # fmt: skip
KEPT_BYTES = 6 << 30


@dataclass(frozen=True, slots=True)
class Way:
    """A row of the questions where and when: on which maps, with which proposals."""

    context: str
    endpoints: tuple[str, ...]
    proposals: str | None = "map"  # None: the whole picture is the answer

    @property
    def title(self) -> str:
        paper = " (the paper's features)" if (self.context, self.endpoints) == ("clip", ENDPOINTS[:1]) else ""
        boxes = f", proposals {self.proposals}" if self.proposals else ", the whole picture"
        return f"{row_name(self.context, self.endpoints)}{paper}{boxes}"

    @property
    def answers(self) -> Answers:
        return by_the_head if self.proposals else the_whole_picture


WAYS = (
    Way("video", ENDPOINTS), Way("video", ENDPOINTS, "grid"), Way("video", ("Mixed_4c", "Mixed_5c")),
    Way("video", ("Mixed_5c",)), Way("video", ("Mixed_4c",)), Way("video", ENDPOINTS, None),
    Way("clip", ENDPOINTS), Way("clip", ("Mixed_4c",)),
)  # fmt: skip


def row_name(context: str, endpoints: tuple[str, ...]) -> str:
    return f"{CONTEXTS[context]}, {' + '.join(each.removeprefix('Mixed_') for each in endpoints)}"


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    with told_in_one_line():
        videos = [chosen.manifest.parent / row["file"] for row in manifest_rows(chosen.manifest)]
        stores = {context: extracted(chosen, videos, context) for context in CLIPS}
        clips = read_clips(chosen.manifest, stores["video"], stores["clip"])
        if not askers(clips):
            raise LookupError(f"no class of {chosen.manifest} is shown by two groups, so that none can be asked.")
    joined = extracted_joined(chosen, join_actors(clips, chosen.work / "joined"))
    whiches = which_rows(stores, clips, chosen.statistics)
    print(table(whiches), flush=True)
    wheres, whens, costs = where_and_when(stores, clips, joined, chosen)
    text = page(chosen, len(clips), whiches, wheres, whens, costs)
    print(text)
    if chosen.out:
        write_text(chosen.out, text)
        for name, every in {"which": whiches, "where": wheres, "when": whens}.items():
            if every:
                write_text(chosen.out.with_name(f"{chosen.out.stem}_{name}.svg"), plot(*PLOTTED[name], every))


def arguments() -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", default="i3d-kinetics-400")
    parser.add_argument("--image-size", type=above_zero, default=320)
    parser.add_argument("--statistics", type=Path, help="a store in place of the statistics that ship; {context} in it "
                        "stands for clip or video")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    parser.add_argument("--threads", type=above_zero, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def extracted(chosen: argparse.Namespace, videos: list[Path], context: str) -> FeatureStore:
    return store_of(chosen.work / context, videos, context, chosen.weights, chosen.image_size)


def extracted_joined(chosen: argparse.Namespace, joined: list[Joined]) -> list[Joined]:
    """Those that are in the store of every context, then."""
    stores = [extracted(chosen, [each.path for each in joined], context) for context in CLIPS]
    return [each for each in joined if all(each.path.stem in store for store in stores)]


def store_of(place: Path, videos: list[Path], context: str, weights: str, image_size: int = 320) -> FeatureStore:
    """With what can be extracted of the videos; what cannot is told on standard error."""
    if videos:
        clip = replace(CLIPS[context], image_size=image_size)
        tell_failed(extract(videos, place, load_backbone("i3d", weights, ",".join(ENDPOINTS)), clip))
    return FeatureStore.open(place)


def which_rows(
    stores: dict[str, FeatureStore], clips: list[RealClip], statistics: Path | None
) -> list[tuple[str, list[Outcome]]]:
    rows = []
    for context, store in stores.items():
        for endpoint in ENDPOINTS:
            session = opened(store, Way(context, (endpoint,)), statistics)
            for name, second, whole in (("", False, False), (", a second asks", True, False),
                                        (", the whole picture", False, True)):  # fmt: skip
                found = retrieval(session, clips, second=second, whole=whole)
                rows.append((row_name(context, (endpoint,)) + name, found))
    return rows


def where_and_when(
    stores: dict[str, FeatureStore], clips: list[RealClip], joined: list[Joined], chosen: argparse.Namespace
) -> tuple[list[tuple[str, list[Outcome]]], list[tuple[str, list[Outcome]]], list[str]]:
    sessions = [(way.title, opened(stores[way.context], way, chosen.statistics), way.answers) for way in WAYS]
    for checkpoint in chosen.checkpoint:
        session = Session.open(checkpoint, device="cpu", kept_bytes=KEPT_BYTES)
        session.store = stores[session.spec.clip.context].only(session.spec.endpoints)
        sessions.append((f"a trained head, {checkpoint.name}", session, by_the_head))
    wheres, whens, costs = [], [], []
    for title, session, answers in sessions:
        found, seconds = localisation(session, clips, answers)
        wheres.append((title, found))
        if answers is by_the_head and (outcomes := when(session, clips, joined)):
            whens.append((title, outcomes))
        costs.append(f"| {title} | {1000 * seconds:.0f} |")
        print(table(wheres[-1:]), costs[-1], table(whens[-1:]), sep="\n", flush=True)
        session.forget()
    return wheres, whens, costs


def opened(store: FeatureStore, way: Way, statistics: Path | None) -> Session:
    usual = None if statistics is None else str(statistics).format(context=way.context)
    return Session.open("nearest", store=store.only(way.endpoints), statistics=usual, proposals=way.proposals,
                        device="cpu", kept_bytes=KEPT_BYTES)  # fmt: skip


def page(
    chosen: argparse.Namespace, num_clips: int, whiches: Rows, wheres: Rows, whens: Rows, costs: list[str]
) -> str:  # fmt: skip
    name = chosen.out.stem if chosen.out else "real"
    return f"""# Real clips, one example, nothing trained

`python benchmarks/bench_real.py`, {num_clips} clips, weights {chosen.weights}; {processor()}, torch
{torch.__version__}, {chosen.threads} thread. In brackets the middle 95 % of 2,000 draws of the queries. Statistics are
{"those that ship, of ten other clips" if chosen.statistics is None else "those of a store that was given"}; the options
of the head were chosen on 71 clips of DAVIS, UCF101-24 and Weizmann.

## Which: true boxes given

The longest true tubelet asks, or a second in its middle; a video is worth the mean over its clips of the cosine with
the query's nearest clip.

{table(whiches)}
![rank-1]({name}_which.svg)

## Which and where: nothing given but the example

A second in the middle of the longest true tubelet asks, of all videos of other groups; tube IoU is temporal IoU times
the mean IoU of shared clips.

{table(wheres)}
![first answer right]({name}_where.svg)

{when_section(whens, name)}## Cost

| features and head | ms a question of one reference that was looked at |
|---|---|
{chr(10).join(costs)}
"""


def when_section(whens: Rows, name: str) -> str:
    """Of actors with several actions in videos of their own, as Weizmann's; nothing without."""
    if not whens:
        return ""
    return f"""## When: an actor's four actions joined into one video

The middle half of another actor's action asks.

{table(whens)}
![clip AP]({name}_when.svg)

"""


if __name__ == "__main__":
    main()
