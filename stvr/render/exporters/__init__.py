"""Tubelets to and from other tools' formats: the menu."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stvr.files import write_text
from stvr.render.exporters.ava_rows import export_ava, import_ava
from stvr.render.exporters.coco_video import export_coco_video, import_coco_video
from stvr.render.exporters.cvat_tracks import export_cvat, import_cvat
from stvr.render.exporters.fiftyone import export_fiftyone, import_fiftyone
from stvr.render.exporters.mot import export_mot, import_mot, sequence_ini
from stvr.render.exporters.records import Found, by_video, read_found, write_found, write_table
from stvr.render.exporters.webvtt import export_webvtt, import_webvtt

__all__ = ["EXPORTS", "IMPORTS", "Found", "export_file", "import_file", "read_found", "write_found", "write_table"]

IMPORTS = ("ava", "coco-video", "cvat", "mot", "fiftyone", "webvtt")
EXPORTS = ("ava", "ava-detections", *IMPORTS[1:])
ONE_VIDEO = {"cvat": ".xml", "mot": ".txt", "webvtt": ".vtt"}  # a file each: the suffix in a folder of several


def export_file(found: Sequence[Found], form: str, out: Path, *, label: str = "match", fps: float | None = None,
                ) -> list[Path]:
    """Writes tubelets in one of EXPORTS; returns the files.

    For several videos in a format that holds one, OUT becomes a folder with a file for each.

    Args:
        label: what the tubelets show; for AVA an id. fps: of the videos; None: read from the video files.
    """
    known(form, EXPORTS)
    if not found:
        raise ValueError("there are no tubelets to export.")
    groups = by_video(found)
    if form in ONE_VIDEO and len(groups) > 1:
        places = {reference: out / f"{Path(reference).stem}{ONE_VIDEO[form]}" for reference in groups}
        if len(set(places.values())) < len(groups):
            raise ValueError("two of the videos have the same name. Export them separately.")
        return [path for reference, group in groups.items()
                for path in export_file(group, form, places[reference], label=label, fps=fps)]
    rates = {} if form in ("ava", "ava-detections", "webvtt") else {each: rate_of(each, fps) for each in groups}
    first = next(iter(groups))
    texts = {out: {
        "ava": lambda: export_ava(found, label),
        "ava-detections": lambda: export_ava(found, label, scores=True),
        "coco-video": lambda: export_coco_video(found, label, rates),
        "cvat": lambda: export_cvat(found, label, rates[first]),
        "mot": lambda: export_mot(found, label, rates[first]),
        "fiftyone": lambda: export_fiftyone(found, label, rates),
        "webvtt": lambda: export_webvtt(found, label),
    }[form]()}
    if form == "mot":
        texts[out.with_suffix(".ini")] = sequence_ini(found, rates[first])
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def import_file(path: Path, form: str, *, fps: float | None = None, size: tuple[int, int] | None = None) -> list[Found]:
    """Reads tubelets from one of IMPORTS. fps, size (width, height): for files that do not give them.

    Raises: ValueError, one line, for a file that is not in the format.
    """
    known(form, IMPORTS)
    if form == "ava" and size is None:
        raise ValueError("AVA's boxes are fractions of the picture, and the file does not give its size. "
                         "Give --size WIDTHxHEIGHT.")
    try:
        return {
            "ava": lambda: import_ava(path, size or (1, 1)),
            "coco-video": lambda: import_coco_video(path, fps),
            "cvat": lambda: import_cvat(path, fps),
            "mot": lambda: import_mot(path, fps, size),
            "fiftyone": lambda: import_fiftyone(path, fps),
            "webvtt": lambda: import_webvtt(path),
        }[form]()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path.name} is not in the format {form}: {type(error).__name__}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read as {form}: {error}") from None


def known(form: str, forms: Sequence[str]) -> None:
    if form not in forms:
        raise ValueError(f"there is no format {form!r}. Choose one of {', '.join(forms)}.")


def rate_of(reference: str, fps: float | None) -> float:
    """Frames a second: as given, or read from the video file."""
    from stvr.video.decode import VideoError, probe

    if fps is not None:
        return fps
    try:
        info = probe(Path(reference))
    except (VideoError, OSError):
        raise ValueError(f"{reference} cannot be read, so its frame rate is unknown. Give --fps.") from None
    return len(info.ticks) / float(info.duration)
