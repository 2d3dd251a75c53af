"""Where and how the user's pip looks for packages: its configuration files and its environment variables."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PUBLIC = ""  # in place of a URL: the public index, which pip takes where none is named
SECTIONS = ("global", "install", "download", ":env:")  # the later wins, as in `pip download`
SECONDS = 15.0  # pip's own default


@dataclass(frozen=True, slots=True)
class PipSettings:
    """What of pip's configuration matters for finding one archive and getting it.

    find_links: folders, pages or archives. index_urls: of simple indexes, or PUBLIC. cert: file or folder of
    certificates to trust, None for the system's. client_cert: one file with key and certificate. proxy: its URL, None
    for that of the environment. trusted_hosts: HOST or HOST:PORT whose certificates are not checked. timeout: seconds.
    """

    find_links: tuple[str, ...] = ()
    index_urls: tuple[str, ...] = (PUBLIC,)
    cert: Path | None = None
    client_cert: Path | None = None
    proxy: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    timeout: float = SECONDS


def read_pip_settings(timeout: float | None = None) -> PipSettings:
    """pip's settings for `pip download`; `timeout`, in seconds, wins over theirs.

    Where this Python has no pip, its environment variables (PIP_INDEX_URL, ...) alone count.
    """
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True)
    return settings_of(parsed(asked.stdout.splitlines()) if asked.returncode == 0 else of_environment(), timeout)


def settings_of(values: Mapping[str, str], timeout: float | None = None) -> PipSettings:
    """pip's options, by their long names without dashes, as settings. ValueError for a time-out that is no number."""
    indexes = (values.get("index-url", PUBLIC), *values.get("extra-index-url", "").split())
    seconds = values.get("timeout", values.get("default-timeout", SECONDS))
    try:
        seconds = float(seconds) if timeout is None else timeout
    except ValueError:
        raise ValueError(f"pip's configuration has the timeout {seconds!r}, wanted a number of seconds. "
                         "See `pip config list`.") from None
    return PipSettings(
        find_links=tuple(map(os.path.expanduser, values.get("find-links", "").split())),
        index_urls=() if is_true(values.get("no-index", "")) else indexes,
        cert=path_of(values, "cert"),
        client_cert=path_of(values, "client-cert"),
        proxy=with_scheme(values["proxy"]) if "proxy" in values else None,
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
        timeout=seconds,
    )


def parsed(lines: Iterable[str]) -> dict[str, str]:
    """Options by name from the lines of `pip config list`, such as global.index-url='https://...'."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in lines:
        key, is_setting, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if is_setting and section in found:
            found[section][name] = ast.literal_eval(value)
    return {name: value for section in SECTIONS for name, value in found[section].items() if value.strip()}


def of_environment() -> dict[str, str]:
    """Options by name from the variables PIP_..."""
    return {name[4:].lower().replace("_", "-"): value for name, value in os.environ.items()
            if name.startswith("PIP_") and value.strip()}  # fmt: skip


def is_true(text: str) -> bool:
    return text.strip().lower() in {"1", "y", "yes", "t", "true", "on"}


def path_of(values: Mapping[str, str], name: str) -> Path | None:
    return Path(values[name]).expanduser() if name in values else None


def with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"
