"""A registry in this process, strict about the distribution specification, that misbehaves on demand.

What a client does against the specification is kept in `violations`; `faults` are consulted before
each request and may answer in its place.
"""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.support.images import image_config, sha256

OCI = "application/vnd.oci.image."
MANIFEST = f"{OCI}manifest.v1+json"
INDEX = f"{OCI}index.v1+json"
CONFIG = f"{OCI}config.v1+json"
LAYER = f"{OCI}layer.v1.tar+gzip"

_ROUTE = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>manifests|blobs|tags)/(?P<rest>.+)")
_UPLOAD = re.compile(r"/v2/(?P<name>.+?)/blobs/uploads/(?P<id>[^/]*)")


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]


Answer = Callable[["Handler", Request], bool]
"""Answers in place of the registry; whether it did."""


@dataclass
class Fault:
    """`answer` is asked for requests whose method and path match, `times` times at most."""

    pattern: str
    answer: Answer
    times: int = 1 << 30

    def fits(self, request: Request) -> bool:
        return self.times > 0 and bool(
            re.fullmatch(self.pattern, f"{request.method} {request.path}")
        )


@dataclass
class FakeRegistry:
    """What the registry holds and has seen. `port` is set while it serves."""

    port: int = 0
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    manifests: dict[str, dict[str, tuple[str, bytes]]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    account: tuple[str, str] | None = None
    tokens: bool = False
    """With an account: hand out tokens for it; else it is asked for itself."""
    page: int = 1000
    mounts: bool = True
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    valid_tokens: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def asked(self, pattern: str) -> list[Request]:
        """The requests whose method and path match."""
        return [
            each
            for each in self.requests
            if re.fullmatch(pattern, f"{each.method} {each.path.partition('?')[0]}")
        ]

    def put_blob(self, name: str, data: bytes) -> str:
        digest = sha256(data)
        self.blobs.setdefault(name, {})[digest] = data
        return digest

    def put_manifest(
        self,
        name: str,
        tag: str,
        document: Mapping[str, object] | bytes,
        media_type: str = MANIFEST,
    ) -> str:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = sha256(data)
        self.manifests.setdefault(name, {}).update(
            {tag: (media_type, data), digest: (media_type, data)}
        )
        return digest

    def put_image(
        self,
        name: str,
        tag: str,
        layers: Sequence[bytes],
        *,
        config: Mapping[str, object] | None = None,
        edit: Callable[[dict[str, object]], None] = lambda _: None,
    ) -> str:
        """An image of these uncompressed layers, gzipped; returns the digest of its manifest."""
        configuration = image_config(layers, config or {})
        packed = [gzip.compress(layer, 1, mtime=0) for layer in layers]
        document: dict[str, object] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.descriptor(name, configuration, CONFIG),
            "layers": [self.descriptor(name, layer, LAYER) for layer in packed],
        }
        edit(document)
        return self.put_manifest(name, tag, document)

    def descriptor(self, name: str, data: bytes, media_type: str) -> dict[str, object]:
        digest = self.put_blob(name, data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}


