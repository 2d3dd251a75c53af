"""The page in a real browser: open, box, search, see, judge, take home, come back."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from moving import HEIGHT, WIDTH, place, uneven
from numpy.typing import NDArray

from stvr.render.exporters import import_file
from stvr.studio.plain_shelf import PlainShelf

pytest.importorskip("fastapi", reason="needs fastapi, which is not installed: pip install 'stvr[studio]'")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, which is not installed")

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
YELLOW = (250, 240, 60)  # of the stripes of who is asked for


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(browser: Any, studio: str) -> Iterator[Any]:
    """A page that stays open from test to test; nothing may fail in its console, and it asks nobody but the studio."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page, faults = context.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: line.type == "error" and faults.append(line.text))
    page.on("request", lambda asked: asked.url.startswith((studio, "blob:")) or faults.append(asked.url))
    page.goto(studio)
    page.wait_for_selector("body[data-ready=true]")
    yield page
    context.close()
    assert not faults


def picture(page: Any) -> NDArray[np.uint8]:
    """The screen as it is seen, (H, W, 3)."""
    data = io.BytesIO(page.locator("#screen").screenshot())
    with av.open(data) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def extent(pixels: NDArray[np.uint8], colour: tuple[int, int, int], off: int) -> NDArray[np.float64]:
    """The box in [0, 1] around all pixels that are of a colour, up to `off` levels a channel."""
    rows, columns = np.nonzero((np.abs(pixels.astype(int) - colour) <= off).all(-1))
    assert len(rows), f"no pixel is {colour}"
    height, width = pixels.shape[:2]
    edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return edges / (width, height, width, height)


def shares(box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    return np.array(box) / (WIDTH, HEIGHT, WIDTH, HEIGHT)


def seconds(page: Any) -> float:
    minutes, rest = page.input_value("#at").split(":")
    return 60 * int(minutes) + float(rest)


def names(page: Any) -> list[str]:
    return [text.split(". ", 1)[1] for text in page.locator("#answers strong").all_inner_texts()]


def draw(page: Any, box: NDArray[np.float64]) -> None:
    frame = page.locator("#screen").bounding_box()
    corners = [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in box.reshape(2, 2)]
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1], steps=3)
    page.mouse.up()


def searched(page: Any) -> None:
    page.wait_for_selector("#progress", state="visible", timeout=10_000)
    page.wait_for_selector("#progress", state="hidden", timeout=60_000)


def test_one_box_finds_the_video_where_the_same_is_done_with_its_tube_over_the_actor(page, asked):
    page.set_input_files("#upload", asked)
    page.wait_for_selector("#video-name:has-text('asked')", timeout=60_000)
    page.fill("#at", "1")
    page.press("#at", "Enter")
    page.wait_for_selector("#still[alt*='0:01.00']")
    truth = shares(place("striped", 1.0, 0.3))
    seen = extent(picture(page), YELLOW, 60)
    assert np.abs(seen[[0, 1, 2]] - truth[[0, 1, 2]]).max() < 0.02  # below the last yellow stripe is a dark one
    draw(page, truth)
    page.wait_for_selector("#example:has-text('follows')")
    page.keyboard.press("s")
    searched(page)
    assert names(page)[0] == "striped_part2"
    page.keyboard.press("1")
    page.wait_for_selector("#video-name:has-text('striped_part2')")
    page.wait_for_selector(".tube.chosen")
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#still[alt*='0:00.50']")
    pixels = picture(page)
    where = shares(place("striped", 0.5, 0.65))
    assert np.abs(extent(pixels, YELLOW, 60)[[0, 1, 2]] - where[[0, 1, 2]]).max() < 0.02
    colour = page.evaluate("getComputedStyle(document.querySelector('.tube.chosen')).borderTopColor")
    red, green, blue = (int(each) for each in colour.removeprefix("rgb(").removesuffix(")").split(","))
    tube = extent(pixels, (red, green, blue), 4)
    middle = (where[:2] + where[2:]) / 2
    assert (tube[:2] < middle).all()
    assert (middle < tube[2:]).all()
    shared = np.clip(np.minimum(tube[2:], where[2:]) - np.maximum(tube[:2], where[:2]), 0, None).prod()
    assert shared / (where[2:] - where[:2]).prod() > 0.8  # of the actor lies in the tube drawn
    assert "does not play" in page.inner_text("#mode")


def test_a_cvat_file_of_what_is_liked_is_read_back(page, library, tmp_path):
    page.keyboard.press("u")
    page.wait_for_selector("#answers [data-act=up][data-number='0'][aria-pressed=true]")
    page.keyboard.press("e")
    page.select_option("#exporting [name=form]", "cvat")
    page.fill("#exporting [name=label]", "up and down")
    page.check("#exporting [name=liked]")
    with page.expect_download() as coming:
        page.click("#exporting button[type=submit]")
    path = tmp_path / coming.value.suggested_filename
    coming.value.save_as(path)
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    (found,) = import_file(path, "cvat", videos=sorted(library.glob("*.mp4")))
    desk = page.evaluate("fetch('/api/desks/' + location.hash.slice(6)).then((each) => each.json())")
    answer = desk["search"]["answers"][0]
    assert found.label == "up and down"
    assert found.seconds_at(found.start) == pytest.approx(answer["begin"], abs=0.01)
    assert found.seconds_at(found.stop) == pytest.approx(answer["end"], abs=0.01)
    wanted = np.array([each["box"] for each in answer["boxes"]]) * (WIDTH, HEIGHT, WIDTH, HEIGHT)
    assert np.abs(found.boxes - wanted).max() < 0.02


