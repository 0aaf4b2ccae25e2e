"""A certificate for TLS on loopback."""

from __future__ import annotations

import shutil
import ssl
import subprocess

import pytest
from attrs import frozen


@frozen
class Certificates:
    """A certificate for localhost, and the authority that signed it."""

    authority: str
    context: ssl.SSLContext


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Made anew for each run."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, and nothing else here makes certificates")
    folder = tmp_path_factory.mktemp("tls")
    run = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run += ["-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost,DNS:relay.test"]
    run += ["-addext", "basicConstraints=critical,CA:FALSE"]  # pyreqwest takes no authority for a server
    run += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "authority.pem")]
    subprocess.run(run, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "authority.pem", folder / "key.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return Certificates(str(folder / "authority.pem"), context)
