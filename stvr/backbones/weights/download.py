"""Find an archive where the user's pip would, and get a file over the network: the one door to it."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from unearth import Link, PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers import PyPIClient

from stvr.backbones.weights.pip_settings import PUBLIC, PipSettings

Tell = Callable[[int, int], None]  # (bytes so far, bytes in all)
NOT_THERE = (404, 410)  # an index that answers so has no such package


class Client(PyPIClient):
    """unearth's, which would take an index that refuses or fails for one that has no such package."""

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """HTTPStatusError for every status from 400 on."""
        response = super().send(request, **options)
        if response.is_error:
            response.close()
            raise httpx2.HTTPStatusError(f"status {response.status_code}", request=request, response=response)
        return response


@contextmanager
def client_of(settings: PipSettings) -> Iterator[Client]:
    """A client with pip's certificates, proxy, trusted hosts, time-out, and passwords from URLs, netrc and keyring."""
    trusted = ssl_context(settings)
    unchecked = {f"all://{host}": httpx2.HTTPTransport(verify=False, proxy=proxy_for(host, settings))
                 for host in settings.trusted_hosts}
    with Client(
        trusted_hosts=settings.trusted_hosts, verify=trusted, proxy=settings.proxy, mounts=unchecked,
        timeout=settings.timeout, follow_redirects=True,
        auth=MultiDomainBasicAuth(prompting=False, index_urls=[url for url in settings.index_urls if url != PUBLIC]),
    ) as client:  # fmt: skip
        yield client


def ssl_context(settings: PipSettings) -> ssl.SSLContext:
    """FileNotFoundError or ValueError, in one line, for certificates that cannot be read."""
    cert, own = settings.cert, settings.client_cert
    try:
        if cert is None:
            context = httpx2.create_ssl_context()
        elif cert.is_dir():
            context = ssl.create_default_context(capath=cert)
        else:
            context = ssl.create_default_context(cafile=cert)
        if own is not None:
            context.load_cert_chain(own)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"the certificates of pip's configuration cannot be read ({error}). See `pip config list`: "
                         "cert, client-cert.") from None
    return context


def proxy_for(host: str, settings: PipSettings) -> str | None:
    """The proxy to a trusted host, which the client does not look up by itself."""
    proxies = {} if proxy_bypass(host) else getproxies()
    return settings.proxy or proxies.get("https") or proxies.get("http")


def find_archive(client: Client, settings: PipSettings, package: str, version: str) -> Link:
    """The source archive of one version of a package, in the first place of the settings that has it.

    LookupError where none has it; OSError where none of those that answered has it and others did not answer.
    """
    silent: list[str] = []
    session: Any = client  # unearth's own client, which its annotations do not admit
    for place in (*settings.find_links, *settings.index_urls):
        is_index = place in settings.index_urls
        finder = PackageFinder(  # without any place it looks in the public index
            session, index_urls=[place] if is_index and place != PUBLIC else [], find_links=[] if is_index else [place],
            no_binary=[package], ignore_compatibility=True,
        )  # fmt: skip
        try:
            for found in finder.find_matches(f"{package}=={version}", allow_yanked=True):
                return found.link
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            if not (isinstance(error, httpx2.HTTPStatusError) and error.response.status_code in NOT_THERE):
                silent.append(f"{shown(place)}: {reason(error)}")
    if silent:
        raise OSError(f"{package} {version} was not found, and a place where pip looks cannot be reached "
                      f"({'; '.join(silent)}). Check the network and `pip config list`, then run this again.")
    looked = ", ".join(map(shown, (*settings.find_links, *settings.index_urls))) or "no place"
    raise LookupError(f"{package} {version} is not where pip looks on this machine ({looked}). Name an index that has "
                      "it in pip's configuration, for example by PIP_EXTRA_INDEX_URL.")


def download(client: Client, url: str, file: IO[bytes], size: int, tell: Tell | None = None) -> str:
    """Writes what lies at `url` to `file`, and returns its sha256. size: bytes in all, unless the server says so.

    OSError in one line where the network or the disk gives up on the way.
    """
    total, done = hashlib.sha256(), 0
    try:
        with client.get_stream(url, headers={"Accept-Encoding": "identity"}) as response:
            size = int(response.headers.get("Content-Length", size))
            for chunk in response.iter_raw():
                total.update(chunk)
                file.write(chunk)
                done += len(chunk)
                if tell:
                    tell(done, size)
        file.flush()
    except httpx2.HTTPError as error:
        what = f"broke off after {done} bytes" if done else "cannot be reached"
        raise OSError(f"{shown(url)} {what} ({reason(error)}). Check the network, then run this again.") from None
    return total.hexdigest()


def shown(place: str) -> str:
    """A URL without the password in it, or the path itself."""
    if place == PUBLIC:
        return "the public index"
    return Link(place).redacted if "://" in place else place


def host_of(url: str) -> str:
    """What a user calls the place of a file: the host's name, or "this machine"."""
    return urlsplit(url).hostname or "this machine"


def reason(error: Exception) -> str:
    """In a few words."""
    return str(error).split("\n")[0] or type(error).__name__
