"""What the page asks for, without a browser: search, judge, refine, take home in every format, come back."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from moving import HEIGHT, WIDTH, place

from stvr.render.exporters import IMPORTS, import_file
from stvr.studio.exports import FORMATS

pytest.importorskip("fastapi", reason="needs fastapi, which is not installed: pip install 'stvr[studio]'")
httpx = pytest.importorskip("httpx", reason="needs httpx, which is not installed")


@pytest.fixture(scope="module")
def client(studio: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=studio, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def desk(client: httpx.Client, asked: Path) -> str:
    """A page whose search is done."""
    video = client.post("/api/uploads?name=asked.mp4", content=asked.read_bytes()).json()["id"]
    box = (np.array(place("striped", 1.0, 0.3)) / (WIDTH, HEIGHT, WIDTH, HEIGHT)).tolist()
    track = client.post("/api/track", json={"video": video, "at": 1, "box": box}).json()
    assert track["followed"]
    desk = client.post("/api/desks").json()["desk"]
    search(client, desk, {"video": video, "at": 1, "box": box, "track": track["track"]})
    return desk


def search(client: httpx.Client, desk: str, example: dict, **more: object) -> dict:
    begun = client.post(f"/api/desks/{desk}/search", json={"examples": [example], **more})
    assert begun.status_code == 202, begun.text
    client.put(f"/api/desks/{desk}/view", json={"video": example["video"], "at": 1, "examples": [example]})
    while (now := client.get(f"/api/desks/{desk}/search").json())["state"] == "running":
        time.sleep(0.05)
    assert now["state"] == "done", now
    return now


def answers(client: httpx.Client, desk: str) -> list[dict]:
    return client.get(f"/api/desks/{desk}").json()["search"]["answers"]


def unpacked(response: httpx.Response, folder: Path) -> list[Path]:
    """The files of an export: those of a zip, or the only one."""
    assert response.status_code == 200, response.text
    name = response.headers["content-disposition"].split('"')[1]
    if not name.endswith(".zip"):
        (folder / name).write_bytes(response.content)
        return [folder / name]
    with zipfile.ZipFile(io.BytesIO(response.content)) as packed:
        packed.extractall(folder)
        return [folder / each for each in packed.namelist()]


def test_the_page_comes_whole_from_the_package(client):
    page = client.get("/").text
    for part in files("stvr.studio").joinpath("static").iterdir():
        got = client.get("/" if part.name == "index.html" else f"/static/{part.name}")
        assert got.content == part.read_bytes()
    assert "://" not in page.replace("http://www.w3.org", "")


def test_the_best_answer_is_the_video_where_the_same_is_done(client, desk, library):
    best = answers(client, desk)[0]
    assert best["name"] == "striped_part2"
    assert 0 <= best["begin"] < best["end"] <= 3.01
    middle = np.array(best["boxes"][0]["box"]).reshape(2, 2).mean(0) * (WIDTH, HEIGHT)
    left, top, right, bottom = place("striped", best["boxes"][0]["seconds"], 0.65)
    assert left < middle[0] < right
    assert top < middle[1] < bottom


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_written_and_those_that_can_be_are_read_back(client, desk, library, tmp_path, form):
    found = answers(client, desk)
    paths = unpacked(client.get(f"/api/desks/{desk}/export?form={form}&label=7"), tmp_path)
    assert paths
    assert all(path.stat().st_size for path in paths)
    if form == "tubelets":
        lines = [json.loads(line) for line in paths[0].read_text().splitlines()]
        assert [line["start_seconds"] for line in lines] == [each["begin"] for each in found]
        assert {line["label"] for line in lines} == {"7"}
    elif form == "video":
        assert sorted(path.suffix for path in paths) == [".mp4"] * len({each["name"] for each in found})
    elif form == "csv":
        assert len(paths[0].read_text(encoding="utf-8-sig").splitlines()) == 1 + len(found)
    elif form == "clips":
        assert [path.suffix for path in paths] == [".mp4"] * len(found)
    elif form in IMPORTS:
        videos = sorted(library.glob("*.mp4"))
        read = [each for path in paths if path.suffix != ".ini"
                for each in import_file(path, form, videos=videos, size=(WIDTH, HEIGHT))]
        clips = sum(len(each["boxes"]) for each in found)
        assert sum(len(each.boxes) for each in read) == pytest.approx(clips, abs=2 * len(found)) or form == "ava"


def test_marks_are_kept_and_what_is_liked_can_be_taken_alone(client, desk):
    client.put(f"/api/desks/{desk}/marks/1", json={"mark": "up"})
    client.put(f"/api/desks/{desk}/marks/2", json={"mark": "down"})
    assert [each["mark"] for each in answers(client, desk)][:3] == ["none", "up", "down"]
    only = client.get(f"/api/desks/{desk}/export?form=tubelets&liked=true").text.splitlines()
    assert len(only) == 1
    assert json.loads(only[0])["start_seconds"] == answers(client, desk)[1]["begin"]
    for number in (1, 2):
        client.put(f"/api/desks/{desk}/marks/{number}", json={"mark": "none"})
    assert {each["mark"] for each in answers(client, desk)} == {"none"}


def test_a_thumb_down_and_a_further_search_change_the_order_and_the_mark_stays(client, desk):
    example = client.get(f"/api/desks/{desk}").json()["view"]["examples"][0]
    before = answers(client, desk)
    client.put(f"/api/desks/{desk}/marks/0", json={"mark": "down"})
    after = search(client, desk, example, refine=True)["answers"]
    assert before[0]["name"] == "striped_part2"
    assert (after[-1]["name"], after[-1]["begin"]) == (before[0]["name"], before[0]["begin"])
    assert {each["name"] for each in after if each["mark"] == "down"} == {"striped_part2"}
    again = search(client, desk, example)["answers"]
    assert [each["name"] for each in again] == [each["name"] for each in before]
    assert {each["mark"] for each in again} == {"none"}
