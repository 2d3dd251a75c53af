"""Who may ask, and with what: hosts, origins, a token, bodies; and what a browser may do with the answers."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import MutableMapping
from secrets import compare_digest
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "stvr_studio"
READ_ONLY = ("GET", "HEAD")
BODY_BYTES = 64 << 10
UPLOADS = "/api/uploads"  # has bounds of its own
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
                               "frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Stands before the app. host: what it is bound to. token: None asks for none.

    patience: seconds that the next part of a body may take.
    """

    def __init__(self, app: ASGIApp, host: str, token: str | None, patience: float) -> None:
        self.app, self.host, self.token, self.patience = app, host, token, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self.refusal(scope, Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, send_marked)
        else:
            await self.app(scope, receive if scope["path"] == UPLOADS else self.bounded(receive), send_marked)

    def refusal(self, scope: MutableMapping[str, Any], headers: Headers) -> Response | None:
        """The answer to a request that is not let in, None for one that is."""
        host = headers.get("host", "")
        if not self.knows(host):
            return said(421, "this host is not known here. Use the address that `stvr studio` printed.")
        if scope["method"] not in READ_ONLY and (wrong := self.foreign(scope, headers, host)):
            return said(403, wrong)
        site = headers.get("sec-fetch-site", "none")
        if scope["path"] != "/" and site not in ("none", "same-origin"):
            return said(403, "other pages may not ask this one.")
        if headers.get("content-encoding", "identity") != "identity":
            return said(415, "bodies are taken as they are, not compressed.")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            return said(400, "the length of the body is no number.")
        if scope["path"] != UPLOADS and int(length) > BODY_BYTES:
            return said(413, f"the body has more than {BODY_BYTES} bytes.")
        return self.unknown_person(scope, headers)

    def knows(self, host: str) -> bool:
        """Against DNS rebinding: another page's name that leads here is refused."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            urlsplit(f"//{host}").port  # noqa: B018  it raises for what is no port
        except ValueError:
            return False
        if is_loopback(name) or name == self.host.lower():
            return True
        if is_loopback(self.host):
            return False
        try:
            return bool(ipaddress.ip_address(name))
        except ValueError:
            return name == socket.gethostname().lower()

    def foreign(self, scope: MutableMapping[str, Any], headers: Headers, host: str) -> str:
        """Why a request that changes something is another page's, or ""."""
        origin = headers.get("origin")
        if origin is not None and origin != f"{scope.get('scheme', 'http')}://{host}":
            return "another page's request is refused."
        if origin is None and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "another page's request is refused."
        return ""

    def unknown_person(self, scope: MutableMapping[str, Any], headers: Headers) -> Response | None:
        """Without the token there is nothing here; with it in the address, it becomes a cookie."""
        if self.token is None:
            return None
        offered = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and offered and self.is_token(offered):
            answer = RedirectResponse("/", status_code=303)
            answer.set_cookie(COOKIE, offered, httponly=True, samesite="strict", path="/")
            return answer
        kept = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self.is_token(kept) or self.is_token(bearer):
            return None
        return said(401, "this studio asks for a token. Open the whole address that `stvr studio` printed.")

    def is_token(self, offered: str) -> bool:
        return self.token is not None and compare_digest(offered.encode(), self.token.encode())

    def bounded(self, receive: Receive) -> Receive:
        """A body may be BODY_BYTES long, and its parts must come in time."""
        count, ended = 0, False

        async def receive_bounded() -> Message:
            nonlocal count, ended
            if ended:  # waits until the client goes, which may be long
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self.patience)
            except TimeoutError:
                raise HTTPException(408, "the body came too slowly.") from None
            count += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if count > BODY_BYTES:
                raise HTTPException(413, f"the body has more than {BODY_BYTES} bytes.")
            return message

        return receive_bounded


def said(status: int, line: str) -> Response:
    return PlainTextResponse(line, status)
