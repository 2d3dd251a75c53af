"""Two hours of a made stream watched: memory, delay, events against the offline tubelets, a source that breaks off.

A minute with two actors is encoded once; its packets are sent again and again with later time stamps, as MPEG-TS over
HTTP, faster than real time; then a shorter stretch at the pace of a clock, for the delay that a user waits for.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.jobs.watch import Watch, WatchOptions, what_it_costs
from stvr.machine import processor
from stvr.session import Session
from stvr.session.watching import delay_of
from stvr.structures import ClipSpec, Detections, Query, Span
from stvr.tubelets import link
from stvr.video.decode import decode_clips

FPS, SIDE = 24, 64
POINTS = 5


def picture(frame: int, num_frames: int) -> np.ndarray:
    """A grey room: four times a minute one actor jumps for six seconds, and another sways; else they stand still."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    shown = np.full((SIDE, SIDE, 3), 90.0) + 20 * np.sin(rows / 7 + columns / 5)[..., None]
    goes_on = 4 * frame / num_frames % 1 < 0.4
    jumps, sways = 10 * abs(np.sin(frame / 3)) * goes_on, 12 * np.sin(frame / 5) * goes_on
    for (top, left), colour in (((34 - jumps, 8), (220, 60, 40)), ((30, 40 + sways), (40, 80, 220))):
        inside = (rows >= top) & (rows < top + 22) & (columns >= left) & (columns < left + 10)
        shown[inside] = colour
    return shown.clip(0, 255).astype(np.uint8)


def write_minute(path: Path, seconds: int) -> None:
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=FPS, options={"g": str(FPS), "bf": "0", "preset": "ultrafast"})
        stream.width = stream.height = SIDE
        for frame in range(seconds * FPS):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture(frame, seconds * FPS))))
        target.mux(stream.encode(None))


def sent(minute: Path, seconds: float, pace: float | None = None, begin: float = 0.0) -> Iterator[bytes]:
    """A transport stream of so many seconds, in parts. pace: times real time; None as fast as it is taken."""
    with av.open(str(minute)) as source:
        stream = source.streams.video[0]
        unit, lasts = stream.time_base, stream.duration
        packets = [(packet.pts, packet.dts, bytes(packet), packet.is_keyframe) for packet in source.demux(stream)
                   if packet.dts is not None]  # fmt: skip
        out = io.BytesIO()
        target = av.open(out, "w", format="mpegts", options={"flush_packets": "1"})
        copy = target.add_stream_from_template(stream)
    begun, shift = time.monotonic(), int(Fraction(begin) / unit)
    number = 0
    while True:
        pts, dts, data, key = packets[number % len(packets)]
        late = number // len(packets) * lasts
        if float((pts + late) * unit) >= seconds:
            break
        packet = av.Packet(data)
        packet.pts, packet.dts, packet.time_base, packet.stream = pts + late + shift, dts + late + shift, unit, copy
        packet.is_keyframe = key
        target.mux(packet)
        if number % FPS == FPS - 1 or pace:
            if pace:
                time.sleep(max(0.0, begun + float((pts + late) * unit) / pace - time.monotonic()))
            if out.tell():
                yield out.getvalue()
                out.seek(0)
                out.truncate()
        number += 1
    target.close()
    yield out.getvalue()


@contextmanager
def served(*connections: Iterator[bytes]) -> Iterator[str]:
    """An HTTP server of chunks; each connection gets the next iterator, then the connection is broken off."""
    left = list(connections)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not left:
                return self.send_error(404)
            parts = left.pop(0)
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in parts:
                if part:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.close_connection = True

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/stream.ts"
    server.shutdown()
    server.server_close()


