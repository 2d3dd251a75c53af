"""A contact sheet: one picture with a thumbnail for each hit, its box drawn in, its video and time below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from stvr.files import write_bytes
from stvr.render.draw import DARK, TRUTH, Picture, colour_of, draw_box, letters
from stvr.render.hits.hit import Hit, Wishes, at_hand, clock
from stvr.video.decode import VideoError
from stvr.video.encode import jpeg, png
from stvr.video.pictures import frame_at

COLUMNS, MOST = 4, 200
WIDTH, HEIGHT = 320, 180  # of a thumbnail, at most
GAP, LINE = 8, 16  # pixels between thumbnails, and of a line of words


def write_contact_sheet(hits: Sequence[Hit], out: Path, wishes: Wishes) -> list[Path]:
    """OUT is a .png, .jpg or .jpeg. Hits are in order of their numbers, from left to right."""
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"a contact sheet is a picture, and {out.name} does not end in .png or .jpg.")
    if len(hits) > MOST:
        wishes.account.leave_out("tubelets", f"a contact sheet holds {MOST}; give --best", "", len(hits) - MOST)
    cells = [cell(hit, picture) for hit, picture in thumbnails(hits[:MOST], wishes)]
    columns = min(COLUMNS, len(cells))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    blank = np.full_like(cells[0], DARK)
    sheet = np.concatenate([np.concatenate([*row, *[blank] * (columns - len(row))], 1) for row in rows])
    sheet = np.pad(sheet, [(GAP, 0), (GAP, 0), (0, 0)])
    sheet[:GAP], sheet[:, :GAP] = DARK, DARK
    write_bytes(out, png(sheet) if out.suffix.lower() == ".png" else jpeg(sheet, len(sheet)))
    return [out]


def thumbnails(hits: Sequence[Hit], wishes: Wishes) -> list[tuple[Hit, Picture]]:
    """The frame in the middle of each hit, small, with its box and number; what cannot be decoded is counted."""
    found: list[tuple[Hit, Picture]] = []
    for hit, file in at_hand(hits, wishes):
        seconds, box = hit.middle
        try:
            picture = shrunk(frame_at(file, seconds))
        except (VideoError, OSError) as error:
            wishes.account.leave_out("tubelets", "no picture can be decoded there", f"{file}, {seconds:g} s: {error}")
            continue
        draw_box(picture, box, colour_of(hit.number - 1), title=str(hit.number))
        found.append((hit, picture))
    if not found:
        raise ValueError(f"no picture could be decoded; {wishes.account.left_out[-1]}.")
    return found


def shrunk(picture: Picture) -> Picture:
    """At most WIDTH x HEIGHT, in its own shape; small pictures stay as they are."""
    height, width = picture.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height, 1.0)
    if scale == 1.0:
        return picture
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()


def cell(hit: Hit, picture: Picture) -> Picture:
    """A thumbnail in the middle of its place, and two lines of words."""
    place = np.full((HEIGHT + 2 * LINE + GAP, WIDTH + GAP, 3), DARK, np.uint8)
    height, width = picture.shape[:2]
    top, left = HEIGHT - height, (WIDTH - width) // 2
    place[top : top + height, left : left + width] = picture
    write(place, f"{hit.number}: {hit.title}", HEIGHT + 2)
    write(place, f"{hit.name}  {clock(hit.start)} - {clock(hit.stop)}", HEIGHT + 2 + LINE)
    return place


def write(place: Picture, text: str, top: int) -> None:
    """Light words on dark ground; what does not fit is cut off."""
    mask = letters(text, 1)[:, :WIDTH, None]
    place[top : top + len(mask), : mask.shape[1]] = (mask * np.array(TRUTH) + (1 - mask) * np.array(DARK)).round()
