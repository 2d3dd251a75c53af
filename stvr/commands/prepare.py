"""stvr prepare: annotations -> linked tubelets -> pairs."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from stvr.annotations import READERS
from stvr.commands import AcceptMissing, Seed, done, prepare_labels, prepare_people, tell, tell_doubts, video_files

if TYPE_CHECKING:
    from stvr.annotations.reader import Reader
    from stvr.tasks.pairs.prepare import PairOptions
    from stvr.video.probing import Probed

Protocol = Annotated[
    str,
    typer.Option(
        help="released: pairs as the authors' program builds them. paper: as their paper says, where a query is never "
        "its own reference. debiased: without the shortcuts of such pairs. one_shot: one example of every held-out "
        "label, of a video that trains, asked of every video that does not."
    ),
]
AbsentShare = Annotated[float, typer.Option(help="Share of the debiased pairs whose reference holds no target.")]
HeldOut = Annotated[
    str | None,
    typer.Option(
        help="Labels kept for testing: names or ids with ; between them, where 12,79 or 'stand + walk' is one label of "
        "two actions; or a file with one label a line; or none.",
        show_default=False,
    ),
]
PairsOut = Annotated[Path, typer.Option("--out", help="The pairs file to write.", show_default=False)]
TrainFiles = Annotated[list[Path] | None, typer.Option(help="Files whose videos only train.")]
VideosDir = Annotated[
    Path | None,
    typer.Option("--videos", help="The folder of the video files, or of folders of them: their lengths are read."),
]
GIVEN_BY_NAME = inspect.Parameter.KEYWORD_ONLY


class Sources(TyperGroup):
    """A command for every reader on the menu, made when it is asked for: their names alone import no reader."""

    @property
    def commands(self) -> Any:
        return {**dict.fromkeys(READERS), **self._own}

    @commands.setter
    def commands(self, own: Any) -> None:
        self._own = own

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return self.commands.get(cmd_name) or (source_command(cmd_name) if cmd_name in READERS else None)


app = typer.Typer(cls=Sources, no_args_is_help=True, help="Annotations -> linked tubelets -> pairs.")


def source_command(source: str) -> Any:
    """`stvr prepare SOURCE`, with the options that its reader can use and no others."""
    reader = READERS[source]

    def command(**flags: Any) -> None:
        prepare_source(source, flags.pop(reader.argument), **flags)

    command.__signature__ = signature_for(reader)  # type: ignore[attr-defined]
    alone = typer.Typer(add_completion=False)
    alone.command(source, help=reader.help)(command)
    return typer.main.get_command(alone)


def signature_for(reader: Reader) -> inspect.Signature:
    """What `prepare_source` takes, as far as the reader can use it, and the reader's own options."""
    shared = dict(inspect.signature(prepare_source, eval_str=True).parameters)
    for name in ("source", "files", "own", *(() if reader.train_files else ("train",))):
        del shared[name]
    if reader.needs_videos:
        shared["videos"] = shared["videos"].replace(default=inspect.Parameter.empty)
    files = typer.Argument(help=reader.argument_help, show_default=False)
    kind = list[Path] if reader.several else Path
    argument = inspect.Parameter(reader.argument, GIVEN_BY_NAME, annotation=Annotated[kind, files])
    own = [own_option(name, field) for name, field in reader.options.model_fields.items() if field.description]
    return inspect.Signature([argument, shared.pop("out"), *own, *shared.values()])


def own_option(name: str, field: Any) -> inspect.Parameter:
    """A field of the reader's options as an option of its command."""
    bounds = {side: getattr(each, bound) for each in field.metadata for bound, side in (("ge", "min"), ("le", "max"))
              if hasattr(each, bound)}
    option = typer.Option(f"--{name.replace('_', '-')}", help=field.description, **bounds)
    default = inspect.Parameter.empty if field.is_required() else field.default
    return inspect.Parameter(name, GIVEN_BY_NAME, annotation=Annotated[field.annotation, option], default=default)


