"""Takes pictures of `stvr studio` at 400, 1280 and 3840 pixels, light and dark, on a world that it makes: OUT/*.png."""

from __future__ import annotations

import argparse
import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import Page, sync_playwright

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.library import build_index
from stvr.structures import ClipSpec
from stvr.studio.serving import open_index, served
from stvr.world.synthetic import write_world

SIZES = ((400, 800), (1280, 800), (3840, 2160))
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
ASKED, AT = "train_0000", 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--webp", type=Path, help="Write the light picture of 1280 pixels here as well, small.")
    arguments = parser.parse_args()
    out: Path = arguments.out
    make_library(out / "library")
    with studio(out / "library" / "index") as address, sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for width, height in SIZES:
            for theme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
                take(context.new_page(), address, out / f"{width}_{theme}", box_of(out / "library"))
                context.close()
        browser.close()
    if arguments.webp:
        from PIL import Image

        Image.open(out / "1280_light_answers.png").convert("RGB").save(arguments.webp, quality=70, method=6)


def make_library(folder: Path) -> None:
    """A world of eight videos, their features, and the index of them."""
    write_world(folder / "world", size="tiny", num_train_videos=8, num_test_videos=1, image_size=240, actors=(1, 1))
    if not (folder / "index" / "index.json").is_file():
        videos = sorted((folder / "world" / "videos").glob("train*.mp4"))
        extract(videos, folder / "features", load_backbone(runtime="auto"), ClipSpec(image_size=160))
        build_index([folder / "world" / "videos"], folder / "index", store=folder / "features")


def box_of(folder: Path) -> list[float]:
    """Where somebody is in the video that is asked with, xyxy in [0, 1]."""
    with (folder / "world" / "tracks.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["video"] == ASKED]
    row = min(rows, key=lambda row: abs(float(row["seconds"]) - AT))
    return [float(row[edge]) for edge in ("x1", "y1", "x2", "y2")]


@contextmanager
def studio(index: Path) -> Iterator[str]:
    """The address of a studio that runs in a thread."""
    with served(open_index(index, None, None, "cpu")) as (server, address, listening):
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


def take(page: Page, address: str, place: Path, box: list[float]) -> None:
    """Before anything is open, with answers, the keys, the export, and a fault."""
    page.set_default_timeout(20_000)
    page.goto(address)
    page.wait_for_selector("body[data-ready=true]")
    page.wait_for_timeout(500)
    page.screenshot(path=f"{place}_begin.png")
    page.click(f"#videos button:has-text('{ASKED}')")
    page.wait_for_selector("#still:not([hidden])")
    page.fill("#at", str(AT))
    page.press("#at", "Enter")
    page.wait_for_selector(f"#still[alt*='0:0{AT:.2f}']")
    page.locator("#screen").scroll_into_view_if_needed()
    draw(page, box)
    page.wait_for_selector("#example:has-text('follows'), #example:has-text('lost')")
    page.screenshot(path=f"{place}_box.png")
    page.keyboard.press("s")
    page.wait_for_selector("#progress", state="visible")
    page.screenshot(path=f"{place}_search.png")
    page.wait_for_selector("#progress", state="hidden", timeout=120_000)
    page.keyboard.press("2")
    page.wait_for_selector("#answers li[aria-current]")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("u")
    page.wait_for_timeout(700)
    page.screenshot(path=f"{place}_answers.png")
    page.screenshot(path=f"{place}_whole.png", full_page=True)
    for key, name in (("?", "keys"), ("e", "export")):
        page.keyboard.press(key)
        page.wait_for_selector("dialog[open]")
        page.screenshot(path=f"{place}_{name}.png")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog[open]", state="detached")
    gone = "train_0001 is not at hand: its file was moved or taken away."
    page.route("**/still*", lambda route: route.fulfill(status=404, body=gone))
    page.wait_for_timeout(300)
    page.keyboard.press("End")
    page.wait_for_selector("#fault:not([hidden])")
    page.screenshot(path=f"{place}_fault.png")


def draw(page: Page, box: list[float]) -> None:
    frame: Any = page.locator("#screen").bounding_box()
    left, top, right, bottom = box
    page.mouse.move(frame["x"] + left * frame["width"], frame["y"] + top * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + right * frame["width"], frame["y"] + bottom * frame["height"], steps=4)
    page.mouse.up()


if __name__ == "__main__":
    main()
