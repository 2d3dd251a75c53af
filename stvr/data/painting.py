"""Paint textures and capsules into frames, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Frames = NDArray[np.float32]  # (T, S, S, 3) in 0..255


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


def paint_capsule(frames: Frames, ends: Floats, radius: float, colour: Floats) -> None:
    """Draws a thick line with round ends over every frame, in place. ends (T, 2, 2) xy in pixels."""
    size = frames.shape[1]
    corner = np.floor(ends.min(1) - radius - 1).astype(int)  # (T, 2)
    width, height = np.ceil((ends.max(1) + radius + 1 - corner).max(0)).astype(int)
    cover = _cover((ends - corner[:, None]).astype(np.float32), radius, width, height)  # (T, height, width)
    paint = colour.astype(np.float32)
    for frame, alpha, (x, y) in zip(frames, cover, corner, strict=True):
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, size), min(y + height, size)
        if left < right and top < bottom:
            under = frame[top:bottom, left:right]
            under += alpha[top - y : bottom - y, left - x : right - x, None] * (paint - under)


def _cover(ends: NDArray[np.float32], radius: float, width: int, height: int) -> NDArray[np.float32]:
    """How much of each pixel a capsule hides, 0 to 1, with a soft edge of one pixel."""
    start, along = ends[:, 0], ends[:, 1] - ends[:, 0]
    x = np.arange(width, dtype=np.float32)[None, None, :] - start[:, 0, None, None]
    y = np.arange(height, dtype=np.float32)[None, :, None] - start[:, 1, None, None]
    dx, dy = along[:, 0, None, None], along[:, 1, None, None]
    nearest = np.clip((x * dx + y * dy) / (dx * dx + dy * dy + 1e-6), 0, 1)
    distance = np.sqrt((x - nearest * dx) ** 2 + (y - nearest * dy) ** 2)
    return np.clip(np.float32(radius + 0.5) - distance, 0, 1)


def _enlarge(noise: Floats, size: int) -> Floats:
    """Smoothly interpolates (N, N, 3) to (size, size, 3)."""
    place = np.linspace(0, len(noise) - 1, size, endpoint=False)
    whole = place.astype(int)
    ease = (place - whole) ** 2 * (3 - 2 * (place - whole))
    weights = np.zeros((size, len(noise)))
    weights[np.arange(size), whole] = 1 - ease
    weights[np.arange(size), whole + 1] += ease
    return np.einsum("yi,xj,ijc->yxc", weights, weights, noise, optimize=True)
