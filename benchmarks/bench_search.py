"""A library of real clips asked by one example: what the index finds and loses, what a question costs, what helps.

    python benchmarks/bench_search.py MANIFEST --work FOLDER [--weights NAME] [--out FILE.md]

MANIFEST is that of bench_real.py; each class that another group shows too asks, with a true second of one video, and
videos of its own group are not asked. Extracts and indexes into FOLDER first; started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bench_real import store_of
from real_clips import RealClip, manifest_rows, read_clips
from real_questions import Outcome, askers, average_precision, best_iou, judged, query_of
from real_tables import table

from stvr.files import write_text
from stvr.library import Hit, Library, build_index
from stvr.machine import processor
from stvr.structures import Query

WINDOWS = (1, 2, 4, 8, 16, 32)
RATES = (0.05, 0.1, 0.2, 0.5)
MARKED = 5  # answers that a user says are right or wrong
KEPT_BYTES = 6 << 30


Once = dict[str, tuple[Query, list[Hit]]]  # of each that asks, by name: the query, and its hits


@dataclass(frozen=True, slots=True)
class Asking:
    """A library, and what is true of its videos."""

    library: Library
    clips: Sequence[RealClip]

    def query(self, clip: RealClip) -> Query:
        return query_of(self.library.session, clip.example)

    def hits(self, one: RealClip, query: Query, without: Sequence[str] = (), **how: object) -> list[Hit]:
        """Of every video of another group, but for some."""
        others = [clip.name for clip in self.clips if clip.group != one.group]
        own = [video.name for video in self.library.index.videos if video.name not in others]
        return self.library.search(query, top=None, without=(*own, *without), **how)  # type: ignore[arg-type]

    @property
    def named(self) -> dict[str, RealClip]:
        return {clip.name: clip for clip in self.clips}

    def partners(self, one: RealClip) -> list[str]:
        return [clip.name for clip in self.clips if clip.is_like(one)]


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    rows = manifest_rows(chosen.manifest)
    store_of(chosen.work / "video", [chosen.manifest.parent / row["file"] for row in rows], "video", chosen.weights)
    begun = time.perf_counter()
    build_index([chosen.work / "video"], chosen.work / "index")
    print(f"indexed in {time.perf_counter() - begun:.1f} s", file=sys.stderr)
    opened, first = first_answer(chosen)
    asking = Asking(opened, read_clips(chosen.manifest, opened.session.store))
    every = measured(asking, None)  # first, so that all videos have been looked at
    searched = [(name_of(windows), *measured(asking, windows)) for windows in WINDOWS]
    text = page(chosen, asking, first, [*searched, (name_of(None), *every)])
    print(text)
    if chosen.out:
        write_text(chosen.out, text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", default="i3d-kinetics-400")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def name_of(windows: int | None) -> str:
    return "everything" if windows is None else f"{windows} windows"


def first_answer(chosen: argparse.Namespace) -> tuple[Library, dict[str, float]]:
    """A library just opened, the seconds until then, and those of its first answer, with 32 windows."""
    begun = time.perf_counter()
    library = Library.open(chosen.work / "index", device="cpu", kept_bytes=KEPT_BYTES)
    opened = time.perf_counter()
    clip = read_clips(chosen.manifest, library.session.store)[0]
    asked = time.perf_counter()
    library.search(query_of(library.session, clip.example))
    return library, {"opened": opened - begun, "first answer": time.perf_counter() - asked}


def measured(asking: Asking, windows: int | None) -> tuple[list[Outcome], list[float]]:
    """The figures of every question, and the seconds of a question whose videos have been looked at."""
    outcomes, seconds = [], []
    for number, one in enumerate(askers(asking.clips)):
        print(f"{name_of(windows)} {number} {one.name}", file=sys.stderr, flush=True)
        query = asking.query(one)
        begun = time.perf_counter()
        hits = asking.hits(one, query, windows=windows)
        seconds.append(time.perf_counter() - begun)
        outcomes.append(Outcome(one, figures(asking, one, hits)))
    print(table([(name_of(windows), outcomes)]), f"{statistics.median(seconds):.3f} s", flush=True)
    return outcomes, seconds


def figures(asking: Asking, one: RealClip, hits: Sequence[Hit], marked: Sequence[str] = ()) -> dict[str, float]:
    """marked: videos that do not count, because a user has judged them."""
    by_name = asking.named
    answers = [(hit.tubelet, by_name[hit.video], best_iou(hit.tubelet, by_name[hit.video])) for hit in hits]
    found = judged(one, asking.clips, answers)
    partners, ranked = asking.partners(one), [name for name in dict.fromkeys(hit.video for hit in hits)
                                              if name not in marked]  # fmt: skip
    left = [name for name in partners if name not in marked]
    return {
        "action right": found["all videos: action right"],
        "action and tube right": found["all videos: action and tube right"],
        "tube IoU of the first answer": answers[0][2][0] if answers and answers[0][1].is_like(one) else 0.0,
        "mAP of videos": average_precision([name in left for name in ranked], len(left)),
        "mAP of tubelets": found["all videos: mAP"],
        "partners found": sum(name in ranked for name in left) / max(len(left), 1),
    }


def helped(asking: Asking, once: Once) -> tuple[list[tuple[str, list[Outcome]]], str]:
    """Searched once more, with what finds the query back, or with the first answers whatever they are."""
    ways: dict[str, Callable[[Query, list[Hit]], list[Hit]]] = {
        "asked once": lambda query, hits: [],
        "again, with those of 3 that find the query back": lambda query, hits: asking.library.confirmed(query, hits),
        "again, with the first 3 whatever they are": lambda query, hits: hits[:3],
        "again, with the first alone": lambda query, hits: hits[:1],
    }  # fmt: skip
    rows, counts = [], list[str]()
    for title, way in ways.items():
        outcomes, taken, right = [], 0, 0
        for one, (query, hits) in once.items():
            more, partners = way(query, hits), asking.partners(asking.named[one])
            taken, right = taken + len(more), right + sum(hit.video in partners for hit in more)
            found = asking.hits(asking.named[one], asking.library.refined(query, more)) if more else hits
            outcomes.append(Outcome(asking.named[one], figures(asking, asking.named[one], found)))
        rows.append((title, outcomes))
        counts.append(f"{title}: {right} of {taken} examples right")
        print(table(rows[-1:]), counts[-1], flush=True)
    return rows, "; ".join(counts[1:])


def thumbs(asking: Asking, once: Once) -> list[tuple[str, list[Outcome]]]:
    """Of the videos of the first MARKED answers it is said whether they are right: then only the others count."""
    rows: dict[str, list[Outcome]] = {"before": [], "right ones as examples": [], "wrong ones as negatives": [],
                                      "both": []}  # fmt: skip
    for name, (query, hits) in once.items():
        one, partners = asking.named[name], asking.partners(asking.named[name])
        first = list({hit.video: hit for hit in reversed(hits)}.values())
        first = sorted(first, key=lambda hit: -hit.score)[:MARKED]
        marked = [hit.video for hit in first]
        if not {*partners} - {*marked}:
            continue
        right, wrong = ([hit for hit in first if (hit.video in partners) is said] for said in (True, False))
        given = {"before": ([], []), "right ones as examples": (right, []), "wrong ones as negatives": ([], wrong),
                 "both": (right, wrong)}  # fmt: skip
        for title, (more, less) in given.items():
            found = asking.hits(one, asking.library.refined(query, more, less)) if more or less else hits
            every = figures(asking, one, found, marked)
            rows[title].append(Outcome(one, {name: every[name] for name in ("mAP of videos", "partners found")}))
    return list(rows.items())


def abstaining(asking: Asking, once: Once) -> list[str]:
    """The share of questions that are answered, with and without what they ask for in the library, at stated rates.

    Every video asks without: of videos of other groups, its partners left out as well.
    """
    lines = ["| stated rate | answered though nothing shows it | answered | first answer right, of those answered | "
             "first answer right, of all |", "|---|---|---|---|---|"]  # fmt: skip
    nothing = [asking.hits(one, asking.query(one), asking.partners(one)) for one in asking.clips]
    for rate in RATES:
        wrongly = [any(hit.false_alarm <= rate for hit in hits) for hits in nothing]
        found = {name: [hit for hit in hits if hit.false_alarm <= rate] for name, (_, hits) in once.items()}
        right = [bool(hits) and hits[0].video in asking.partners(asking.named[name]) for name, hits in found.items()]
        answered = sum(map(bool, found.values()))
        lines.append(f"| {rate:g} | {np.mean(wrongly):.2f} ({sum(wrongly)} of {len(wrongly)}) | "
                     f"{answered / len(found):.2f} | {sum(right) / max(answered, 1):.2f} | {np.mean(right):.2f} |")
        print(lines[-1], flush=True)
    return lines


def page(
    chosen: argparse.Namespace, asking: Asking, first: dict[str, float],
    searched: list[tuple[str, list[Outcome], list[float]]],
) -> str:  # fmt: skip
    times = [f"| {title} | {1000 * statistics.median(seconds):.0f} | {1000 * max(seconds):.0f} |"
             for title, _, seconds in searched]  # fmt: skip
    index = asking.library.index
    once = {one.name: (query := asking.query(one), asking.hits(one, query)) for one in askers(asking.clips)}
    (again_rows, counts), thumb_rows, rates = helped(asking, once), thumbs(asking, once), abstaining(asking, once)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"""# A library of real clips, asked by one example

