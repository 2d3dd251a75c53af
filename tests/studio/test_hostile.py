"""Hostile requests are refused or answered, in one line; nothing leaks; the server lives."""

from __future__ import annotations

import gzip
import io
import json
import re
import socket
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

import pytest

from stvr.studio.first_look import look
from stvr.studio.plain_shelf import PlainShelf
from stvr.studio.searches import AT_ONCE

pytest.importorskip("fastapi", reason="needs fastapi, which is not installed: pip install 'stvr[studio]'")
httpx = pytest.importorskip("httpx", reason="needs httpx, which is not installed")
serving = pytest.importorskip("stvr.studio.serving")

BOX = [0.1, 0.2, 0.4, 0.7]


@pytest.fixture
def client(studio: str, library: Path) -> Iterator[httpx.Client]:
    """Whatever a test does: no answer names a folder of this machine, and the studio still answers at the end."""
    told: list[str] = []

    def look(response: httpx.Response) -> None:
        if "text" in response.headers.get("content-type", "") or "json" in response.headers.get("content-type", ""):
            told.append(response.read().decode())
        for name in ("content-security-policy", "x-content-type-options", "cross-origin-resource-policy"):
            assert name in response.headers, name

    with httpx.Client(base_url=studio, event_hooks={"response": [look]}, timeout=30) as client:
        yield client
        assert client.get("/api/library").status_code == 200
    assert not [text for text in told if str(library.parent) in text or "Traceback" in text]


def raw(studio: str, data: bytes, seconds: float = 10, *, all_of_it: bool = True) -> bytes:
    """What comes back for bytes that no client would send, up to the end, or its beginning."""
    parts = urlsplit(studio)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as wire:
        got = b""
        with suppress(TimeoutError, ConnectionError):  # it may close before all that was sent is read
            wire.sendall(data)
            while part := wire.recv(65536):
                got += part
                if not all_of_it:
                    break
        return got


def host_of(studio: str) -> str:
    return urlsplit(studio).netloc


def id_of(client: httpx.Client, name: str) -> str:
    return next(each["id"] for each in client.get("/api/library").json()["videos"] if each["name"] == name)


def refused(response: httpx.Response, *statuses: int) -> None:
    assert response.status_code in statuses, (response.status_code, response.text[:200])
    assert "\n" not in response.text
    assert len(response.text) < 500


@pytest.mark.parametrize("path", [
    "/static/../../../../../../etc/passwd", "/static/..%2f..%2f..%2f..%2fetc%2fpasswd", "/static/%2e%2e/%2e%2e/app.py",
    "/static//etc/passwd", "/static/..\\..\\app.py", "/static/studio.js%00.css", "/../../etc/passwd", "//etc/passwd",
    "/api/videos/..%2f..%2fetc%2fpasswd/file", "/api/videos/%2fetc%2fpasswd/still?at=0", "/api/videos/../library/../x",
    "/static/%c0%ae%c0%ae/etc/passwd", "/api/desks/../../etc/passwd", "/static/app.py", "/static/__init__.py",
])  # fmt: skip
def test_no_path_leads_out_of_the_page(studio, client, path):
    got = raw(studio, f"GET {path} HTTP/1.1\r\nHost: {host_of(studio)}\r\nConnection: close\r\n\r\n".encode("latin-1"))
    assert re.match(rb"HTTP/1\.1 4\d\d ", got), got[:80]
    assert b"root:" not in got
    assert b"import" not in got


def test_links_that_lead_out_of_the_library_are_left_out_and_counted(library, session, tmp_path):
    folder, outside = tmp_path / "library", tmp_path / "outside"
    outside.mkdir()
    folder.mkdir()
    (folder / "in.mp4").write_bytes((library / "dotted_h264.mp4").read_bytes())
    (outside / "secret.mp4").write_bytes((library / "dotted_h264.mp4").read_bytes())
    (folder / "out.mp4").symlink_to(outside / "secret.mp4")
    (folder / "again").symlink_to(outside)
    (folder / "beside.mp4").symlink_to(folder / "in.mp4")
    lines: list[str] = []
    every = [folder / "in.mp4", folder / "out.mp4", folder / "again" / "secret.mp4", folder / "beside.mp4"]
    shelf = serving.open_folder(folder, every, session, lines.append)
    assert [each.name for each in shelf.videos] == ["in", "beside"]
    assert len(lines) == 1
    assert lines[0].startswith("2 videos are left out")