@contextmanager
def serving(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    """Serve on a free port of 127.0.0.1 until the end of the block."""

    class Bound(Handler):
        state = registry

    server = _Server(("127.0.0.1", 0), Bound)
    registry.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Its threads end with it: their descriptors are not to be counted by the next test."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._connections: set[socket.socket] = set()

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._connections.add(request)
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def shutdown_request(self, request: object) -> None:
        assert isinstance(request, socket.socket)
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    state: FakeRegistry
    timeout = 30

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is printed."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        if self.path.startswith("http://"):
            # We are taken for a proxy, and are the registry too.
            self.path = "/" + self.path.split("/", 3)[3]
        request = Request(self.command, self.path, dict(self.headers.items()))
        with self.state.lock:
            self.state.requests.append(request)
            fault = next((each for each in self.state.faults if each.fits(request)), None)
            if fault is not None:
                fault.times -= 1
        if fault is not None and fault.answer(self, request):
            return
        if "Transfer-Encoding" in self.headers:
            self._violation("a body without Content-Length")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._authorized():
            return
        self._route(body)

    # Answers.

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}) and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        message = code.lower().replace("_", " ")
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.answer(status, body, {"Content-Type": "application/json", **(headers or {})})

    def _violation(self, what: str) -> None:
        self.state.violations.append(f"{self.command} {self.path}: {what}")

    # Who may.

    def _authorized(self) -> bool:
        state, sent = self.state, self.headers.get("Authorization", "")
        if state.account is None:
            if sent:
                self._violation("credentials without a challenge")
            return True
        basic = "Basic " + base64.b64encode(":".join(state.account).encode()).decode()
        path = urlsplit(self.path)
        if path.path == "/token":
            if sent != basic:
                self.refuse(401, "UNAUTHORIZED")
                return False
            scopes = parse_qs(path.query).get("scope", [])
            with state.lock:
                token = f"token-{next(state.numbers)}"
                state.valid_tokens[token] = " ".join(scopes)
            self.answer(200, json.dumps({"token": token, "expires_in": 300}).encode())
            return False
        if not state.tokens:
            if sent == basic:
                return True
            self.refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="test"'})
            return False
        name = path.path.removeprefix("/v2/").partition("/manifests")[0].partition("/blobs")[0]
        wanted = "pull" if self.command in ("GET", "HEAD") else "push"
        granted = state.valid_tokens.get(sent.removeprefix("Bearer "), None)
        if granted is not None and (not name or (name in granted and wanted in granted)):
            return True
        realm = f'Bearer realm="http://{state.host}/token",service="test"'
        self.refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": realm})
        return False

    # The specification.

    def _route(self, body: bytes) -> None:
        path = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(path.query).items()}
        if path.path == "/v2/":
            self.answer(200, b"{}")
        elif upload := _UPLOAD.fullmatch(path.path):
            self._upload(upload["name"], upload["id"], query, body)
        elif found := _ROUTE.fullmatch(path.path):
            getattr(self, f"_{found['kind']}")(found["name"], found["rest"], query, body)
        else:
            self.refuse(404, "NAME_UNKNOWN")

    def _tags(self, name: str, rest: str, query: Mapping[str, str], body: bytes) -> None:
        if name not in self.state.manifests:
            self.refuse(404, "NAME_UNKNOWN")
            return
        tags = sorted(tag for tag in self.state.manifests[name] if ":" not in tag)
        after = [tag for tag in tags if tag > query.get("last", "")]
        page = after[: self.state.page]
        headers = {"Content-Type": "application/json"}
        if len(after) > len(page):
            headers["Link"] = f'</v2/{name}/tags/list?last={page[-1]}>; rel="next"'
        self.answer(200, json.dumps({"name": name, "tags": page}).encode(), headers)

    def _manifests(self, name: str, rest: str, query: Mapping[str, str], body: bytes) -> None:
        if self.command == "PUT":
            self._put_manifest(name, rest, body)
            return
        entry = self.state.manifests.get(name, {}).get(rest)
        if entry is None:
            self.refuse(404, "MANIFEST_UNKNOWN")
            return
        media_type, data = entry
        if media_type not in self.headers.get("Accept", ""):
            self._violation(f"Accept without {media_type}")
        self.answer(200, data, {"Content-Type": media_type, "Docker-Content-Digest": sha256(data)})

    def _put_manifest(self, name: str, reference: str, body: bytes) -> None:
        document = json.loads(body)
        if document.get("mediaType") != self.headers["Content-Type"]:
            self._violation("a manifest under another media type than its own")
        needed = [document["config"], *document["layers"]] if "config" in document else []
        for each in needed:
            if each["digest"] not in self.state.blobs.get(name, {}) and "urls" not in each:
                self.refuse(400, "MANIFEST_BLOB_UNKNOWN")
                return
        for each in document.get("manifests", ()):
            if each["digest"] not in self.state.manifests.get(name, {}):
                self.refuse(400, "MANIFEST_UNKNOWN")
                return
        if ":" in reference and reference != sha256(body):
            self.refuse(400, "DIGEST_INVALID")
            return
        self.state.put_manifest(name, reference, body, self.headers["Content-Type"])
        self.answer(
            201,
            headers={
                "Location": f"/v2/{name}/manifests/{reference}",
                "Docker-Content-Digest": sha256(body),
            },
        )

    def _blobs(self, name: str, digest: str, query: Mapping[str, str], body: bytes) -> None:
        data = self.state.blobs.get(name, {}).get(digest)
        if data is None:
            self.refuse(404, "BLOB_UNKNOWN")
            return
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(wanted[1])
            if start >= len(data):
                self.answer(416, headers={"Content-Range": f"bytes */{len(data)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], headers)
            return
        self.answer(200, data, {**headers, "Content-Length": str(len(data))})

    def _upload(self, name: str, upload: str, query: Mapping[str, str], body: bytes) -> None:
        state = self.state
        if self.command == "POST":
            source = query.get("from", "")
            known = state.blobs.get(source, {}).get(query.get("mount", ""))
            if known is not None and state.mounts:
                state.put_blob(name, known)
                self.answer(201, headers={"Location": f"/v2/{name}/blobs/{query['mount']}"})
                return
            with state.lock:
                upload = f"upload-{next(state.numbers)}"
                state.uploads[upload] = bytearray()
            self._accepted(name, upload)
            return
        held = state.uploads.get(upload)
        if held is None or query.get("_state") != upload:
            self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "PATCH":
            span = self.headers.get("Content-Range", f"0-{len(body) - 1}")
            if span != f"{len(held)}-{len(held) + len(body) - 1}":
                self.answer(416, headers=self._where(name, upload))
                return
            held += body
            self._accepted(name, upload)
        elif self.command == "PUT":
            held += body
            if sha256(bytes(held)) != query.get("digest"):
                self.refuse(400, "DIGEST_INVALID")
                return
            del state.uploads[upload]
            digest = state.put_blob(name, bytes(held))
            self.answer(201, headers={"Location": f"/v2/{name}/blobs/{digest}"})
        elif self.command == "GET":
            self.answer(204, headers=self._where(name, upload))
        elif self.command == "DELETE":
            del state.uploads[upload]
            self.answer(204)

    def _where(self, name: str, upload: str) -> dict[str, str]:
        held = self.state.uploads[upload]
        # A state that has to be handed back, as the real one does.
        location = f"/v2/{name}/blobs/uploads/{upload}?_state={upload}"
        return {"Location": location, "Range": f"0-{max(0, len(held) - 1)}"}

    def _accepted(self, name: str, upload: str) -> None:
        self.answer(202, headers=self._where(name, upload))


# Misbehaviour.


def status(code: int, headers: Mapping[str, str] | None = None) -> Answer:
    """Refuse with this status."""

    def answer(handler: Handler, request: Request) -> bool:
        handler.rfile.read(int(request.headers.get("Content-Length") or 0))
        handler.refuse(code, "UNAVAILABLE", headers)
        return True

    return answer


def body_of(data: bytes, *, length: int | None = None, code: int = 200) -> Answer:
    """Answer with these bytes, under this Content-Length, and hang up."""

    def answer(handler: Handler, request: Request) -> bool:
        handler.close_connection = True
        size = len(data) if length is None else length
        handler.answer(code, data, {"Content-Length": str(size)})
        return True

    return answer


def _asked(registry: FakeRegistry, request: Request) -> tuple[bytes, int, dict[str, str]]:
    """The blob, from where on, and the headers of the answer."""
    digest = request.path.rpartition("/")[2]
    data = next(blobs[digest] for blobs in registry.blobs.values() if digest in blobs)
    start = int(request.headers.get("Range", "bytes=0-")[6:-1])
    headers = {"Content-Length": str(len(data) - start)}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
    return data, start, headers


def cut_off(registry: FakeRegistry, count: int) -> Answer:
    """Of what was asked for (ranges are honoured) give only `count` bytes, and hang up."""

    def answer(handler: Handler, request: Request) -> bool:
        data, start, headers = _asked(registry, request)
        handler.close_connection = True
        handler.answer(206 if start else 200, data[start : start + count], headers)
        return True

    return answer


def redirected(location: Callable[[Request], str], code: int = 307) -> Answer:
    """Send elsewhere."""

    def answer(handler: Handler, request: Request) -> bool:
        handler.answer(code, headers={"Location": location(request)})
        return True

    return answer


def hang_up(handler: Handler, request: Request) -> bool:
    """Say nothing and close the connection."""
    handler.close_connection = True
    return True


def say_nothing(handler: Handler, request: Request) -> bool:
    """Leave the client waiting."""
    handler.state.stopped.wait(30)
    handler.close_connection = True
    return True


def drip(data: bytes, seconds: float) -> Answer:
    """A byte now and then."""

    def answer(handler: Handler, request: Request) -> bool:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        for position in range(len(data)):
            handler.wfile.write(data[position : position + 1])
            if handler.state.stopped.wait(seconds):
                break
        return True

    return answer


def held(registry: FakeRegistry, count: int, released: threading.Event) -> Answer:
    """The requested bytes (Range is honoured), but of those after the first `count` none before the event."""

    def answer(handler: Handler, request: Request) -> bool:
        data, start, headers = _asked(registry, request)
        handler.answer(206 if start else 200, b"", headers)
        handler.wfile.write(data[start : start + count])
        while not released.wait(0.05) and not handler.state.stopped.is_set():
            pass
        handler.wfile.write(data[start + count :])
        return True

    return answer


def paced(registry: FakeRegistry, pieces: int, seconds: float) -> Answer:
    """The requested bytes (Range is honoured) in `pieces` parts, with a pause before each."""

    def answer(handler: Handler, request: Request) -> bool:
        data, start, headers = _asked(registry, request)
        handler.answer(206 if start else 200, b"", headers)
        size = -(-len(data) // pieces)
        for position in range(start, len(data), size):
            if handler.state.stopped.wait(seconds):
                break
            handler.wfile.write(data[position : position + size])
        return True

    return answer
