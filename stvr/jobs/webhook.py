"""Events sent to an address: each is tried a few times beside the work, which never waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from stvr.version import __version__

TIMEOUT_SECONDS, TRIES, FIRST_WAIT = 5.0, 4, 0.5  # of one event; the wait doubles
ROOM = 256  # events that may wait to be sent
LAST_SECONDS = 10.0  # that the rest may take at the end


@dataclass(slots=True)
class Sent:
    """How many events were sent, could not be sent, or found no room to wait. reason: of the last failure."""

    sent: int = 0
    failed: int = 0
    dropped: int = 0
    reason: str = ""


class Staying(HTTPRedirectHandler):
    """Follows nothing: what is led elsewhere would come there as a GET, without the event."""

    def redirect_request(self, *led: object) -> None:
        return None


OPENER = build_opener(Staying)


class Webhook:
    """POSTs events as JSON to an http or https address, in order, in a thread of its own. ValueError for another."""

    def __init__(self, url: str, timeout: float = TIMEOUT_SECONDS, first_wait: float = FIRST_WAIT) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii():
            raise ValueError(f"wanted the address of a webhook, http://HOST/PATH or https://HOST/PATH, got {url!r}.")
        self.url, self.timeout, self.first_wait = url, timeout, first_wait
        self.counts = Sent()
        self._queue: Queue[bytes | None] = Queue(ROOM)
        self._hurry = Event()
        self._thread = Thread(target=self._send_all, daemon=True, name="webhook")
        self._thread.start()

    def send(self, event: Mapping[str, Any]) -> None:
        """Returns at once. Where too many wait already, the event is dropped and counted."""
        try:
            self._queue.put_nowait(json.dumps(event).encode())
        except Full:
            self.counts.dropped += 1

    def close(self, seconds: float = LAST_SECONDS) -> Sent:
        """Gives what waits that many seconds more; the rest is counted as dropped."""
        until = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < until:
            try:
                self._queue.put(None, timeout=0.1)
                break
            except Full:
                continue
        self._thread.join(max(until - time.monotonic(), 0))
        self._hurry.set()
        while self._thread.is_alive():
            try:
                self.counts.dropped += self._queue.get_nowait() is not None
            except Empty:
                break
        return self.counts

    def _send_all(self) -> None:
        while (event := self._queue.get()) is not None:
            wait = self.first_wait
            for number in range(TRIES):
                if self._sent(event):
                    self.counts.sent += 1
                    break
                if number + 1 == TRIES or self._hurry.wait(wait):
                    self.counts.failed += 1
                    break
                wait *= 2

    def _sent(self, event: bytes) -> bool:
        headers = {"Content-Type": "application/json", "User-Agent": f"stvr/{__version__}"}
        try:
            with OPENER.open(Request(self.url, event, headers, method="POST"), timeout=self.timeout) as answer:
                answer.read(1)
            return True
        except HTTPError as error:
            self.counts.reason = f"HTTP {error.code}"
        except (OSError, HTTPException, UnicodeError) as error:  # URLError and time-outs among them
            self.counts.reason = str(getattr(error, "reason", error)) or type(error).__name__
        return False