def test_a_video_that_becomes_a_link_later_is_not_followed(session, library, tmp_path, run_studio):
    path = tmp_path / "mine.mp4"
    path.write_bytes((library / "dotted_h264.mp4").read_bytes())
    with run_studio(PlainShelf("one", session, [path])) as address, httpx.Client(base_url=address) as client:
        (video,) = client.get("/api/library").json()["videos"]
        assert client.get(f"/api/videos/{video['id']}/still?at=1").status_code == 200
        path.unlink()
        path.symlink_to(library / "striped_part2.mp4")
        for part in ("", "/still?at=1", "/file"):
            refused(client.get(f"/api/videos/{video['id']}{part}"), 404)


def test_a_huge_upload_is_refused_before_it_comes_and_while_it_comes(studio, client):
    head = f"POST /api/uploads?name=a.mp4 HTTP/1.1\r\nHost: {host_of(studio)}\r\nContent-Length: {10**12}\r\n\r\n"
    assert raw(studio, head.encode(), all_of_it=False).startswith(b"HTTP/1.1 413 ")

    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 16)  # four times as much as may come

    with suppress(httpx.WriteError):  # the server may have said no and closed by then
        refused(client.post("/api/uploads?name=a.mp4", content=parts()), 413)


@pytest.mark.parametrize("path", ["/api/uploads?name=a.mp4", "/api/track"])
def test_a_body_that_stops_coming_is_given_up(studio, client, path):
    head = f"POST {path} HTTP/1.1\r\nHost: {host_of(studio)}\r\nContent-Length: 100\r\n"
    begun = time.monotonic()
    got = raw(studio, head.encode() + b"\r\n{", all_of_it=False)
    assert got.startswith(b"HTTP/1.1 408 ")
    assert 1.5 < time.monotonic() - begun < 8  # patience is two seconds


@pytest.mark.parametrize("wanted", [
    "bytes=999999999-", "bytes=5-1", "bytes=-", "bytes=a-b", "bytes=0-1,5-6", "lines=0-1", "bytes=0", "bytes=-0",
    "bytes=99999999999999999999999999-", "bytes 0-1", "", "bytes=0-1;", "bytes=" + "0-1," * 2000,
])  # fmt: skip
def test_wrong_ranges_are_not_satisfied(client, wanted):
    refused(client.get(f"/api/videos/{id_of(client, 'dotted_h264')}/file", headers={"Range": wanted}), 416)


@pytest.mark.parametrize(
    ("wanted", "first", "last"), [("bytes=0-9", 0, 9), ("bytes=100-", 100, None), ("bytes=-7", -7, None)]
)
def test_right_ranges_are(client, library, wanted, first, last):
    whole = (library / "dotted_h264.mp4").read_bytes()
    got = client.get(f"/api/videos/{id_of(client, 'dotted_h264')}/file", headers={"Range": wanted})
    assert got.status_code == 206
    assert got.content == (whole[first:] if last is None else whole[first : last + 1])


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b"[]", b"\xff\xfe\x00", b"{}", b'{"video": 1}', b"[" * 60_000, b'{"a": ' * 9_000, b"NaN",
    b'{"video": "x", "at": NaN, "box": [0, 0, 1, 1]}', b'{"video": "x", "at": 1e999, "box": [0, 0, 1, 1]}',
    b'{"video": "x", "at": 1, "box": [0, 0, 1]}', b'{"video": "x", "at": 1, "box": [0.5, 0.5, 0.5, 0.6]}',
    b'{"video": "x", "at": 1, "box": [0, 0, 1, 2]}', b'{"video": "x", "at": 1, "box": [0, 0, 1, 1], "path": "/etc"}',
    b'{"video": "' + b"x" * 1000 + b'", "at": 1, "box": [0, 0, 1, 1]}', b'{"video": "x", "at": ' + b"9" * 5000 + b"}",
])  # fmt: skip
def test_bad_json_is_one_line(client, body):
    refused(client.post("/api/track", content=body, headers={"Content-Type": "application/json"}), 400)


def test_a_json_body_is_bounded(client):
    body = json.dumps({"video": "x" * 100_000, "at": 1, "box": BOX}).encode()
    refused(client.post("/api/track", content=body, headers={"Content-Type": "application/json"}), 413)
    refused(client.post("/api/track", content=(body[at : at + 9000] for at in range(0, len(body), 9000)),
                        headers={"Content-Type": "application/json"}), 413)  # fmt: skip


@pytest.mark.parametrize("query", ["at=nan", "at=inf", "at=1e308", "at=x", "", "at=1&step=1e9", "at=1&step=99999999",
                                   "at=1&height=0", "at=1&height=-5", "at=1&height=99999999"])
