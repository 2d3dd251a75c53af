"""The command line: flags, one call, one line that says where the result lies."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from stvr.structures import ClipSpec

app = typer.Typer(
    name="stvr", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Where and when does this happen? Ask with an example: find the tubelets that do what a query does.",
)  # fmt: skip
prepare_app = typer.Typer(no_args_is_help=True, help="Annotations -> linked tubelets -> pairs.")
app.add_typer(prepare_app, name="prepare")
weights_app = typer.Typer(no_args_is_help=True, help="Trained backbone weights: what a file holds, and into our form.")
app.add_typer(weights_app, name="weights")

Videos = Annotated[list[Path], typer.Argument(help="Video files, or folders of them.", show_default=False)]
Store = Annotated[Path, typer.Option(help="The folder of the feature store.", show_default=False)]
Pairs = Annotated[Path, typer.Option(help="A pairs file of `stvr prepare`.", show_default=False)]
CheckpointFile = Annotated[Path, typer.Option(help="A head.safetensors, or a run's folder.", show_default=False)]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")]
Weights = Annotated[
    Path | None, typer.Option(help="Weights: .safetensors, rgb_imagenet.pt or model.ckpt; analytic if none.")
]
WeightsFile = Annotated[
    Path, typer.Argument(help="A .safetensors, rgb_imagenet.pt, or model.ckpt of TensorFlow.", show_default=False)
]
Protocol = Annotated[str, typer.Option(help="released: as the authors built pairs. debiased: without its shortcuts.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]
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
VideosDir = Annotated[
    Path | None, typer.Option("--videos", help="The folder of the video files: their lengths are read.")
]

VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".ogv"}
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # click's UsageError, which typer gives no name
STOPPED = 130  # what typer makes of Ctrl-C


def main() -> None:
    """Runs a command; a fault of the user's is one line on standard error and exit status 2."""
    try:
        status = app(standalone_mode=False, prog_name="stvr")
    except USAGE_ERROR as error:
        fail(usage(error))
    except (ValueError, LookupError, OSError) as error:
        fail(error)
    if status == STOPPED:
        print("stvr: stopped; start the same command again to go on", file=sys.stderr)
    sys.exit(status)


def fail(error: Exception | str) -> NoReturn:
    """One line, exit status 2."""
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    print(f"stvr: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(2)


def usage(error: Any) -> str:
    """What is wrong with the flags, in one line."""
    message = str(error.format_message())
    if not message.strip():  # nothing was asked for: the help has been shown
        sys.exit(2)
    return f"{message.rstrip('.')}. See `{error.ctx.command_path} --help`." if error.ctx else message


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """The whole job on a world that it makes itself: synth, extract, train, eval, locate, one HTML report."""
    from stvr.demo import demo as run_demo

    done(run_demo(out, seed=seed), "open the report in a browser")


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    size: Annotated[str, typer.Option(help="tiny, or small.")] = "small",
    seed: Seed = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; every core if not given.")] = None,
) -> None:
    """Write the synthetic action world: mp4 files and AVA-format annotations."""
    from stvr.data.synthetic import write_world

    write_world(out, size=size, seed=seed, workers=workers)
    done(out, "videos, train.csv, test.csv, actions.pbtxt, held_out.txt")


