"""Pulling from a registry that is strict, and from one that is broken."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from rootless.errors import IntegrityError, InvalidDocumentError, NotFoundError, UsageError
from rootless.images.gc.check import check
from rootless.images.transfer.progress import Stage
from rootless.images.transfer.pull import pull
from rootless.oci.platform import parse_platform
from rootless.registry.authorization import Credentials
from rootless.registry.failures import DeniedError, RegistryError, UnknownError, UnreachableError
from rootless.store.image import manifest_of, resolve
from rootless.store.layers import layer_files
from rootless.store.layout import Store
from tests.integration.registry.conftest import QUICK
from tests.support.images import layer_tar, sha256
from tests.support.registry import (
    INDEX,
    MANIFEST,
    FakeRegistry,
    Fault,
    body_of,
    cut_off,
    drip,
    hang_up,
    redirected,
    say_nothing,
    serving,
    status,
)
from tests.support.waiting import wait_until

BASE = layer_tar({"etc/name": b"base\n"})
TOP = layer_tar({"etc/top": os.urandom(300_000)})
BLOB = "GET /v2/.*/blobs/{}"


def blob_pattern(layer: bytes) -> str:
    return BLOB.format(sha256(gzip.compress(layer, 1, mtime=0)))


class Seen:
    """Keeps what a pull says."""

    def __init__(self):
        self.lines, self.stages = [], []

    def line(self, text):
        self.lines.append(text)

    def layer(self, name, stage, done=0, total=0, note=""):
        self.stages.append(stage)


def sound(store: Store) -> bool:
    """Nothing is left over, and everything named is whole."""
    assert [entry.name for entry in (Path(store.root) / "tmp").iterdir() if entry.is_dir()] == []
    for blob in (Path(store.root) / "blobs/sha256").iterdir():
        assert sha256(blob.read_bytes()) == f"sha256:{blob.name}"
    return True


def test_pull_brings_layers_config_and_names(registry, store, env):
    digest = registry.put_image("team/app", "1", [BASE, TOP], config={"User": "7"})
    seen = Seen()
    [pulled] = pull(store, f"{registry.host}/team/app:1", env, options=QUICK, progress=seen)
    image = resolve(store, f"{registry.host}/team/app:1")
    assert (pulled.id, pulled.digest, pulled.newer) == (image.id, digest, True)
    assert image.config["User"] == "7"
    assert [Path(files.tar).read_bytes() for files in layer_files(store, image)] == [BASE, TOP]
    assert image.repo_digests == (f"{registry.host}/team/app@{digest}",)
    assert seen.lines == ["1: Pulling from team/app"]
    assert seen.stages.count(Stage.PULLED) == 2
    assert list((Path(store.root) / "partial").iterdir()) == []
    assert sound(store)


def test_pull_again_fetches_no_layer(registry, store, env):
    registry.put_image("app", "latest", [BASE, TOP])
    name = f"{registry.host}/app"
    pull(store, name, env, options=QUICK)
    registry.requests.clear()
    [again] = pull(store, name, env, options=QUICK)
    assert not again.newer
    assert registry.asked("GET .*/blobs/.*") == []


def test_pull_by_digest_gives_no_tag(registry, store, env):
    digest = registry.put_image("app", "latest", [BASE])
    name = f"{registry.host}/app@{digest}"
    pull(store, name, env, options=QUICK)
    image = resolve(store, name)
    assert image.tags == ()
    assert image.repo_digests == (name,)


def test_pull_of_every_tag(registry, store, env):
    registry.page = 2
    for tag in ("1", "2", "3", "latest", "z"):
        registry.put_image("app", tag, [BASE], config={"User": tag})
    pulled = pull(store, f"{registry.host}/app", env, options=QUICK, all_tags=True)
    assert [each.reference.tag for each in pulled] == ["1", "2", "3", "latest", "z"]
    with pytest.raises(UsageError, match="tag can't be used"):
        pull(store, f"{registry.host}/app:1", env, options=QUICK, all_tags=True)


def test_pull_of_image_with_equal_layers_fetches_each_once(registry, store, env):
    registry.put_image("app", "latest", [BASE, TOP, BASE])
    pull(store, f"{registry.host}/app", env, options=QUICK)
    assert len(registry.asked(blob_pattern(BASE))) == 1
    assert len(layer_files(store, resolve(store, f"{registry.host}/app"))) == 3


@pytest.mark.parametrize(
    ("wanted", "user"), [("linux/amd64", "amd64"), ("linux/arm/v7", "v7"), ("linux/arm/v8", "v7")]
)
def test_pull_from_an_index_takes_the_platform(registry, store, env, wanted, user):
    entries = []
    for architecture, variant in (("amd64", ""), ("arm", "v6"), ("arm", "v7")):
        config = {"User": variant or architecture}
        digest = registry.put_image("app", "x", [BASE], config=config)
        size = len(registry.manifests["app"][digest][1])
        platform = {"os": "linux", "architecture": architecture, "variant": variant}
        entries.append(
            {"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform}
        )
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    digest = registry.put_manifest("app", "many", index, INDEX)
    name = f"{registry.host}/app:many"
    [pulled] = pull(store, name, env, options=QUICK, platform=parse_platform(wanted))
    assert pulled.digest == digest
    assert resolve(store, name).config["User"] == user
    assert resolve(store, f"{registry.host}/app@{digest}").id == pulled.id
    with pytest.raises(NotFoundError, match="no matching manifest for linux/s390x"):
        pull(store, name, env, options=QUICK, platform=parse_platform("linux/s390x"))


def test_manifest_that_is_not_there_is_said_as_docker_does(registry, store, env):
    registry.put_image("app", "1", [BASE])
    with pytest.raises(UnknownError, match=r"manifest for .*/app:2 not found: manifest unknown"):
        pull(store, f"{registry.host}/app:2", env, options=QUICK)


@pytest.mark.parametrize("name", ["scratch", "scratch:1", "docker.io/library/scratch"])
def test_scratch_is_no_image(store, env, name):
    for all_tags in (False, ":" not in name):
        with pytest.raises(UsageError, match="'scratch' is a reserved name"):
            pull(store, name, env, options=QUICK, all_tags=all_tags)


def test_artifact_is_refused_by_what_it_is(registry, store, env):
    def edit(document):
        document["config"]["mediaType"] = "application/vnd.oci.empty.v1+json"

    registry.put_image("chart", "1", [BASE], edit=edit)
    with pytest.raises(InvalidDocumentError, match="is an artifact, not a container image"):
        pull(store, f"{registry.host}/chart:1", env, options=QUICK)


# Broken bodies.


@pytest.mark.parametrize("count", [1, 100, 100_000])
def test_blob_that_breaks_off_is_gone_on_with(registry, store, env, count):
    registry.put_image("app", "latest", [TOP])
    registry.faults.append(Fault(blob_pattern(TOP), cut_off(registry, count), times=2))
    pull(store, f"{registry.host}/app", env, options=QUICK)
    ranges = [each.headers.get("Range") for each in registry.asked(blob_pattern(TOP))]
    assert ranges == [None, f"bytes={count}-", f"bytes={2 * count}-"]
    assert sound(store)


def test_server_without_ranges_sends_all_and_what_is_there_is_skipped(registry, store, env):
    registry.put_image("app", "latest", [TOP])
    packed = gzip.compress(TOP, 1, mtime=0)
    registry.faults += [
        Fault(blob_pattern(TOP), cut_off(registry, 1000), times=1),
        Fault(blob_pattern(TOP), body_of(packed), times=1),
    ]
    pull(store, f"{registry.host}/app", env, options=QUICK)
    assert sound(store)


def test_refused_range_is_asked_for_without_one(registry, store, env):
    registry.put_image("app", "latest", [TOP])
    registry.faults += [
        Fault(blob_pattern(TOP), cut_off(registry, 1000), times=1),
        Fault(blob_pattern(TOP), status(416), times=1),
    ]
    pull(store, f"{registry.host}/app", env, options=QUICK)
    ranges = [each.headers.get("Range") for each in registry.asked(blob_pattern(TOP))]
    assert ranges == [None, "bytes=1000-", None]


def test_other_range_than_asked_is_refused(registry, store, env):
    registry.put_image("app", "latest", [TOP])

    def lie(handler, request):
        handler.answer(206, b"x" * 10, {"Content-Range": "bytes 5-14/20"})
        return True

    registry.faults += [
        Fault(blob_pattern(TOP), cut_off(registry, 1000), times=1),
        Fault(blob_pattern(TOP), lie),
    ]
    with pytest.raises(RegistryError, match="range from byte 1000"):
        pull(store, f"{registry.host}/app", env, options=QUICK)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: b"x" + data[1:], "not a valid|instead of|damaged"),
        (lambda data: data[:-1] + b"x", "instead of|damaged|truncated"),
        (lambda data: data + b"x", "bytes at the registry instead of"),
        (lambda data: data[:-1], "bytes at the registry instead of"),
    ],
)
def test_wrong_bytes_are_refused(registry, store, env, change, words):
    registry.put_image("app", "latest", [BASE, TOP])
    packed = gzip.compress(TOP, 1, mtime=0)
    registry.faults.append(Fault(blob_pattern(TOP), body_of(change(packed))))
    with pytest.raises((IntegrityError, InvalidDocumentError), match=words):
        pull(store, f"{registry.host}/app", env, options=QUICK)
    with pytest.raises(NotFoundError):
        resolve(store, f"{registry.host}/app")
    registry.faults.clear()
    pull(store, f"{registry.host}/app", env, options=QUICK)
    assert sound(store)


@pytest.mark.parametrize("part", ["layer", "config"])
def test_false_size_of_what_the_store_has_is_refused_and_harms_nothing(registry, store, env, part):
    registry.put_image("app", "1", [BASE])
    pull(store, f"{registry.host}/app:1", env, options=QUICK)

    def lie(document):
        descriptor = document["config"] if part == "config" else document["layers"][0]
        descriptor["size"] += 1

    registry.put_image("app", "2", [BASE], edit=lie)
    with pytest.raises(IntegrityError, match="instead of"):
        pull(store, f"{registry.host}/app:2", env, options=QUICK)
    assert check(store, list) == []
    assert resolve(store, f"{registry.host}/app:1").tags


@pytest.mark.parametrize("damage", ["cut", "emptied", "directory", "missing"])
def test_pull_replaces_what_is_damaged_in_the_store(registry, store, env, damage):
    registry.put_image("app", "1", [BASE])
    name = f"{registry.host}/app:1"
    pull(store, name, env, options=QUICK)
    image = resolve(store, name)
    [blob] = manifest_of(store, image).layers
    for path in (store.blob_path(blob.digest), store.layer_files(image.diff_ids[0]).tar):
        size = os.stat(path).st_size
        if damage in ("cut", "emptied") and path == store.blob_path(blob.digest):
            os.truncate(path, size // 2 if damage == "cut" else 0)
        elif damage in ("directory", "missing"):
            os.unlink(path)
            if damage == "directory":
                os.mkdir(path)
    pull(store, name, env, options=QUICK)
    assert check(store, list) == []


def test_endless_body_is_cut(registry, store, env):
    registry.put_image("app", "latest", [TOP])
    size = len(gzip.compress(TOP, 1, mtime=0))

    def flood(handler, request):
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            for _ in range(10_000):
                handler.wfile.write(bytes(1 << 16))
        except OSError:
            pass
        return True

    registry.faults.append(Fault(blob_pattern(TOP), flood))
    with pytest.raises(IntegrityError, match=f"is longer than the {size} bytes"):
        pull(store, f"{registry.host}/app", env, options=QUICK)


def test_what_an_earlier_pull_left_is_used(registry, store, env):
    registry.put_image("app", "latest", [TOP])
    packed = gzip.compress(TOP, 1, mtime=0)
    (Path(store.root) / "partial").mkdir()
    (Path(store.root) / "partial" / sha256(packed)[7:]).write_bytes(packed[:1234])
    pull(store, f"{registry.host}/app", env, options=QUICK)
    assert [each.headers.get("Range") for each in registry.asked(blob_pattern(TOP))] == [
        "bytes=1234-"
    ]
    assert sound(store)


@pytest.mark.parametrize("left", [b"\0" * 1234, b"\0" * 1_000_000])
def test_damage_that_an_earlier_pull_left_is_fetched_again(registry, store, env, left):
    registry.put_image("app", "latest", [TOP])
    packed = gzip.compress(TOP, 1, mtime=0)
    (Path(store.root) / "partial").mkdir()
    (Path(store.root) / "partial" / sha256(packed)[7:]).write_bytes(left)
    pull(store, f"{registry.host}/app", env, options=QUICK)
    assert sound(store)


def test_layer_that_is_another_layer_than_the_config_says_is_refused(registry, store, env):
    other = gzip.compress(layer_tar({"evil": b""}), 1, mtime=0)

    def edit(document):
        document["layers"] = [registry.descriptor("app", other, document["layers"][0]["mediaType"])]

    registry.put_image("app", "latest", [BASE], edit=edit)
    with pytest.raises(IntegrityError, match="has the diffID"):
        pull(store, f"{registry.host}/app", env, options=QUICK)


def test_manifest_that_is_not_its_digest_is_refused(registry, store, env):
    digest = registry.put_image("app", "latest", [BASE])
    media_type, data = registry.manifests["app"][digest]
    registry.manifests["app"][digest] = (media_type, data + b" ")
    with pytest.raises(IntegrityError, match="does not match its digest"):
        pull(store, f"{registry.host}/app@{digest}", env, options=QUICK)


def test_config_of_another_size_is_refused(registry, store, env):
    def edit(document):
        document["config"]["size"] += 1

    registry.put_image("app", "latest", [BASE], edit=edit)
    with pytest.raises(IntegrityError, match="does not match its descriptor"):
        pull(store, f"{registry.host}/app", env, options=QUICK)


def test_manifest_without_end_is_refused(registry, store, env):
    registry.put_manifest("app", "latest", b"[" * (5 << 20))
    with pytest.raises(InvalidDocumentError, match="too large"):
        pull(store, f"{registry.host}/app", env, options=QUICK)


def test_document_nested_without_end_is_refused(registry, store, env):
    registry.put_manifest("app", "latest", b'{"a":' + b"[" * (1 << 20))
    with pytest.raises(InvalidDocumentError):
        pull(store, f"{registry.host}/app", env, options=QUICK)


def test_index_that_names_itself_ends(registry, store, env):
    name = f"{registry.host}/app"
    platform = {"os": "linux", "architecture": "amd64"}

    # A digest cannot be of a document that has it in it, so the registry has to lie.
    def lie(handler, request):
        entry = {
            "mediaType": INDEX,
            "digest": "sha256:" + "0" * 64,
            "size": 1,
            "platform": platform,
        }
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
        handler.answer(200, data, {"Content-Type": INDEX})
        return True

    registry.faults.append(Fault("GET .*/manifests/.*", lie))
    with pytest.raises(IntegrityError):
        pull(store, name, env, options=QUICK, platform=parse_platform("linux/amd64"))


# Broken servers.


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_server_that_is_busy_is_asked_again(registry, store, env, code):
    registry.put_image("app", "latest", [BASE])
    registry.faults += [
        Fault("GET .*/manifests/.*", status(code), times=2),
        Fault("GET .*/blobs/.*", status(code), times=3),
    ]
    pull(store, f"{registry.host}/app", env, options=QUICK)
    assert len(registry.asked("GET .*/manifests/.*")) == 3


def test_retry_after_is_obeyed(registry, store, env):
    registry.put_image("app", "latest", [BASE])
    registry.faults.append(Fault("GET .*/manifests/.*", status(429, {"Retry-After": "1"}), times=1))
    started = time.monotonic()
    pull(store, f"{registry.host}/app", env, options=QUICK)
    assert time.monotonic() - started >= 1


def test_server_that_stays_busy_is_given_up(registry, store, env):
    registry.put_image("app", "latest", [BASE])
    registry.faults.append(Fault("GET .*/manifests/.*", status(429)))
    with pytest.raises(RegistryError, match="toomanyrequests"):
        pull(store, f"{registry.host}/app", env, options=QUICK)
    assert len(registry.asked("GET .*/manifests/.*")) == QUICK.policy.attempts


def test_server_that_hangs_up_is_asked_again(registry, store, env):
    registry.put_image("app", "latest", [BASE])
    registry.faults += [
        Fault("GET .*/manifests/.*", hang_up, times=2),
        Fault("GET .*/blobs/.*", hang_up, times=2),
    ]
    pull(store, f"{registry.host}/app", env, options=QUICK)


def test_silent_server_is_left_after_a_while(registry, store, env):
    registry.put_image("app", "latest", [BASE])
    registry.faults.append(Fault("GET .*/manifests/.*", say_nothing))
    options = QUICK._replace(
        timing=QUICK.timing._replace(silence=0.3), policy=QUICK.policy._replace(attempts=2)
    )
    with pytest.raises(UnreachableError, match="timed out"):
        pull(store, f"{registry.host}/app", env, options=options)


def test_dripping_server_is_left_after_a_while(registry, store, env):
    registry.put_image("app", "latest", [TOP])
    packed = gzip.compress(TOP, 1, mtime=0)
    registry.faults.append(Fault(blob_pattern(TOP), drip(packed, 0.1)))
    options = QUICK._replace(
        timing=QUICK.timing._replace(silence=0.5), policy=QUICK.policy._replace(attempts=2)
    )
    with pytest.raises(UnreachableError, match="too slowly"):
        pull(store, f"{registry.host}/app", env, options=options)


def test_registry_that_does_not_answer_is_reported_at_once(store, env):
    options = QUICK._replace(policy=QUICK.policy._replace(first=1000, longest=1000))
    with pytest.raises(UnreachableError, match="connection refused"):
        pull(store, "127.0.0.1:1/app", env, options=options)


# Redirects.


def test_redirect_to_another_host_takes_no_credentials_along(registry, store, env):
    registry.account = ("me", "secret")
    registry.put_image("app", "latest", [BASE, TOP])
    with serving(FakeRegistry(blobs=registry.blobs)) as other:

        def elsewhere(request):
            return f"http://{other.host}{request.path}"

        registry.faults.append(Fault("GET .*/blobs/.*", redirected(elsewhere)))
        options = QUICK._replace(credentials=Credentials("me", "secret"))
        pull(store, f"{registry.host}/app", env, options=options)
        # The other registry, which asked for no account, counts every one as a violation.
        assert len(other.asked("GET .*/blobs/.*")) == 3
        assert other.violations == []
        assert not any("Authorization" in each.headers for each in other.requests)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (lambda request: request.path, "in a loop"),
        (lambda request: request.path + "x", "more than 10 times"),
        (lambda request: "ftp://127.0.0.1/x", "not HTTP"),
        (lambda request: "", "without a Location"),
    ],
)
def test_redirect_that_leads_nowhere_is_refused(registry, store, env, location, words):
    registry.put_image("app", "latest", [BASE])
    registry.faults.append(Fault("GET .*/manifests/.*", redirected(location)))
    with pytest.raises(RegistryError, match=words):
        pull(store, f"{registry.host}/app", env, options=QUICK)


# Accounts.


@pytest.mark.parametrize("tokens", [False, True])
def test_account_is_used_where_it_is_asked_for(registry, store, env, tokens):
    registry.account, registry.tokens = ("me", "secret"), tokens
    registry.put_image("app", "latest", [BASE, TOP])
    name = f"{registry.host}/app"
    with pytest.raises(DeniedError):
        pull(store, name, env, options=QUICK)
    with pytest.raises(DeniedError):
        pull(store, name, env, options=QUICK._replace(credentials=Credentials("me", "x")))
    pull(store, name, env, options=QUICK._replace(credentials=Credentials("me", "secret")))
    assert resolve(store, name)


def test_token_that_has_grown_old_is_replaced(registry, store, env):
    registry.account, registry.tokens = ("me", "secret"), True
    registry.put_image("app", "latest", [BASE, TOP])

    def forget(handler, request):
        registry.valid_tokens.clear()
        return False

    registry.faults.append(Fault(blob_pattern(TOP), forget, times=1))
    options = QUICK._replace(credentials=Credentials("me", "secret"))
    pull(store, f"{registry.host}/app", env, options=options)
    assert resolve(store, f"{registry.host}/app")


# Several at once.


def test_two_pulls_of_one_layer_fetch_it_once(registry, store, env):
    registry.put_image("one", "latest", [TOP], config={"User": "1"})
    registry.put_image("two", "latest", [TOP, BASE], config={"User": "2"})
    gate, entered = threading.Event(), threading.Event()

    def wait(handler, request):
        entered.set()
        assert gate.wait(120)
        return False

    registry.faults.append(Fault(blob_pattern(TOP), wait, times=1))
    failures = []

    def work(name, progress):
        try:
            pull(store, f"{registry.host}/{name}", env, options=QUICK, progress=progress)
        except BaseException as error:
            failures.append(error)

    seen = Seen()
    first = threading.Thread(target=work, args=("one", Seen()))
    first.start()
    assert entered.wait(120)
    second = threading.Thread(target=work, args=("two", seen))
    second.start()
    wait_until(lambda: Stage.WAITING in seen.stages)
    gate.set()
    first.join(120)
    second.join(120)
    assert failures == []
    assert len(registry.asked(blob_pattern(TOP))) == 1
    assert resolve(store, f"{registry.host}/one")
    assert resolve(store, f"{registry.host}/two")


# Mirrors and names.


def configured(env, text):
    with open(env.environ["CONTAINERS_REGISTRIES_CONF"], "w") as stream:
        stream.write(text)


def test_mirror_is_asked_first_and_the_registry_if_it_has_nothing(registry, store, env):
    registry.put_image("library/app", "latest", [BASE])
    with serving(FakeRegistry()) as mirror:
        configured(
            env,
            f"""
            [[registry]]
            prefix = "docker.io"
            location = "{registry.host}"
            [[registry.mirror]]
            location = "{mirror.host}/cache"
            """,
        )
        [pulled] = pull(store, "app", env, options=QUICK)
        assert len(mirror.asked("GET /v2/cache/library/app/manifests/latest")) == 1
    assert str(pulled.reference) == "docker.io/library/app:latest"
    assert resolve(store, "app")


def test_short_name_means_its_alias(registry, store, env):
    registry.put_image("team/app", "2", [BASE])
    configured(env, f'[aliases]\n"app" = "{registry.host}/team/app"\n')
    [pulled] = pull(store, "app:2", env, options=QUICK)
    assert str(pulled.reference) == f"{registry.host}/team/app:2"


def test_short_name_is_searched_for_in_order(registry, store, env):
    registry.put_image("app", "latest", [BASE])
    with serving(FakeRegistry()) as other:
        configured(env, f'unqualified-search-registries = ["{other.host}", "{registry.host}"]\n')
        [pulled] = pull(store, "app", env, options=QUICK)
    assert pulled.reference.domain == registry.host


def test_blocked_registry_is_not_asked(registry, store, env):
    configured(env, f'[[registry]]\nlocation = "{registry.host}"\nblocked = true\n')
    with pytest.raises(UsageError, match="blocked"):
        pull(store, f"{registry.host}/app", env, options=QUICK)
    assert registry.requests == []


def test_foreign_layer_is_fetched_from_its_own_place(registry, store, env):
    with serving(FakeRegistry()) as other:
        packed = gzip.compress(BASE, 1, mtime=0)
        digest = other.put_blob("x", packed)

        def edit(document):
            del registry.blobs["app"][digest]
            document["layers"][0]["urls"] = [f"http://{other.host}/v2/x/blobs/{digest}"]
            document["layers"][0]["mediaType"] = (
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            )

        registry.put_image("app", "latest", [BASE], edit=edit)
        pull(store, f"{registry.host}/app", env, options=QUICK)
    assert resolve(store, f"{registry.host}/app")


def test_proxy_is_gone_through(registry, store, env):
    registry.put_image("app", "latest", [BASE])
    configured(env, '[[registry]]\nlocation = "registry.test"\ninsecure = true\n')
    environ = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), f"http://{registry.host}")
    through = env._replace(environ={**env.environ, **environ})
    pull(store, "registry.test/app", through, options=QUICK)
    assert {each.headers["Host"] for each in registry.requests} == {"registry.test"}


def test_layer_is_made_of_a_blob_that_is_there(registry, store, env):
    registry.put_image("app", "latest", [TOP])
    name = f"{registry.host}/app"
    pull(store, name, env, options=QUICK)
    shutil.rmtree(store.layer_directory(resolve(store, name).diff_ids[0]))
    registry.requests.clear()
    pull(store, name, env, options=QUICK)
    assert registry.asked(blob_pattern(TOP)) == []
    assert Path(layer_files(store, resolve(store, name))[0].tar).read_bytes() == TOP


def test_digest_of_another_algorithm_is_verified(registry, store, env):
    digest = registry.put_image("app", "latest", [BASE])
    entry = registry.manifests["app"][digest]
    strong = f"sha512:{hashlib.sha512(entry[1]).hexdigest()}"
    wrong = f"sha512:{'0' * 128}"
    registry.manifests["app"].update({strong: entry, wrong: entry})
    pull(store, f"{registry.host}/app@{strong}", env, options=QUICK)
    assert resolve(store, f"{registry.host}/app@{strong}")
    with pytest.raises(IntegrityError):
        pull(store, f"{registry.host}/app@{wrong}", env, options=QUICK)


def test_image_is_known_by_the_digests_of_every_repository_that_it_came_from(registry, store, env):
    digest = registry.put_image("one", "1", [BASE])
    assert registry.put_image("two", "1", [BASE]) == digest
    for name in ("one:1", f"two:1@{digest}"):
        pull(store, f"{registry.host}/{name}", env, options=QUICK)
    image = resolve(store, f"{registry.host}/two@{digest}")
    assert [tag.path for tag in image.tags] == ["one"]
    assert sorted(image.repo_digests) == [
        f"{registry.host}/one@{digest}",
        f"{registry.host}/two@{digest}",
    ]