def test_odd_times_and_sizes_are_refused(client, query):
    refused(client.get(f"/api/videos/{id_of(client, 'dotted_h264')}/still?{query}"), 400)


@pytest.mark.parametrize("at", [-1e6, -1, 0, 2.99, 3, 1e6])
def test_times_outside_show_the_first_or_the_last_frame(client, at):
    got = client.get(f"/api/videos/{id_of(client, 'dotted_h264')}/still?at={at}")
    assert got.status_code == 200
    assert float(got.headers["x-seconds"]) == pytest.approx(0 if at < 1 else 71 / 24)


def bomb() -> bytes:
    """A zip of 64 megabytes of nothing."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.mp4", bytes(64 << 20))
    return packed.getvalue()


def test_what_is_no_video_is_not_taken(client, library):
    video = library / "dotted_h264.mp4"
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:3.0,\n{video}\n#EXT-X-ENDLIST\n"
    for name, content in {
        "empty.mp4": b"", "text.mp4": b"<script>alert(1)</script>" * 100, "list.mp4": playlist.encode(),
        "bomb.mp4": bomb(), "cut.mp4": video.read_bytes()[:3000],
    }.items():  # fmt: skip
        refused(client.post(f"/api/uploads?name={name}", content=content), 415)
    for name in ("a.exe", "a", "..", ".mp4/..", "a.html", "%2e%2e%2fa.svg"):
        refused(client.post(f"/api/uploads?name={name}", content=b"x"), 415)
    assert not [each for each in client.get("/api/library").json()["videos"] if each["uploaded"]]


def test_what_is_too_large_to_decode_is_not_taken(asked):
    assert look(asked) == ""
    assert "192 x 128" in look(asked, most_pixels=192 * 128 - 1)
    assert "lasts" in look(asked, most_seconds=2)


def test_a_compressed_body_is_not_unpacked(client):
    body = gzip.compress(bytes(50 << 20))
    refused(client.post("/api/track", content=body, headers={"Content-Encoding": "gzip"}), 413, 415)
    refused(client.post("/api/uploads?name=a.mp4", content=body, headers={"Content-Encoding": "gzip"}), 415)


def test_a_name_that_leads_elsewhere_is_only_a_name(client, asked, tmp_path):
    got = client.post("/api/uploads", params={"name": "../../../tmp/<b>evil</b>\r\n.mp4"}, content=asked.read_bytes())
    assert got.status_code == 201, got.text
    assert got.json()["name"] == "b>.mp4"
    assert client.get(f"/api/videos/{got.json()['id']}/still?at=1").status_code == 200


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://localhost.evil.example"},
])  # fmt: skip
def test_another_pages_requests_are_refused(client, headers):
    refused(client.post("/api/desks", headers=headers), 403)
    if "Sec-Fetch-Site" in headers:
        refused(client.get("/api/library", headers=headers), 403)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "a b", "127.0.0.1:x"]
)
def test_another_name_for_this_machine_is_refused(studio, client, host):
    got = raw(studio, f"GET /api/library HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert re.match(rb"HTTP/1\.1 4(21|00) ", got), got[:60]
    assert b"dotted" not in got


def test_the_pages_own_requests_are_answered(client, studio):
    own = {"Origin": studio.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/desks", headers=own).status_code == 201
    by_name = client.get("/api/library", headers={"Host": f"localhost:{urlsplit(studio).port}"})
    assert by_name.status_code == 200


@pytest.mark.parametrize("data", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01", b"GET\r\n\r\n", b"\r\n" * 50, b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"POST /api/desks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /api/desks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    b"POST /api/desks HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
])  # fmt: skip
def test_what_is_not_http_does_no_harm(studio, client, data):
    got = raw(studio, data, 1)
    assert b" 200 " not in got.split(b"\r\n")[0]


def test_idle_connections_do_not_stop_it(studio, client):
    parts = urlsplit(studio)
    idle = [socket.create_connection((parts.hostname, parts.port)) for _ in range(100)]
    try:
        for wire in idle:
            wire.sendall(b"GET / HTTP/1.1\r\n")
        assert client.get("/api/library").status_code == 200
    finally:
        for wire in idle:
            wire.close()


def test_connections_whose_headers_never_end_give_their_places_back(studio, client):
    """As many as there may be at all: while they are waited for, nobody else is let in."""
    parts = urlsplit(studio)
    slow = [socket.create_connection((parts.hostname, parts.port)) for _ in range(serving.MOST_CONNECTIONS)]
    try:
        for number, wire in enumerate(slow):
            wire.sendall(b"GET / HTTP/1.1\r\nHost:" if number % 2 else b"")
        slow[1].settimeout(20)
        assert slow[1].recv(1) == b""  # after the two seconds that this studio waits
        slow[-2].settimeout(20)
        assert slow[-2].recv(1) == b""
        assert client.get("/api/library").status_code == 200
    finally:
        for wire in slow:
            wire.close()


def test_one_connection_may_ask_again_after_a_while(studio):
    with httpx.Client(base_url=studio) as client:
        for _ in range(3):
            assert client.get("/").status_code == 200
            time.sleep(1)


def test_unknown_things_are_not_there(client):
    desk = client.post("/api/desks").json()["desk"]
    refused(client.get("/api/desks/nobody"), 404)
    refused(client.put("/api/desks/nobody/view", json={}), 404)
    refused(client.put(f"/api/desks/{desk}/marks/7", json={"mark": "up"}), 404)
    refused(client.put(f"/api/desks/{desk}/marks/x", json={"mark": "up"}), 400)
    refused(client.put(f"/api/desks/{desk}/marks/{10**30}", json={"mark": "up"}), 400, 404)
    refused(client.get(f"/api/desks/{desk}/export?form=cvat"), 400)
    refused(client.get(f"/api/desks/{desk}/export?form=../../x"), 400)
    refused(client.post(f"/api/desks/{desk}/search", json={"examples": [{"video": "x", "at": 1, "box": BOX}]}), 404)
    refused(client.post(f"/api/desks/{desk}/search", json={"examples": []}), 400)
    refused(client.delete("/api/library"), 405)
    refused(client.get("/docs"), 404)
    refused(client.get("/openapi.json"), 404)


class Counted(PlainShelf):
    """Counts how many search at once."""

    now, most, lock = 0, 0, Lock()

    def search(self, *words):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return super().search(*words)
        finally:
            with self.lock:
                self.now -= 1


def test_of_two_hundred_searches_a_few_run_and_the_others_are_told_when_to_try_again(session, library, run_studio):
    shelf = Counted("library", session, sorted(library.glob("*.mp4")))
    with run_studio(shelf) as address, httpx.Client(base_url=address, timeout=60) as client:
        video = id_of(client, "dotted_h264")
        desks = [client.post("/api/desks").json()["desk"] for _ in range(60)]
        wanted = {"examples": [{"video": video, "at": 1, "box": BOX}]}

        def search(number: int) -> httpx.Response:
            return client.post(f"/api/desks/{desks[number % 60]}/search", json=wanted)

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(search, range(200)))
        statuses = {each.status_code for each in answers}
        assert statuses == {202, 429}
        assert all(int(each.headers["retry-after"]) >= 1 for each in answers if each.status_code == 429)
        assert 1 <= shelf.most <= AT_ONCE
        for number in {number % 60 for number, each in enumerate(answers) if each.status_code == 202}:
            while (now := client.get(f"/api/desks/{desks[number]}/search").json())["state"] == "running":
                time.sleep(0.05)
            assert now["state"] in ("done", "cancelled"), now
        assert search(0).status_code == 202


def test_beyond_this_machine_it_takes_a_token(shelf, run_studio):
    with pytest.raises(ValueError, match="token"), serving.served(shelf, host="0.0.0.0"):
        pass
    with run_studio(shelf, host="0.0.0.0", token="right") as address:
        port = urlsplit(address).port
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            for path in ("/", "/api/library", "/static/studio.js", "/?token=wrong", "/api/library?token=right"):
                refused(client.get(path), 401)
            refused(client.get("/api/library", headers={"Cookie": "stvr_studio=wrong"}), 401)
            refused(client.get("/api/library", headers={"Cookie": "stvr_studio=é".encode("latin-1")}), 401)
            let_in = client.get("/?token=right")
            assert let_in.status_code == 303
            assert let_in.headers["location"] == "/"
            assert {"HttpOnly", "SameSite=strict"} <= set(let_in.headers["set-cookie"].split("; "))
            assert client.get("/api/library").status_code == 200
            fresh = f"http://127.0.0.1:{port}/api/library"
            assert httpx.get(fresh, headers={"Authorization": "Bearer right"}).status_code == 200
            refused(client.get("/api/library", headers={"Host": f"evil.example:{port}"}), 421)


def test_a_port_that_is_taken_is_told_in_one_line(shelf, studio):
    with pytest.raises(ValueError, match="port") as told, serving.served(shelf, port=urlsplit(studio).port):
        pass
    assert "\n" not in str(told.value)
