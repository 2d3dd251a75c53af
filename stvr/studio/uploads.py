"""Videos that come in through the page: bounded in bytes and time, and taken only once they have been decoded."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path, PurePath

from stvr.video.folders import is_text
from stvr.video_names import VIDEO_ENDINGS

UPLOAD_SECONDS = 1800.0  # that all of it may
CHECK_SECONDS = 120.0
MOST_PIXELS = 8192 * 4608  # of a frame
MOST_SECONDS = 6 * 3600
MOST_MEMORY = 6 << 30  # bytes of the process that decodes it first
LONGEST_NAME = 120


class Refused(ValueError):
    """An upload that is not taken. status: of HTTP. The message is one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Uploads:
    """Files in a folder of their own, under names of our own. most_bytes: of one; ten times as much of all.

    patience: seconds that the next part of a body may take.
    """

    def __init__(self, folder: Path, most_bytes: int, patience: float) -> None:
        self.folder, self.most_bytes, self.patience = folder, most_bytes, patience
        self._used, self._busy = 0, False

    async def take(self, name: str, length: int | None, body: AsyncIterator[bytes]) -> tuple[str, Path]:
        """What the file is called and where it lies. Refused for what is too large, too slow, or no video.

        length: bytes, as the request promises; None where it does not. One upload at a time.
        """
        shown, suffix = checked_name(name)
        if length is not None and length > self.most_bytes:
            raise self.too_large()
        if self._busy:
            raise Refused(429, "another video is being uploaded. Try again when it is done.")
        self._busy = True
        path = self.folder / f"{secrets.token_hex(8)}{suffix}"
        try:
            await self._write(path, body)
            await asyncio.to_thread(check_file, path, shown)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            self._busy = False
        self._used += path.stat().st_size
        return shown, path

    async def _write(self, path: Path, body: AsyncIterator[bytes]) -> None:
        count, begun = 0, time.monotonic()
        with path.open("xb") as file:
            parts = aiter(body)
            while True:
                try:
                    part = await asyncio.wait_for(anext(parts), self.patience)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    raise Refused(408, f"nothing came for {self.patience:g} s. Upload it again.") from None
                count += len(part)
                if count > self.most_bytes or count + self._used > 10 * self.most_bytes:
                    raise self.too_large()
                if time.monotonic() - begun > UPLOAD_SECONDS:
                    raise Refused(408, f"the upload took longer than {UPLOAD_SECONDS:g} s. Put it into the library.")
                file.write(part)

    def too_large(self) -> Refused:
        return Refused(413, f"the file is larger than {self.most_bytes / 2**20:g} MB, or too many were uploaded. Put "
                            "it into the library instead.")


def checked_name(name: str) -> tuple[str, str]:
    """The last part of a file's name, without what is not printable, and its ending."""
    last = "".join(sign for sign in PurePath(name.replace("\\", "/")).name if sign.isprintable())[-LONGEST_NAME:]
    suffix = PurePath(last).suffix.lower()
    if suffix not in VIDEO_ENDINGS:
        raise Refused(415, f"{last or 'the file'!r} is not named like a video: .mp4, .mkv, .webm, .avi, .mov ...")
    return last, suffix


def check_file(path: Path, shown: str, seconds: float = CHECK_SECONDS) -> None:
    """Decodes the beginning in a process of its own, so that what breaks or holds up a decoder does no harm here."""
    if is_text(path) or not path.stat().st_size:
        raise Refused(415, f"{shown} is {'a text' if path.stat().st_size else 'empty'}, not a video.")
    command = [sys.executable, "-P", "-m", "stvr.studio.first_look", str(path)]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    try:
        done = subprocess.run(command, env=here, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        reason = f"{shown} could not be decoded within {seconds:g} s. Convert it, to H.264 for example."
        raise Refused(415, reason) from None
    if done.returncode == 2:
        reason = done.stdout.strip().split("\n")[-1].replace(str(path), shown)
        raise Refused(415, reason or f"{shown} cannot be read as a video.")
    if done.returncode:
        raise Refused(415, f"{shown} breaks the decoder. Convert it, to H.264 for example.")
