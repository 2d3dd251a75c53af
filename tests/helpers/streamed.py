"""Live sources for tests: MPEG-TS through a pipe, from an HTTP server in chunks, from an RTSP server; with breaks."""

from __future__ import annotations

import io
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av

TS_PACKET = 188


def as_ts(path: Path, start_seconds: Fraction = Fraction(0)) -> bytes:
    """The video of a file as a transport stream; no picture is coded anew."""
    out = io.BytesIO()
    with av.open(str(path)) as source, av.open(out, "w", format="mpegts") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        shift = int(start_seconds / source.streams.video[0].time_base)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = stream
                target.mux(packet)
    return out.getvalue()


@contextmanager
def fifo(path: Path, data: bytes) -> Iterator[str]:
    """A named pipe that somebody writes to."""
    os.mkfifo(path)

    def write() -> None:
        with suppress(BrokenPipeError), path.open("wb") as pipe:
            pipe.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    yield str(path)
    thread.join()


@contextmanager
def http_stream(
    *connections: bytes | Callable[[], Iterator[bytes]], sized: bool = False, abrupt: bool = False
) -> Iterator[str]:
    """An address that sends the first to who asks first, in chunks, then breaks off; later ones get 404.

    sized: says how long each is, as a server of recordings does. abrupt: breaks off without a word that it is the end.
    """
    left = list(connections)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not left:
                self.send_error(404)
                return
            data = left.pop(0)
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.send_header(*(("Content-Length", str(len(data))) if sized else ("Transfer-Encoding", "chunked")))
            self.end_headers()
            parts = data() if callable(data) else (data[at : at + 4096] for at in range(0, len(data), 4096))
            for part in parts:
                self.wfile.write(part if sized else b"%x\r\n%s\r\n" % (len(part), part))
            if not sized and not abrupt:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/live.ts"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def rtsp_stream(data: bytes) -> Iterator[str]:
    """An RTSP server that plays a transport stream once, in RTP packets between its answers (RFC 2326, 2250)."""
    server = socket.create_server(("127.0.0.1", 0))
    address = f"rtsp://127.0.0.1:{server.getsockname()[1]}/camera"

    def serve() -> None:
        with suppress(OSError):
            client, _ = server.accept()
            with client, client.makefile("rb") as lines:
                answer_all(client, lines, data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.close()
        thread.join(5)


def answer_all(client: socket.socket, lines: io.BufferedReader, data: bytes) -> None:
    sdp = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
    more = {
        "OPTIONS": b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
        "DESCRIBE": b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s" % (len(sdp), sdp),
        "SETUP": b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n",
        "PLAY": b"Session: 1\r\n\r\n",
    }
    while request := lines.readline().split():
        headers = dict(line.split(b": ", 1) for line in iter(lambda: lines.readline().strip(), b""))
        method = request[0].decode()
        client.sendall(b"RTSP/1.0 200 OK\r\nCSeq: %s\r\n" % headers[b"CSeq"] + more.get(method, b"\r\n"))
        if method == "PLAY":
            for number, at in enumerate(range(0, len(data), 7 * TS_PACKET)):
                part = data[at : at + 7 * TS_PACKET]
                rtp = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, number * 900 & 0xFFFFFFFF, 7)
                client.sendall(struct.pack(">cBH", b"$", 0, 12 + len(part)) + rtp + part)
            return
