"""stvr prepare labels: published lists of labelled videos -> labels.csv."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import done


def labels(
    out: Annotated[Path, typer.Option(help="The file of labels to write (.csv).", show_default=False)],
    lists: Annotated[
        list[Path] | None,
        typer.Argument(help="Lists that say themselves what trains: Kinetics' CSV, a JSON database, HMDB51's folder.",
                       show_default=False),
    ] = None,
    train: Annotated[list[Path] | None, typer.Option(help="Lists whose videos train.")] = None,
    val: Annotated[list[Path] | None, typer.Option(help="Lists whose videos validate.")] = None,
    test: Annotated[list[Path] | None, typer.Option(help="Lists whose videos test.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Names of numbered classes: one a line, classInd.txt, or Something's JSON.")
    ] = None,
    split: Annotated[int, typer.Option(min=1, max=3, help="Which of HMDB51's three splits.")] = 1,
) -> None:
    """Published lists of labelled videos -> labels.csv, as `stvr train --head classifier` takes it.

    Kinetics, ActivityNet, UCF101, HMDB51, Something-Something, Jester; `folder frames class`; the JSON of
    3D-ResNets-PyTorch. Which it is shows in the file.
    """
    from stvr.annotations.label_lists import read_class_names, read_label_list, with_split
    from stvr.tasks.labels.file import write_labels

    names = read_class_names(classes) if classes else None
    found = [read_label_list(path, names, split) for path in lists or ()]
    for name, paths in (("train", train), ("val", val), ("test", test)):
        found += [with_split(read_label_list(path, names, split), name) for path in paths or ()]
    rows = [row for each in found for row in each.rows]
    if not rows:
        raise ValueError("there is nothing to write. Name lists, or give them with --train, --val and --test.")
    write_labels(out, rows)
    for each in found:
        for reason, count in each.left_out.items():
            print(f"stvr: {count} videos are left out: {reason}", file=sys.stderr)
    counts = Counter(row.split or "no split" for row in rows)
    done(out, f"{len({row.label for row in rows})} classes; " + ", ".join(f"{each} {counts[each]}" for each in counts))
