"""Videos that are not as usual: late, cut, mirrored, of wide pixels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from barcode import paint

CODECS = {".mp4": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".ts": "mpeg2video", ".webm": "libvpx"}


def write_late(path: Path, late_seconds: int, seconds: int) -> Path:
    """Sound from 0 s on; frame n, 24 a second, shows the number n from `late_seconds` on."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        video = container.add_stream("libx264", rate=24, options={"bf": "0"})
        video.width = video.height = 64
        video.codec_context.time_base = Fraction(1, 24)
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 16000 * (late_seconds + seconds)), np.float32), "fltp", "mono")
        noise.sample_rate, noise.pts, noise.time_base = 16000, 0, Fraction(1, 16000)
        packets = [*sound.encode(noise), *sound.encode(None)]
        for number in range(24 * seconds):
            frame = av.VideoFrame.from_ndarray(paint(number))
            frame.pts, frame.time_base = 24 * late_seconds + number, Fraction(1, 24)
            packets += video.encode(frame)
        packets += video.encode(None)
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


def write_plain(path: Path, num_frames: int, aspect: Fraction | None = None, size: tuple[int, int] = (64, 64)) -> Path:
    """Noise, 24 frames a second, the index of an mp4 in front. aspect: how many times wider than high a pixel is."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(CODECS[path.suffix], rate=24)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for number in range(num_frames):
            cells = np.random.default_rng(number).integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cells.repeat(8, 0).repeat(8, 1))))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    """The beginning of the file, in place of the file; an odd number of bytes, as a download that broke off."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share) // 2 * 2 + 1])
    return path


def set_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Writes a display matrix into the only track of an mp4 (ISO/IEC 14496-12, 8.3.2)."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44
    one = 1 << 16
    content[place : place + 36] = np.array([a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(content)
    return path