def prepare_source(
    source: str,
    files: Path | list[Path],
    *,
    out: PairsOut,
    train: TrainFiles = None,
    videos: VideosDir = None,
    held_out: HeldOut = None,
    protocol: Protocol = "debiased",
    absent_share: AbsentShare = 0.2,
    seed: Seed = 0,
    accept_missing: AcceptMissing = False,
    **own: Any,
) -> None:
    from stvr.tasks.pairs.prepare import prepare

    probed = probe_folder(videos) if videos else None
    facts = {"frame_rates": probed.times, "sizes": probed.sizes} if probed else {}
    summary = prepare(
        source, files if isinstance(files, list) else [files], out, {**own, **READERS[source].usable(facts)},
        train_files=train or (), held_out=held_out, video_clips=probed.clips if probed else None,
        unreadable=probed.failed if probed else (), video_offsets=probed.offsets if probed else None,
        options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    print_summary(out, summary)
    tell([*assumed(source, probed, own), *summary["said"], *summary["doubts"], *summary["left_out"]],
         summary["missing_videos"], accept_missing)


def assumed(source: str, probed: Probed | None, own: dict[str, Any]) -> list[str]:
    """A line where frames are counted and no video says when each of them is shown."""
    fps = own.get("fps") or getattr(READERS[source].options.model_fields.get("fps"), "default", None)
    if probed or not fps:
        return []
    return [f"{fps:g} frames a second are assumed throughout; give --videos for the videos' own time stamps"]


app.command("labels")(prepare_labels.labels)
app.command("people")(prepare_people.people)


@app.command("check")
def check_command(
    files: Annotated[list[Path], typer.Argument(help="What `prepare` takes.", show_default=False)],
    kind: Annotated[
        str | None, typer.Option(help="The source, as in `stvr prepare SOURCE`; without it, the files are recognised.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="The label map (.pbtxt).")] = None,
    excluded: Annotated[Path | None, typer.Option(help="Excluded timestamps (.csv).")] = None,
    videos: VideosDir = None,
    decode: Annotated[bool, typer.Option("--decode", help="Decode every frame of the videos too: slow.")] = False,
    pairs: Annotated[Path | None, typer.Option(help="Check this pairs file against the annotations.")] = None,
    offset_seconds: Annotated[int, typer.Option(help="900 if the videos were cut to AVA's fifteen minutes.")] = 0,
    pixels: Annotated[bool, typer.Option("--pixels", help="A table's boxes are in pixels of the files.")] = False,
    fps: Annotated[float | None, typer.Option(help="Frames a second of the videos, if there is no --videos.")] = None,
    attribute: Annotated[
        str | None, typer.Option(help="CVAT: the attribute that names the action, if the label only says who does it.")
    ] = None,
    protocol: Protocol = "debiased",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Find faults before any training: boxes, labels, times, videos, pairs. Exit status 1 when there are some."""
    import json

    from stvr.annotations.kinds import read_rows
    from stvr.tasks.pairs.build import read_pairs
    from stvr.tasks.pairs.faults import Videos, check

    if decode and videos is None:
        raise ValueError("--decode needs the videos. Give --videos.")
    probed = probe_folder(videos, decode=decode) if videos else None
    parts = read_rows(files, kind, {
        "labels": labels, "excluded": excluded, "offset_seconds": offset_seconds, "attribute": attribute, "fps": fps,
        "frame_rates": probed.times if probed else None, "sizes": probed.sizes if probed else None,
        "pixels": pixels and probed is not None,  # without the videos, boxes in pixels are faults like any other
    }, [*probed.clips, *probed.failed] if probed else ())  # fmt: skip
    known = Videos(probed.clips, probed.failed, probed.offsets, probed.seconds) if probed else None
    report = check(parts, known, pair_options(protocol=protocol), read_pairs(pairs)[0] if pairs else None)
    for line in (line for part in parts for line in (*part.said, *map(str, part.left_out))):
        print(f"stvr: {line}", file=sys.stderr)
    print(json.dumps(report.to_json(), indent=1, ensure_ascii=False) if as_json else "\n".join(report.lines()))
    gone = any(each.videos for part in parts for each in part.left_out)
    sys.exit(1 if report.faults or gone else 0)


def probe_folder(folder: Path, *, decode: bool = False) -> Probed:
    """Rates, sizes and lengths of the videos in a folder and the folders in it; a line for each unreadable file."""
    from stvr.video.probing import decode_videos, probe_videos

    files = video_files([folder])
    probed = probe_videos(files)
    if decode:
        decode_videos(probed, files)
    tell_doubts(probed.doubtful)
    for name, reason in probed.failed.items():
        print(f"stvr: {name}: {reason}", file=sys.stderr)
    return probed


def pair_options(**flags: Any) -> PairOptions:
    from stvr.config import fill
    from stvr.tasks.pairs.prepare import PairOptions

    return fill(PairOptions, flags=flags)


def print_summary(out: Path, summary: dict[str, Any]) -> None:
    """Counts and place on standard output; what was decided for the user, and left out, on standard error."""
    from stvr.tasks.pairs.audit import headline

    for split, numbers in summary["splits"].items():
        print(f"{split}: " + ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in numbers.items()))
    for line in [*decisions(summary), *(headline(split, found) for split, found in summary["audit"].items())]:
        print(f"stvr: {line}", file=sys.stderr)
    total = sum(int(numbers["pairs"]) for numbers in summary["splits"].values())
    done(out, f"{total} pairs of {summary['tubelets']} tubelets, {summary['labels']} labels")


def decisions(summary: dict[str, Any]) -> list[str]:
    """Lines about what is held out, and where references lie if no video was read."""
    lines = [f"held out for {split} ({len(labels)}): {'; '.join(labels) or 'none that occurs'}"
             for split, labels in summary["held_out"].items()]
    if summary["unseen"]:
        lines.append(f"to be held out, but nobody does it: {'; '.join(summary['unseen'])}")
    lines += [f"held out for {split}, but no pair could be made of it: a label needs tubelets in two videos that are "
              "not for training alone" for split, labels in summary["held_out"].items()
              if labels and split not in summary["splits"]]
    if not any(summary["held_out"].values()):
        lines.append("nothing is held out; name labels with --held-out to test on actions that training never shows")
    if summary["extent_seconds"]:
        start, stop = summary["extent_seconds"]
        lines.append(f"references lie between {start:g} and {stop:g} s, as AVA's; give --videos for the true lengths")
    return lines
