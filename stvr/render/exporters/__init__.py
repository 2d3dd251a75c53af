"""Tubelets to and from other tools' formats: the menu."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stvr.files import write_text
from stvr.render.exporters.account import Account
from stvr.render.exporters.at_hand import Size, by_name, times_of
from stvr.render.exporters.ava_rows import export_ava, import_ava
from stvr.render.exporters.coco_video import export_coco_video, import_coco_video
from stvr.render.exporters.cvat_tracks import export_cvat, import_cvat
from stvr.render.exporters.fiftyone import export_fiftyone, import_fiftyone
from stvr.render.exporters.mot import export_mot, import_mot, sequence_ini
from stvr.render.exporters.people import with_people_apart
from stvr.render.exporters.records import Found, best_of, by_video, read_found, video_names, write_found, write_table
from stvr.render.exporters.tracks import frames_of
from stvr.render.exporters.webvtt import export_webvtt, import_webvtt
from stvr.video.frame_times import FrameTimes

__all__ = ["EXPORTS", "IMPORTS", "Account", "Found", "best_of", "export_file", "import_file", "import_files",
           "read_found", "write_found", "write_table"]

IMPORTS = ("ava", "coco-video", "cvat", "mot", "fiftyone", "webvtt")
EXPORTS = ("ava", "ava-detections", *IMPORTS[1:])
OF_ONE_VIDEO = {"cvat": ".xml", "mot": ".txt", "webvtt": ".vtt"}  # a file each: the suffix in a folder of several
IN_SECONDS = ("ava", "ava-detections", "webvtt")  # the others count frames


def export_file(found: Sequence[Found], form: str, out: Path, *, label: str | None = None, fps: float | None = None,
                videos: Sequence[Path] = (), account: Account | None = None) -> list[Path]:
    """Writes tubelets in one of EXPORTS; returns the files.

    For several videos in a format that holds one, OUT becomes a folder with a file for each, named as `video_names`
    says.

    Args:
        label: what all tubelets show, whatever they are labelled; for AVA an id. None: their own labels, "1" for those
            that have none.
        fps: of videos that are not at hand. videos: files among which they are looked for, besides their own paths.
        account: is told what is left out.
    """
    known(form, EXPORTS)
    if not found:
        raise ValueError("there are no tubelets to export.")
    account = Account() if account is None else account
    found = [replace(each, label=label or each.label or "1") for each in found]
    times = {}
    if form not in IN_SECONDS:
        named = by_name(videos)
        times = {each: times_of(each, fps, named, account)[0] for each in by_video(found)}
        found = with_frames(found, times, account)
    groups = by_video(found)
    if form in OF_ONE_VIDEO:
        texts = {path: text for reference, place in places(out, found, OF_ONE_VIDEO[form]).items()
                 for path, text in texts_of_one(form, groups[reference], place, times.get(reference)).items()}
    else:
        texts = {out: {
            "ava": lambda: export_ava(found, account),
            "ava-detections": lambda: export_ava(found, account, scores=True),
            "coco-video": lambda: export_coco_video(found, times),
            "fiftyone": lambda: export_fiftyone(found, times),
        }[form]()}
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def with_frames(found: Sequence[Found], times: Mapping[str, FrameTimes], account: Account) -> list[Found]:
    """The tubelets that have a frame in their videos; ValueError where there is none."""
    kept = []
    for each in found:
        if len(frames_of(each, times[each.reference])[0]):
            kept.append(each)
        else:
            account.leave_out("tubelets", "their videos end before", f"{each.reference}, "
                              f"{each.seconds_at(each.start):g} s")
    if not kept:
        raise ValueError(f"no tubelet is left to export; {account.left_out[-1]}.")
    if gone := sorted({each.reference for each in found} - {each.reference for each in kept}):
        account.leave_out("videos", "none of their tubelets is left", gone[0], len(gone), gone)
    return kept


def places(out: Path, found: Sequence[Found], suffix: str) -> dict[str, Path]:
    """Where the file of each reference goes: OUT for the only one, else files in it by the videos' names."""
    names = video_names(found)
    return {reference: out.joinpath(f"{name}{suffix}") if len(names) > 1 else out for reference, name in names.items()}


def texts_of_one(form: str, found: Sequence[Found], place: Path, times: FrameTimes | None) -> dict[Path, str]:
    """The files of one video, in a format that holds no more."""
    if times is None:
        return {place: export_webvtt(found)}
    (name,) = video_names(found).values()
    if form == "cvat":
        return {place: export_cvat(found, name, times)}
    return {place: export_mot(found, times), place.with_suffix(".ini"): sequence_ini(found, name, times)}


def import_files(paths: Sequence[Path], form: str, *, fps: float | None = None, size: Size | None = None,
                 videos: Sequence[Path] = (), account: Account | None = None) -> list[Found]:
    """The tubelets of several files of one format, in which people of one video are told apart by file.

    Those of two files whose boxes agree are one person. Raises ValueError where no file holds a tubelet.
    """
    account = Account() if account is None else account
    parts = [(path, import_file(path, form, fps=fps, size=size, videos=videos, account=account)) for path in paths]
    if not any(found for _, found in parts):
        raise ValueError("; ".join(["no tubelet is left to import", *map(str, account.left_out)]) + ".")
    return with_people_apart(parts, account)


def import_file(path: Path, form: str, *, fps: float | None = None, size: Size | None = None,
                videos: Sequence[Path] = (), account: Account | None = None) -> list[Found]:
    """Reads tubelets from one of IMPORTS. fps, size (width, height): for files and videos that do not give them.

    videos: files among which the videos are looked for by name, besides their own paths, for their time stamps.
    account: is told what is left out.
    Raises: ValueError, one line, for a file that is not in the format.
    """
    known(form, IMPORTS)
    account = Account() if account is None else account
    if form == "ava" and size is None:
        raise ValueError("AVA's boxes are fractions of the picture, and the file does not give its size. "
                         "Give --size WIDTHxHEIGHT.")
    named = by_name(videos)
    try:
        return {
            "ava": lambda: import_ava(path, size or (1, 1)),
            "coco-video": lambda: import_coco_video(path, fps, size, named, account),
            "cvat": lambda: import_cvat(path, fps, named, account),
            "mot": lambda: import_mot(path, fps, size, named, account),
            "fiftyone": lambda: import_fiftyone(path, fps, size, named, account),
            "webvtt": lambda: import_webvtt(path),
        }[form]()
    except ValueError as error:
        told = str(error).startswith(path.name)
        raise ValueError(str(error) if told else f"{path.name} cannot be read as {form}: {error}") from None


def known(form: str, forms: Sequence[str]) -> None:
    if form not in forms:
        raise ValueError(f"there is no format {form!r}. Choose one of {', '.join(forms)}.")
