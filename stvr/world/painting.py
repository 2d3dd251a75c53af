"""Paint textures and capsules into frames and masks, in numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Soft = NDArray[np.float32]
Frames = NDArray[np.float32]  # (T, S, S, 3) in 0..255
Masks = NDArray[np.bool_]  # (T, S, S)
Window = tuple[slice, slice]  # rows, columns


def texture(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A smooth coloured pattern (size, size, 3) in 0..255: three octaves of value noise over one colour."""
    picture = np.broadcast_to(rng.uniform(40, 215, 3), (size, size, 3)).astype(np.float32)
    for cells, strength in ((4, 60), (10, 40), (28, 25)):
        noise = rng.standard_normal((cells + 1, cells + 1, 3))
        noise = 0.7 * noise.mean(2, keepdims=True) + 0.5 * noise
        picture += strength * _enlarge(noise, size)
    return np.clip(picture, 0, 255)


def pan(picture: NDArray[np.float32], corners: Floats, size: int) -> Frames:
    """Looks at `picture` through a square of `size` pixels whose top left corner is at corners (T, 2) xy, bilinear."""
    whole = np.floor(corners).astype(int)
    part = (corners - whole).astype(np.float32)
    frames = np.empty((len(corners), size, size, 3), np.float32)
    for frame, (x, y), (right, down) in zip(frames, whole, part, strict=True):
        seen = picture[y : y + size + 1, x : x + size + 1]
        rows = seen[:-1] + down * (seen[1:] - seen[:-1])
        frame[:] = rows[:, :-1] + right * (rows[:, 1:] - rows[:, :-1])
    return frames


def paint_capsule(frames: Frames, ends: Floats, radius: float, colour: Floats, accent: Floats | None = None) -> None:
    """Draws a thick line with round ends over every frame, in place. ends (T, 2, 2) xy in pixels.

    accent: a second colour, for two stripes across the line.
    """
    plain = colour.astype(np.float32)
    for frame, (window, cover, along) in zip(frames, _windows(ends, radius, frames.shape[1]), strict=True):
        under = frame[window]
        paint = plain if accent is None else np.where(_striped(along)[..., None], accent.astype(np.float32), plain)
        under += cover[..., None] * (paint - under)


def mark_capsule(masks: Masks, ends: Floats, radius: float) -> None:
    """Sets the pixels whose middle lies in the capsule, in place: those that it covers by at least half."""
    for index, (window, cover, _) in enumerate(_windows(ends, radius, masks.shape[1])):
        masks[(index, *window)] |= cover >= 0.5


def extents(masks: Masks) -> Floats:
    """The smallest box around each mask: (..., H, W) -> (..., 4) xyxy in pixels, x2 and y2 after the last pixel.

    Zeros where a mask is empty.
    """
    sides = []
    for axis in (-2, -1):  # columns, then rows
        line = np.asarray(masks.any(axis))
        sides.append((line.argmax(-1), np.where(line.any(-1), line.shape[-1] - line[..., ::-1].argmax(-1), 0)))
    (left, right), (top, bottom) = sides
    return np.stack([left, top, right, bottom], -1).astype(np.float64)


def _windows(ends: Floats, radius: float, size: int) -> Iterator[tuple[Window, Soft, Soft]]:
    """For each frame: the part of it that the capsule may touch, what it covers there, and where along the line."""
    corner = np.floor(ends.min(1) - radius - 1).astype(int)  # (T, 2)
    width, height = np.ceil((ends.max(1) + radius + 1 - corner).max(0)).astype(int)
    cover, along = _cover((ends - corner[:, None]).astype(np.float32), radius, width, height)  # (T, height, width)
    for alpha, place, (x, y) in zip(cover, along, corner.tolist(), strict=True):
        left, top = min(max(x, 0), size), min(max(y, 0), size)
        right, bottom = max(min(x + width, size), left), max(min(y + height, size), top)
        inside = slice(top - y, bottom - y), slice(left - x, right - x)
        yield (slice(top, bottom), slice(left, right)), alpha[inside], place[inside]


def _cover(ends: Soft, radius: float, width: int, height: int) -> tuple[Soft, Soft]:
    """How much of each pixel a capsule hides, 0 to 1, with a soft edge of one pixel; where along its line, 0 to 1."""
    start, along = ends[:, 0], ends[:, 1] - ends[:, 0]
    x = np.arange(width, dtype=np.float32)[None, None, :] - start[:, 0, None, None]
    y = np.arange(height, dtype=np.float32)[None, :, None] - start[:, 1, None, None]
    dx, dy = along[:, 0, None, None], along[:, 1, None, None]
    nearest = np.clip((x * dx + y * dy) / (dx * dx + dy * dy + 1e-6), 0, 1)
    distance = np.sqrt((x - nearest * dx) ** 2 + (y - nearest * dy) ** 2)
    return np.clip(np.float32(radius + 0.5) - distance, 0, 1), nearest.astype(np.float32, copy=False)


def _striped(along: Soft) -> NDArray[np.bool_]:
    """The second and fourth fifth of the line; its round ends are plain."""
    fifth = np.minimum(np.floor(along * 5), 4)
    return np.asarray(fifth % 2 == 1)


def _enlarge(noise: Floats, size: int) -> Floats:
    """Smoothly interpolates (N, N, 3) to (size, size, 3)."""
    place = np.linspace(0, len(noise) - 1, size, endpoint=False)
    whole = place.astype(int)
    ease = (place - whole) ** 2 * (3 - 2 * (place - whole))
    weights = np.zeros((size, len(noise)))
    weights[np.arange(size), whole] = 1 - ease
    weights[np.arange(size), whole + 1] += ease
    return np.einsum("yi,xj,ijc->yxc", weights, weights, noise, optimize=True)