def test_a_reload_keeps_everything(page):
    page.wait_for_timeout(600)  # what is shown is kept a moment after it is shown
    before = names(page), seconds(page), page.inner_text("#video-name"), page.inner_text("#example"), page.url
    page.reload()
    page.wait_for_selector("body[data-ready=true]")
    page.wait_for_selector("#still:not([hidden])")
    assert (names(page), seconds(page), page.inner_text("#video-name"), page.inner_text("#example"), page.url) == before
    assert page.locator("#answers [data-act=up][aria-pressed=true]").count() == 1
    assert page.locator(".tube").count() > 0


def test_a_thumb_down_changes_the_order(page):
    before = names(page)
    assert before[0] == "striped_part2"
    page.click("#answers [data-act=down][data-number='0']")
    page.wait_for_selector("#answers [data-act=down][data-number='0'][aria-pressed=true]")
    page.keyboard.press("r")
    searched(page)
    after = names(page)
    assert after[-1] == "striped_part2"
    assert after != before
    assert page.locator("#answers li").last.locator("[data-act=down]").get_attribute("aria-pressed") == "true"


class Slow(PlainShelf):
    """Takes its time over every video."""

    def ask(self, video, wanted, tell):
        time.sleep(1)
        return super().ask(video, wanted, tell)


def test_a_search_shows_how_far_it_is_and_can_be_given_up(browser, session, library, run_studio):
    shelf = Slow("library", session, sorted(library.glob("*.mp4")))
    with run_studio(shelf) as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("body[data-ready=true]")
        page.click("#videos button:has-text('dotted_h264')")
        page.wait_for_selector("#still:not([hidden])")
        page.keyboard.press("s")  # nothing is boxed: the whole picture
        page.wait_for_selector("#answers li")
        assert "so far" in page.inner_text("#summary")
        assert 0 < page.evaluate("document.querySelector('#progress progress').value") < 1
        page.keyboard.press("Escape")
        page.wait_for_selector("#summary:has-text('Given up')", timeout=10_000)
        assert page.locator("#answers li").count() < 4
        page.close()


def test_every_frame_of_a_variable_rate_is_stepped_through_at_its_time(page):
    page.click("#videos button:has-text('dotted_uneven')")
    page.wait_for_selector("#video-name:has-text('dotted_uneven')")
    page.keyboard.press("Home")
    times = [float(each) for each in uneven(3)]
    assert seconds(page) == 0
    for index in range(1, 6):
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(f"#still[alt*='{times[index]:.2f}']")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(f"#still[alt*='{times[4]:.2f}']")


def test_the_browser_plays_what_it_can_and_pauses_on_an_exact_still(page):
    page.click("#videos button:has-text('dotted_h264')")
    page.wait_for_selector("#video-name:has-text('dotted_h264')")
    page.keyboard.press("Home")
    page.wait_for_selector("#still[alt*='0:00.00']")
    page.keyboard.press("l")
    page.wait_for_selector("body[data-playing=true]")
    page.wait_for_timeout(700)
    shown = page.inner_text("#mode")
    page.keyboard.press("k")
    page.wait_for_selector("#mode:has-text('exact still')")
    page.wait_for_selector("#still:not([hidden])")
    assert shown in ("playing", "playing stills")  # by whether this Chromium brings the codec
    at = seconds(page)
    assert 0.1 < at < 3
    assert at * 24 == pytest.approx(round(at * 24), abs=0.2)  # the beginning of a frame


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_fault_of_access(browser, studio, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=theme, bypass_csp=True)
    page = context.new_page()
    page.goto(studio)
    page.wait_for_selector("body[data-ready=true]")
    page.click("#videos button:has-text('striped_part2')")
    page.wait_for_selector("#still:not([hidden])")
    page.keyboard.press("b")
    page.wait_for_selector("#example:has-text('Box at')")
    page.keyboard.press("s")
    searched(page)
    page.keyboard.press("1")
    for key in ("", "?", "e"):
        if key:
            page.keyboard.press(key)
            page.wait_for_selector("dialog[open]")
        found = axe.Axe().run(page).response["violations"]
        faults = [(each["id"], [node["target"] for node in each["nodes"]]) for each in found
                  if each["impact"] in ("serious", "critical")]
        assert not faults
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog[open]", state="detached")
    context.close()


def test_a_name_is_only_a_name(browser, session, library, tmp_path, run_studio):
    path: Path = tmp_path / "<img src=x onerror=document.title='taken'>.mp4"
    shutil.copy(library / "dotted_h264.mp4", path)
    with run_studio(PlainShelf("<b>one</b>", session, [path])) as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("body[data-ready=true]")
        page.click("#videos button")
        page.wait_for_selector("#still:not([hidden])")
        assert page.inner_text("#video-name") == path.stem
        assert page.title() == "stvr studio"
        page.close()