def resident() -> float:
    """MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def closes(events: list[dict[str, Any]]) -> list[tuple[float, float, float, list[list[float]]]]:
    return sorted((each["start_seconds"], each["stop_seconds"], each["score"], [box["box"] for box in each["boxes"]])
                  for each in events if each["event"] == "close")  # fmt: skip


def offline(session: Session, query: Query, file: Path, longest: float) -> list[tuple[Any, ...]]:
    """The tubelets of the file by its own reader and by `link` over all of its detections at once."""
    video = session.video(file)
    facts = video.facts
    found: list[Detections] = session.detections(query, video.clips(Span(facts.video, 0, facts.num_clips)))
    tubelets = link(found, facts.video, 0, contrast=session.head.time_contrast, nms_iou=1.0, max_tubelets=10**9)
    assert max(len(each.span) for each in tubelets) / 3 < longest
    return sorted((each.span.start / 3, each.span.stop / 3, each.score, (each.boxes * SIDE).tolist())
                  for each in tubelets)  # fmt: skip


def compared(found: list[Any], wanted: list[Any]) -> str:
    spans = sum(one[:2] == (round(other[0], 9), round(other[1], 9)) or np.allclose(one[:2], other[:2], atol=1e-6)
                for one, other in zip(found, wanted, strict=False))  # fmt: skip
    boxes = max((float(np.abs(np.array(one[3]) - np.array(other[3])).max())
                 for one, other in zip(found, wanted, strict=False) if len(one[3]) == len(other[3])), default=0.0)
    scores = max((abs(one[2] - other[2]) for one, other in zip(found, wanted, strict=False)), default=0.0)
    return (f"{len(found)} tubelets closed, {len(wanted)} offline, {spans} with the same span; the boxes differ by "
            f"{boxes:.3f} pixels of {SIDE} at most, the scores by {scores:.6f}")


def watched(session: Session, query: Query, address: str, seconds: float, points: int) -> dict[str, Any]:
    """Events, resident memory at so many points, how the clock stood when each event was told."""
    events, memory, said, begun = [], [], [], time.monotonic()
    watch = Watch(session, {"jump": query}, address, WatchOptions(give_up_seconds=2, first_wait=0.5), said.append)
    for event in watch.events():
        events.append(event | {"told": time.monotonic() - begun})
        if len(memory) < points and event["seconds"] >= seconds * (len(memory) + 0.1) / points:
            memory.append((event["seconds"], resident()))
    memory.append((seconds, resident()))
    return {"events": events, "memory": memory, "said": said, "took": time.monotonic() - begun}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="long,breaks,pace")
    parser.add_argument("--seconds", type=float, default=7200)
    parser.add_argument("--paced-seconds", type=float, default=60)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--endpoint", default="Mixed_3c")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        lines = list(report(Path(place), chosen))
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if chosen.out:
        chosen.out.write_text(text)


def report(folder: Path, chosen: argparse.Namespace) -> Iterator[str]:
    minute = folder / "minute.mp4"
    write_minute(minute, 60)
    clip = ClipSpec(image_size=chosen.image_size, context="video")
    backbone = load_backbone(endpoint=chosen.endpoint, runtime="auto")
    extract([minute], folder / "store", backbone, clip, report=lambda step: None)
    session = Session.open(None, store=str(folder / "store"), statistics=str(folder / "store"), kept_bytes=0)
    query = session.query(minute, (6, 22, 22, 60), at=3.0, span=(1.0, 5.0))
    yield "# A stream of two hours, watched\n"
    options = f"--parts {chosen.parts} --seconds {chosen.seconds:g} --paced-seconds {chosen.paced_seconds:g}"
    yield (f"`python benchmarks/bench_watch.py {options}`, torch {torch.__version__}, one thread, {processor()}, "
           f"{time.strftime('%Y-%m-%d')}; the machine was shared. I3D's analytic weights at {chosen.endpoint}, "
           f"{chosen.image_size} pixels, context of the whole video, the head `nearest`. A room where somebody jumps "
           f"four times a minute, {SIDE} x {SIDE} pixels, {FPS} pictures a second, as MPEG-TS over HTTP in chunks.\n")
    yield f"What it says at the start: {what_it_costs(session)}.\n"
    for part in chosen.parts.split(","):
        yield from PARTS[part](folder, minute, session, query, chosen)


def long(folder: Path, minute: Path, session: Session, query: Query, chosen: argparse.Namespace) -> Iterator[str]:
    clip, whole = session.spec.clip, folder / "whole.ts"
    print("two hours ...", flush=True)
    with served(sent(minute, chosen.seconds)) as address:
        run = watched(session, query, address, chosen.seconds, POINTS - 1)
    events = run["events"]
    yield f"## {chosen.seconds / 3600:g} hours as fast as the machine goes\n"
    yield (f"{run['took'] / 60:.1f} minutes, {chosen.seconds / run['took']:.1f} times real time; {len(events)} events, "
           f"{sum(each['event'] == 'open' for each in events)} opened.\n")
    yield "| second of the stream | resident memory, MiB |\n|---|---|"
    for second, mib in run["memory"]:
        yield f"| {second:.0f} | {mib:.0f} |"
    late = [each["delay_seconds"] for each in events]
    yield (f"\nDelay in the source's seconds: stated {clip.seconds_at(delay_of(session).clips):.2f}, measured at most "
           f"{max(late):.2f} over all events.\n")
    with whole.open("wb") as file:
        for part in sent(minute, chosen.seconds):
            file.write(part)
    print("offline ...", flush=True)
    wanted = offline(session, query, whole, 600)
    num_clips = session.video(whole).facts.num_clips
    yield (f"Against the tubelets of the same bytes as a file, read by the offline reader ({num_clips} clips, linked "
           f"all at once, before suppression): {compared(closes(events), wanted)}.\n")


def breaks(folder: Path, minute: Path, session: Session, query: Query, chosen: argparse.Namespace) -> Iterator[str]:
    print("breaks ...", flush=True)
    yield "## A source that stops and comes back\n"
    lengths = (100.0, 140.0, 80.0)
    begins = (0.0, 130.0, 300.0)
    with served(*(sent(minute, length, begin=begin) for length, begin in zip(lengths, begins, strict=True))) as address:
        run = watched(session, query, address, 380, 0)
    found, there = closes(run["events"]), []
    for length, begin in zip(lengths, begins, strict=True):
        part = folder / f"part{begin:g}.ts"
        part.write_bytes(b"".join(sent(minute, length, begin=begin)))
        assert len(list(decode_clips(part, session.spec.clip))) == int(length * 3)
        there += [(start + begin, stop + begin, *rest) for start, stop, *rest in offline(session, query, part, 600)]
    yield (f"Three connections of {', '.join(f'{each:g}' for each in lengths)} s that begin at "
           f"{', '.join(f'{each:g}' for each in begins)} s of the sender's clock, against the three parts as files: "
           f"{compared(found, sorted(there))}. Closed by a break or the end: "
           f"{sum(each.get('reason', '').startswith('the source stopped') for each in run['events'])}. Said: "
           f"\"{run['said'][0].partition('stopped')[1]} {run['said'][0].partition('stopped ')[2]}\", and so on.\n")


def pace(folder: Path, minute: Path, session: Session, query: Query, chosen: argparse.Namespace) -> Iterator[str]:
    clip = session.spec.clip
    print("at the pace of a clock ...", flush=True)
    yield "## At the pace of a clock\n"
    with served(sent(minute, chosen.paced_seconds, pace=1.0)) as address:
        run = watched(session, query, address, chosen.paced_seconds, 0)
    waits = [each["told"] - (each["seconds"] + clip.seconds_at(1)) for each in run["events"]
             if each["event"] in ("open", "extend") and each["seconds"] > 10]  # fmt: skip
    yield (f"{chosen.paced_seconds:g} s sent in real time: from the end of a clip, on the sender's clock, to the event "
           f"that tells of it, median {statistics.median(waits):.2f} s, at most {max(waits):.2f} s ({len(waits)} "
           f"events; the first 10 s are left out, in which the reader makes out what the stream is). Of it "
           f"{clip.seconds_at(delay_of(session).clips):.2f} s are stated; the rest is decoding, computing and waiting "
           "for a core.")
    print(json.dumps({"waits": [round(each, 2) for each in waits[:20]]}), flush=True)


PARTS = {"long": long, "breaks": breaks, "pace": pace}


if __name__ == "__main__":
    main()
