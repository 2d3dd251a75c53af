"""What the page asks for: its routes. Seconds and shares of the picture cross the wire, never a path or a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from stvr.studio.catalogue import Catalogue
from stvr.studio.desks import Desks
from stvr.studio.exports import FORMATS, export_answers
from stvr.studio.files_served import served_file
from stvr.studio.searches import Busy, Searches
from stvr.studio.shelf import Shelf, ShelfVideo, as_box
from stvr.studio.stills import Stills
from stvr.studio.tracking import track_box
from stvr.studio.uploads import Refused, Uploads
from stvr.studio.wire import Boxed, Mark, View, Wanted, film_json, listed, one_line, search_json, without_folders

HEIGHTS = (90, 180, 360, 720, 1080, 2160)  # of stills, in pixels
MOST_STEP = 10_000  # frames
KINDS = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8",
         "svg": "image/svg+xml"}  # fmt: skip
PLAYED = ("h264", "vp8", "vp9", "av1", "hevc", "theora")  # codecs that some browsers show; the page tries
RETRY_SECONDS = "2"

Seconds = Annotated[float, Query(ge=-1e6, le=1e6, allow_inf_nan=False)]


@dataclass(slots=True, eq=False)
class Studio:
    """What all requests share."""

    shelf: Shelf
    uploads: Uploads
    catalogue: Catalogue = field(init=False)
    stills: Stills = field(default_factory=Stills)
    desks: Desks = field(default_factory=Desks)
    searches: Searches = field(init=False)
    exporting: Lock = field(default_factory=Lock)  # one export at a time

    def __post_init__(self) -> None:
        self.catalogue, self.searches = Catalogue(self.shelf.videos), Searches(self.shelf)

    def search_json(self, desk: str) -> dict[str, Any]:
        return search_json(self.desks[desk], self.catalogue, self.shelf.clip)


def build_app(studio: Studio) -> FastAPI:
    """Without the guard, which stands before it: see `safety`."""
    app = FastAPI(title="stvr studio", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(page())
    app.include_router(videos(studio), prefix="/api")
    app.include_router(desks(studio), prefix="/api")
    for kind, answer in FAULTS.items():
        app.add_exception_handler(kind, answer)
    return app


def page() -> APIRouter:
    """The page itself, from the package; nothing is read from elsewhere."""
    router, kept = APIRouter(), static_files()

    @router.get("/")
    def index() -> Response:
        return kept["index.html"]

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in kept:
            raise LookupError("there is no such file here.")
        return kept[name]

    return router


def videos(studio: Studio) -> APIRouter:
    """The library, its pictures, uploads."""
    router = APIRouter()

    @router.get("/library")
    def library() -> dict[str, Any]:
        return {"title": studio.shelf.title, "videos": [listed(each) for each in studio.catalogue],
                "formats": FORMATS, "most_upload_bytes": studio.uploads.most_bytes}  # fmt: skip

    @router.get("/videos/{video}")
    def opened(video: str) -> dict[str, Any]:
        entry = studio.catalogue[video]
        film = studio.stills.film(entry.real)
        return film_json(entry, film, film.info.codec in PLAYED and not film.info.counted)

    @router.get("/videos/{video}/still")
    def still(
        video: str, at: Seconds, step: Annotated[int, Query(ge=-MOST_STEP, le=MOST_STEP)] = 0,
        height: Annotated[int, Query(ge=1, le=HEIGHTS[-1])] = 720,
    ) -> Response:
        taken = next(each for each in HEIGHTS if each >= height)
        found = studio.stills.still(studio.catalogue[video].real, at, step, taken)
        return Response(found.jpeg, media_type="image/jpeg", headers={
            "X-Seconds": repr(found.seconds), "X-Until": repr(found.until),
            "Cache-Control": "private, max-age=3600"})  # fmt: skip

    @router.get("/videos/{video}/file")
    def file(video: str, request: Request) -> FileResponse:
        return served_file(studio.catalogue[video].real, request.headers.get("range"))

    @router.post("/track")
    def track(asked: Boxed) -> dict[str, Any]:
        found = track_box(studio.stills.film(studio.catalogue[asked.video].real), asked.at, as_box(asked.box))
        return {"followed": found.followed, "track": [{"seconds": at, "box": box} for at, box in found.places]}

    @router.post("/uploads", status_code=201)
    async def upload(request: Request, name: Annotated[str, Query(max_length=1000)]) -> dict[str, Any]:
        length = request.headers.get("content-length")
        shown, path = await studio.uploads.take(name, None if length is None else int(length), request.stream())
        return listed(studio.catalogue.add(ShelfVideo(shown, path), uploaded=True))

    return router


def desks(studio: Studio) -> APIRouter:
    """What one page has open: its search, marks and export."""
    router, clip = APIRouter(), studio.shelf.clip

    @router.post("/desks", status_code=201)
    def begin() -> dict[str, Any]:
        return {"desk": studio.desks.open().id}

    @router.get("/desks/{desk}")
    def whole(desk: str) -> dict[str, Any]:
        return {"desk": desk, "view": studio.desks[desk].view, "search": studio.search_json(desk)}

    @router.put("/desks/{desk}/view")
    def keep(desk: str, view: View) -> dict[str, Any]:
        studio.desks[desk].view = view.model_dump()
        return {}

    @router.post("/desks/{desk}/search", status_code=202)
    def search(desk: str, wanted: Wanted) -> dict[str, Any]:
        here = studio.desks[desk]
        if here.search is not None and here.search.state == "running":
            raise Busy("this page's search is still running. Cancel it first.")
        examples = [each.example(studio.catalogue) for each in wanted.examples]
        if not wanted.refine:
            here.judged = []
        here.examples = examples
        here.search = studio.searches.start(here.like(clip), here.disliked(), wanted.top)
        return studio.search_json(desk)

    @router.get("/desks/{desk}/search")
    def progress(desk: str) -> dict[str, Any]:
        return studio.search_json(desk)

    @router.delete("/desks/{desk}/search")
    def cancel(desk: str) -> dict[str, Any]:
        if (running := studio.desks[desk].search) is not None:
            running.cancel()
        return studio.search_json(desk)

    @router.put("/desks/{desk}/marks/{number}")
    def mark(desk: str, number: int, given: Mark) -> dict[str, Any]:
        studio.desks[desk].judge(number, {"up": True, "down": False, "none": None}[given.mark])
        return studio.search_json(desk)

    @router.get("/desks/{desk}/export")
    def export(
        desk: str, form: Annotated[str, Query(max_length=40)], label: Annotated[str, Query(max_length=200)] = "",
        liked: bool = False,
    ) -> Response:
        here = studio.desks[desk]
        answers = [each for each in here.answers() if not liked or here.mark_of(each)]
        if not studio.exporting.acquire(blocking=False):
            raise Busy("another export is being written. Try again when it is done.")
        try:
            done = export_answers(answers, form, clip, studio.stills, label.strip() or None)
        finally:
            studio.exporting.release()
        notes = "; ".join(done.notes).encode("ascii", "replace").decode()
        return Response(done.content, media_type="application/octet-stream", headers={
            "Content-Disposition": f'attachment; filename="{done.name}"', "X-Notes": " ".join(notes.split())})

    return router


def static_files() -> dict[str, Response]:
    """The page's files by name."""
    found = {}
    for each in files("stvr.studio").joinpath("static").iterdir():
        kind = KINDS.get(each.name.rpartition(".")[2])
        if kind is not None:
            found[each.name] = Response(each.read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})
    return found