`python benchmarks/bench_search.py`, {len(index.videos)} clips of {sum(video.seconds for video in index.videos):.0f} s,
weights {chosen.weights}, index {index.composition} of {len(index)} rows; {processor()}, torch {torch.__version__},
{chosen.threads} thread, other work beside it. A second in the middle of the longest true tubelet asks, of all videos of
other groups. In brackets the middle 95 % of 2,000 draws of the queries.

## What is found when so many windows are looked at

Every clip is shorter than 21 s, so that a window is a video. Videos that are not looked at are not found.

{table([(title, outcomes) for title, outcomes, _ in searched])}
## What a question costs

Opened in {first["opened"]:.1f} s, the first answer of 32 windows after {first["first answer"]:.1f} s; peak memory of
the process {peak:.1f} GiB, with all looks kept. A further question of videos that were looked at:

| windows | ms, median | ms, most |
|---|---|---|
{chr(10).join(times)}

## Answers that become examples

32 windows. {counts}.

{table(again_rows)}
A user says of the videos of the first {MARKED} answers whether they are right; then only the other videos count.

{table(thumb_rows)}
## Abstaining

32 windows. A question is answered where an answer's rate of false alarms is at most the stated one.

{chr(10).join(rates)}
"""


if __name__ == "__main__":
    main()