@prepare_app.command("ava")
def prepare_ava_command(
    csvs: Annotated[list[Path], typer.Argument(help="AVA-format CSV files.", show_default=False)],
    out: PairsOut,
    train: Annotated[list[Path] | None, typer.Option(help="CSV files whose videos only train.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The label map (.pbtxt).")] = None,
    excluded: Annotated[Path | None, typer.Option(help="Excluded timestamps (.csv).")] = None,
    held_out: HeldOut = None,
    videos: VideosDir = None,
    offset_seconds: Annotated[int, typer.Option(help="900 if the videos were cut to AVA's fifteen minutes.")] = 0,
    protocol: Protocol = "debiased",
    absent_share: AbsentShare = 0.2,
    seed: Seed = 0,
) -> None:
    """AVA-format annotations. Without --held-out, the authors' 27 + 27 labels are kept for val and test."""
    from stvr.data.prepare import prepare_ava

    summary = prepare_ava(
        csvs, out, train_csvs=train or (), label_map=labels, excluded=excluded, held_out=held_out,
        seconds_offset=offset_seconds, video_clips=probe_folder(videos).clips if videos else None,
        options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    say_summary(out, summary)


@prepare_app.command("ucf101-24")
def prepare_ucf_command(
    annotations: Annotated[Path, typer.Argument(help="pyannot.pkl, read as data alone.", show_default=False)],
    out: PairsOut,
    videos: Annotated[Path, typer.Option(help="The folder of the video files.", show_default=False)],
    held_out: HeldOut = None,
    protocol: Protocol = "debiased",
    absent_share: AbsentShare = 0.2,
    seed: Seed = 0,
) -> None:
    """UCF101-24, for the videos in the folder. Without --held-out, 5 + 5 classes if all 24 are there, else none."""
    from stvr.data.prepare import prepare_ucf101_24

    found = probe_folder(videos)
    summary = prepare_ucf101_24(
        annotations, out, frame_rates=found.rates, video_clips=found.clips, held_out=held_out,
        options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    say_summary(out, summary)


@prepare_app.command("table")
def prepare_table_command(
    table: Annotated[Path, typer.Argument(help="CSV: video,seconds,x1,y1,x2,y2,person,label.", show_default=False)],
    out: PairsOut,
    videos: VideosDir = None,
    pixels: Annotated[bool, typer.Option("--pixels", help="Boxes are in pixels of the files in --videos.")] = False,
    held_out: HeldOut = None,
    protocol: Protocol = "debiased",
    absent_share: AbsentShare = 0.2,
    seed: Seed = 0,
) -> None:
    """Your own annotations; boxes in [0, 1], or --pixels. Without --held-out, nothing is held out."""
    from stvr.data.prepare import prepare_table

    if pixels and videos is None:
        raise ValueError("boxes in pixels need the pictures' sizes. Give --videos, or columns width and height.")
    found = probe_folder(videos) if videos else None
    summary = prepare_table(
        table, out, sizes=found.sizes if found and pixels else None, video_clips=found.clips if found else None,
        held_out=held_out, options=pair_options(protocol=protocol, seed=seed, absent_share=absent_share),
    )  # fmt: skip
    say_summary(out, summary)


@weights_app.command("convert")
def weights_convert_command(
    source: WeightsFile,
    out: Annotated[Path, typer.Option(help="The .safetensors to write.", show_default=False)],
    endpoint: Annotated[str, typer.Option(help="The last layer to keep.")] = "Logits",
) -> None:
    """Check the names and shapes of I3D's weights, and write them as .safetensors."""
    from stvr.backbones.convert import convert

    held = convert(source, out, endpoint)
    for cut, digest in held["digests"].items():
        print(f"{cut} {digest}")
    done(out, f"{held['parameters']} parameters in {held['variables']} tensors, {held['in_channels']} input channels")


@weights_app.command("info")
def weights_info_command(path: WeightsFile) -> None:
    """What a file of weights holds, with its digest up to each usual endpoint, as JSON."""
    import json

    from stvr.backbones.convert import describe_weights

    print(json.dumps(describe_weights(path), indent=1))


@app.command()
def extract(
    videos: Videos,
    store: Store,
    pairs: Annotated[Path | None, typer.Option(help="Only the videos that a pairs file names.")] = None,
    backbone: Annotated[str, typer.Option(help="A name on the menu of backbones.")] = "i3d",
    weights: Weights = None,
    endpoint: Annotated[str, typer.Option(help="Where the backbone is cut.")] = "Mixed_4c",
    image_size: Annotated[int, typer.Option(min=32, help="Frames are resized to a square of so many pixels.")] = 320,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Clips that go through the backbone together.")] = 8,
    device: Device = "cpu",
) -> None:
    """Stage one: videos -> backbone -> store. Start it again after a stop and it goes on."""
    from stvr.backbones import load_backbone
    from stvr.extract.job import extract as run_extract
    from stvr.structures import ClipSpec

    paths, clip = video_files(videos), ClipSpec(image_size=image_size)
    if pairs is not None:
        paths, clip = named_in(pairs, paths, image_size)
    network = load_backbone(backbone, weights, endpoint, precision, usable(device))
    report = run_extract(paths, store, network, clip, batch_size=batch_size)
    done(store, f"{len(report.done)} videos extracted ({report.clips_computed} clips), "
                f"{len(report.skipped)} were there, {len(report.failed)} failed")
    exit_telling(report.failed)


@app.command()
def train(
    store: Store,
    pairs: Pairs,
    out: Annotated[Path, typer.Option(help="The folder of the run.", show_default=False)],
    frozen_backbone: Annotated[bool, typer.Option("--frozen-backbone", help="On cached features; the default.")] = True,
    head: Annotated[str | None, typer.Option(help="A name on the menu of heads.")] = None,
    propagation: Annotated[str | None, typer.Option(help="none, conv_lstm, traj_lstm or warp_lstm.")] = None,
    preset: Annotated[str, typer.Option(help="paper: its sizes and schedule. small: two cores.")] = "paper",
    config: Annotated[Path | None, typer.Option(help="Options in a TOML file; flags win.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run was stopped.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps in all.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pairs a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd or adamw.")] = None,
    schedule: Annotated[str | None, typer.Option(help="step or cosine.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed gives the same result.")] = None,
    device: Device = "cpu",
) -> None:
    """Stage two: train a head on cached features."""
    from stvr.progress import shown_steps
    from stvr.train import train as run_train
    from stvr.train import train_options

    chosen = options_of(name=head, propagation=propagation)
    flags = options_of(steps=steps, batch_size=batch_size, lr=lr, optimizer=optimizer, schedule=schedule, seed=seed)
    options = train_options(preset, config, {**flags, **({"head": chosen} if chosen else {})})
    if resume and not out.exists():
        print(f"stvr: there is no run in {out} yet: it begins with the first step", file=sys.stderr)
    with shown_steps("training") as tell:
        report = run_train(store, pairs, out, options, resume=resume, device=usable(device), report=tell)
    losses = ", ".join(f"{name} {value:.3g}" for name, value in report.losses.items()) or "nothing left to do"
    done(out / "head.safetensors", f"{report.steps} steps, {report.steps_now} of them now; {losses}")


@app.command("eval")
def evaluate_command(
    checkpoint: CheckpointFile,
    store: Store,
    pairs: Pairs,
    split: Annotated[str | None, typer.Option(help="train, val or test; test if there is one, else all pairs.")] = None,
    audit: Annotated[bool, typer.Option("--audit", help="Add rankings that never look at the query.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only so many pairs, drawn by the seed.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for eval.json.")] = None,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Metrics, per label, with the shuffled-query probe beside them."""
    from stvr.evaluate import evaluate, text_table
    from stvr.progress import shown_steps

    with shown_steps("evaluating") as tell:
        results = evaluate(
            checkpoint, store, pairs, split=split, out=out, seed=seed, limit=limit, audit=audit, device=usable(device),
            report=lambda done, total: tell(done, total, {}),
        )  # fmt: skip
    print(text_table(results))
    if out:
        done(out / "eval.json", results["evaluated"])


@app.command()
def locate(
    references: Annotated[list[Path], typer.Argument(help="The videos to look in.", show_default=False)],
    checkpoint: CheckpointFile,
    query: Annotated[Path, typer.Option(help="The video that shows it.", show_default=False)],
    box: Annotated[str, typer.Option(help="X1,Y1,X2,Y2 around the actor, in pixels or in [0, 1].", show_default=False)],
    at: Annotated[float, typer.Option(help="When, in seconds.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder for tubelets.jsonl.", show_default=False)],
    span: Annotated[
        str | None, typer.Option(help="START,STOP of the query in seconds; a second around --at if not given.")
    ] = None,
    weights: Weights = None,
    render: Annotated[bool, typer.Option("--render", help="Write an annotated mp4 of each reference.")] = False,
    device: Device = "cpu",
) -> None:
    """Where and when: JSON Lines of tubelets in seconds and pixels, best first; annotated video."""
    from stvr.locate import Answer, locate_files
    from stvr.progress import shown_steps

    files = video_files(references)
    places = render_places(files, query, out) if render else {}

    def write_video(answer: Answer) -> None:
        from stvr.render.video import render_tubelets

        if answer.path in places:
            render_tubelets(answer.path, answer.tubelets, places[answer.path], answer.clip)

    with shown_steps("locating") as tell:
        report = locate_files(
            checkpoint, query, edges(box, 4, "--box X1,Y1,X2,Y2"), at, files, out,
            span=seconds_pair(span), weights=weights, device=usable(device), on_answer=write_video,
            report=lambda path, done, total: tell(done, total, {}),
        )  # fmt: skip
    done(report.path, f"{report.num_tubelets} tubelets in {report.num_references} references")
    exit_telling(report.failed)


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="A store, a checkpoint, a run, or a pairs file.", show_default=False)],
) -> None:
    """What is in a store, a checkpoint or a pairs file, as JSON."""
    import json

    from stvr.info import describe

    print(json.dumps(describe(path), indent=1))


def done(path: Path | str, what: str) -> None:
    print(f"{path}: {what}")


def video_files(paths: list[Path]) -> list[Path]:
    """The files themselves; of a folder, every file in it that is named like a video."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES)
        else:
            files.append(path)
    if not files:
        raise FileNotFoundError(f"no video file in {', '.join(map(str, paths))}. Name files, or a folder of them.")
    return files


def named_in(pairs: Path, files: list[Path], image_size: int) -> tuple[list[Path], ClipSpec]:
    """The files whose videos the pairs name, and how the pairs cut them; a video that has no file is told of."""
    from stvr.data.pairs_file import clip_spec, read_pairs

    read, header = read_pairs(pairs)
    wanted = {span.video for pair in read for span in (pair.query.span, pair.reference)}
    chosen = [file for file in files if file.stem in wanted]
    if not chosen:
        raise LookupError(f"none of the {len(files)} files is named in {pairs}. Name the files that it speaks of.")
    if missing := sorted(wanted - {file.stem for file in chosen}):
        print(f"stvr: {len(missing)} videos of {pairs} are not among the files, {missing[0]!r} first", file=sys.stderr)
    return chosen, clip_spec(header, image_size)


def render_places(references: list[Path], query: Path, out: Path) -> dict[Path, Path]:
    """Where the annotated video of each reference goes; never over another one, nor over a video that is read."""
    places: dict[Path, Path] = {}
    taken = {path.resolve() for path in (*references, query)}
    for reference in references:
        place = out / f"{reference.stem}_tubelets.mp4"
        if place.resolve() in taken:
            raise ValueError(f"--render would write {place} over another video. Choose another --out, or rename "
                             f"{reference}.")
        taken.add(place.resolve())
        places[reference] = place
    return places


def usable(device: str) -> str:
    """The device itself; ValueError where this machine or this build of torch has none of it."""
    import torch

    try:
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"the device {device!r} cannot be used here: {reason}. Give --device cpu.") from None
    return device


def probe_folder(folder: Path) -> Any:
    """Rates, sizes and lengths of the videos in a folder; one that cannot be read is told of and left out."""
    from stvr.extract.probing import probe_videos

    found = probe_videos(video_files([folder]))
    for name, reason in found.failed.items():
        print(f"stvr: {name}: {reason}", file=sys.stderr)
    return found


def pair_options(**flags: Any) -> Any:
    from stvr.config import fill
    from stvr.data.prepare import PairOptions

    return fill(PairOptions, flags=flags)


def say_summary(out: Path, summary: dict[str, Any]) -> None:
    """Counts and place on standard output; what was decided for the user on standard error."""
    for split, numbers in summary["splits"].items():
        print(f"{split}: " + ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in numbers.items()))
    for split, labels in summary["held_out"].items():
        print(f"stvr: held out for {split} ({len(labels)}): {'; '.join(labels) or 'none that occurs'}", file=sys.stderr)
    if summary["unseen"]:
        print(f"stvr: to be held out, but nobody does it: {'; '.join(summary['unseen'])}", file=sys.stderr)
    if not any(summary["held_out"].values()):
        print("stvr: nothing is held out; name labels with --held-out to test on actions that were not trained on",
              file=sys.stderr)  # fmt: skip
    if summary["extent_seconds"]:
        start, stop = summary["extent_seconds"]
        print(f"stvr: references lie between {start:g} and {stop:g} s, as AVA's; --videos would read the true lengths",
              file=sys.stderr)  # fmt: skip
    total = sum(int(numbers["pairs"]) for numbers in summary["splits"].values())
    done(out, f"{total} pairs of {summary['tubelets']} tubelets, {summary['labels']} labels")


def exit_telling(failed: Mapping[str, str]) -> None:
    """Exit status 1 when some of the videos could not be read, a line for each."""
    for name, reason in failed.items():
        print(f"stvr: {reason if name in reason else f'{name}: {reason}'}", file=sys.stderr)
    if failed:
        sys.exit(1)


def edges(text: str, count: int, example: str) -> list[float]:
    """Numbers with commas between them."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise ValueError(f"wanted {example}, came {text!r}. Give {count} numbers with commas between them.")
    return numbers


def seconds_pair(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    start, stop = edges(text, 2, "--span START,STOP in seconds")
    return start, stop


def options_of(**flags: Any) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}


if __name__ == "__main__":
    main()