def line(error: BaseException) -> str:
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    return without_folders(str(message))


async def not_there(request: Request, error: Exception) -> Response:
    return PlainTextResponse(line(error), 404)


async def does_not_fit(request: Request, error: Exception) -> Response:
    return PlainTextResponse(line(error), 400)


async def unreadable(request: Request, error: Exception) -> Response:
    return PlainTextResponse("the file cannot be read just now.", 404)


async def malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return PlainTextResponse(one_line(list[Mapping[str, Any]](error.errors())), 400)


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return PlainTextResponse(line(error), error.status, {"Retry-After": RETRY_SECONDS} if error.status == 429 else None)


async def busy(request: Request, error: Exception) -> Response:
    return PlainTextResponse(line(error), 429, {"Retry-After": RETRY_SECONDS})


async def plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    return PlainTextResponse(str(error.detail), error.status_code, error.headers)


async def broken(request: Request, error: Exception) -> Response:
    return PlainTextResponse("something broke here; the terminal of `stvr studio` says what.", 500)


FAULTS: dict[type[Exception], Any] = {
    LookupError: not_there, Refused: refused, RequestValidationError: malformed, ValueError: does_not_fit,
    OSError: unreadable, Busy: busy, AnyHTTPException: plain, Exception: broken,
}  # fmt: skip
