"""What a reader is: everything that differs between one source of annotations and another.

`stvr prepare --help` imports every reader, so pandas and SciPy are imported inside the functions that use them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stvr.annotations.held_out import HeldOut, hold_out_nothing
from stvr.annotations.people import with_people_apart
from stvr.annotations.rows import Annotations, Rows, with_shared_names
from stvr.config import Options


class ReaderOptions(Options):
    """What a reader may use besides the files; a reader that has options of its own brings a subclass.

    A field with a description is an option of the reader's command: `offset_seconds` becomes --offset-seconds. Two
    fields are filled from the files in --videos, in readers that have them: frame_rates (when frames are on screen) and
    sizes (width, height), both by video name.
    """


@dataclass(frozen=True, slots=True)
class Reader:
    """One source of annotations. Everything but `read` and `help` has a default that suits a user's own format.

    read: a file (or folder) and the options -> its rows. options: the model of those options.
    help: one or two sentences, shown by `stvr prepare NAME --help`. argument, argument_help: the files it asks for.
    recognises: takes a path and its first line ("" of a folder), says whether the file is of this source.
    several: the command takes more than one file. train_files: it takes --train, files whose videos only train.
    needs_videos: --videos is required.
    numbers_labels: every file numbers its labels for itself, so the ids of several files must be brought together.
    numbers_people: the same of people; those of one video in several files are apart, but where their boxes agree.
    held_out: annotations, options and seed -> the labels to hold out when the user does not say.
    train_videos: options -> the videos that only train, from lists that the source publishes; None: no such lists.
    extent_seconds: annotations and options -> which part of a video of unknown length the authors' protocols use.
    """

    read: Callable[[Path, Any], Rows]
    help: str
    options: type[ReaderOptions] = ReaderOptions
    argument: str = "files"
    argument_help: str = "Annotation files."
    recognises: Callable[[Path, str], bool] = lambda path, first_line: False
    several: bool = False
    train_files: bool = False
    needs_videos: bool = False
    numbers_labels: bool = False
    numbers_people: bool = False
    held_out: Callable[[Annotations, Any, int], HeldOut] = hold_out_nothing
    train_videos: Callable[[Any], set[str] | None] = lambda options: None
    extent_seconds: Callable[[Annotations, Any], tuple[float, float] | None] = lambda annotations, options: None

    def rows(self, files: Sequence[Path], options: ReaderOptions) -> list[Rows]:
        """The rows of each file as they stand, one label id meaning the same in all of them."""
        parts = [self.read(path, options) for path in files]
        parts = with_shared_names(parts) if self.numbers_labels else parts
        return with_people_apart(parts) if self.numbers_people else parts

    def usable(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the values that are options of this reader."""
        return {name: value for name, value in values.items() if name in self.options.model_fields}
