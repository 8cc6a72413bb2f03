"""The reference registry (Debian's docker-registry) on loopback, in the set-ups that people have."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.support.ports import free_port
from tests.support.waiting import wait_until

_SECONDS = 120


@contextmanager
def docker_registry(directory: Path, **sections: Mapping[str, object]) -> Iterator[str]:
    """A registry with its data in `directory`; yields HOST:PORT. `sections` add to its configuration."""
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    http = {"addr": f"127.0.0.1:{port}", "secret": "x", **sections.pop("http", {})}
    configuration = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
        },
        "http": http,
        **sections,
    }
    path = directory / "config.yml"
    path.write_text(json.dumps(configuration))  # JSON is YAML
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", path], stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(port, process, directory / "log")
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(_SECONDS)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, _SECONDS)


def _openssl(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        ["openssl", *arguments], input=stdin, capture_output=True, check=True, timeout=120
    )
    return done.stdout


def authority(directory: Path) -> tuple[Path, Path]:
    """A certificate authority of our own: certificate and key."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key = directory / "ca.crt", directory / "ca.key"
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "2", "-subj", "/CN=test authority", "-keyout", key, "-out", certificate),
    )
    return certificate, key


def certificate(directory: Path, name: str, signer: tuple[Path, Path]) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 by that authority, good for servers and clients: and its key."""
    request, key, out = (directory / f"{name}.{end}" for end in ("csr", "key", "cert"))
    _openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-subj", f"/CN={name}", "-keyout", key, "-out", request),
    )
    extensions = directory / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    _openssl(
        *("x509", "-req", "-in", request, "-CA", signer[0], "-CAkey", signer[1]),
        *("-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", out),
    )
    return out, key


class TokenServer(BaseHTTPRequestHandler):
    """Hands out RS256 tokens (distribution, spec/auth/jwt.md): all rights to one account, reading of
    public/* to everybody."""

    key: Path
    certificate: Path
    account: tuple[str, str]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is printed."""

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "")
        expected = "Basic " + base64.b64encode(":".join(self.account).encode()).decode()
        if sent and sent != expected:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        query = parse_qs(urlsplit(self.path).query)
        access = []
        for scope in " ".join(query.get("scope", [])).split():
            kind, name, actions = scope.split(":")
            granted = [
                action
                for action in actions.split(",")
                if sent or (name.startswith("public/") and action == "pull")
            ]
            access.append({"type": kind, "name": name, "actions": granted})
        body = json.dumps({"token": self._token(query["service"][0], access)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _token(self, service: str, access: list[dict[str, object]]) -> str:
        der = "".join(self.certificate.read_text().splitlines()[1:-1])
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
        claims = {
            "iss": "test",
            "sub": "",
            "aud": service,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": os.urandom(8).hex(),
            "access": access,
        }
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = _openssl("dgst", "-sha256", "-sign", self.key, stdin=signed.encode())
        return f"{signed}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def token_server(directory: Path, account: tuple[str, str]) -> Iterator[dict[str, object]]:
    """Serve tokens; yields the registry's `auth` section."""
    directory.mkdir(parents=True, exist_ok=True)
    key, bundle = directory / "token.key", directory / "token.crt"
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=tokens", "-keyout", key, "-out", bundle),
    )
    handler = type("Bound", (TokenServer,), {"key": key, "certificate": bundle, "account": account})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    # A client need not wait for an answer.
    server.handle_error = lambda request, address: None
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield {
            "token": {
                "realm": f"http://127.0.0.1:{server.server_address[1]}/token",
                "service": "test",
                "issuer": "test",
                "rootcertbundle": str(bundle),
            }
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join(_SECONDS)
