"""Against the reference registry and beside skopeo, with the commands as a user types them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.images.load import load
from rootless.images.transfer.pull import pull
from rootless.images.transfer.push import push
from rootless.registry import upload
from rootless.store.image import manifest_of, resolve
from rootless.store.layout import Store
from tests.integration.registry.conftest import QUICK
from tests.support.command import Result, run_command
from tests.support.docker_registry import authority, certificate, docker_registry, token_server
from tests.support.images import docker_archive, layer_tar, oci_layout, sha256
from tests.support.registry import FakeRegistry, Fault, say_nothing, serving
from tests.support.rootless import Rootless
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("docker-registry")
ACCOUNT = ("tester", "pass:word")
# htpasswd of the account, by bcrypt, the one scheme that the registry takes.
HTPASSWD = "tester:$2b$05$abcdefghijklmnopqrstuuDIEddBSuRWBBEY6g5zv60IAP5bSSfki\n"
BASE = layer_tar({"etc/name": b"base\n"})
TOP = layer_tar({"etc/top": b"top\n" * 10_000})


@pytest.fixture
def at_home(rootless: Rootless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rootless:
    """The command, with a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return rootless


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[str]:
    with docker_registry(tmp_path / "registry") as host:
        yield host


def skopeo(*arguments: str | Path) -> Result:
    return run_command(["skopeo", *arguments], timeout=120).ok()


def made(command: Rootless, tmp_path: Path, name: str) -> None:
    archive = tmp_path / "made.tar"
    docker_archive(archive, [BASE, TOP], tags=[name])
    command("load", "-i", archive).ok()


@pytest.mark.needs("skopeo")
def test_what_we_push_skopeo_reads_with_equal_digests(at_home, plain, tmp_path):
    name = f"{plain}/team/app:1"
    made(at_home, tmp_path, name)
    out = at_home("push", name).ok().stdout
    assert out.startswith(f"The push refers to repository [{plain}/team/app]\n")
    digest = out.splitlines()[-1].split()[2]
    document = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}").stdout)
    assert document["Digest"] == digest
    skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/copied")
    listed = at_home("images", "--digests", "--no-trunc").ok().stdout
    assert digest in listed


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize(
    ("form", "compression"), [("oci", "gzip"), ("oci", "zstd"), ("v2s2", "gzip")]
)
def test_what_skopeo_pushes_we_pull(at_home, plain, tmp_path, form, compression):
    oci_layout(tmp_path / "layout", [BASE, TOP])
    name = f"{plain}/team/app:1"
    skopeo(
        *("copy", "-q", "--dest-tls-verify=false", "--format", form, "--dest-compress"),
        *("--dest-compress-format", compression),
        *(f"oci:{tmp_path}/layout:latest", f"docker://{name}"),
    )
    out = at_home("pull", name).ok().stdout
    theirs = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}").stdout)
    assert f"Digest: {theirs['Digest']}\nStatus: Downloaded newer image for {name}\n" in out
    assert out.endswith(f"\n{name}\n")
    assert f"Status: Image is up to date for {name}" in at_home("pull", name).ok().stdout
    assert at_home("pull", "-q", name).ok().stdout == f"{name}\n"


def test_missing_image_is_said_as_docker_does(at_home, plain):
    result = at_home("pull", f"{plain}/none:1")
    assert result.status == 1
    assert result.stderr == (
        f"rootless: manifest for {plain}/none:1 not found: manifest unknown: manifest unknown\n"
    )


def test_words_of_a_registry_do_not_reach_the_terminal_raw(at_home):
    with serving(FakeRegistry()) as registry:

        def edit(document):
            document["config"]["mediaType"] = "evil\x1b]0;title\x07"

        registry.put_image("app", "1", [BASE], edit=edit)
        result = at_home("pull", f"{registry.host}/app:1")
    assert result.status == 1
    assert result.stderr.endswith("its config is evil\\x1b]0;title\\x07\n")


WITH_THREADS = """
import sys, threading
from rootless import Engine, ContainerOptions
threading.Thread(target=threading.Event().wait, daemon=True).start()
request = ContainerOptions(image=sys.argv[1], command=("echo", "hello"), remove=True)
sys.exit(Engine().run(request).status)
"""


@pytest.mark.needs("userns", "fuse", "subuid", "busybox")
def test_program_with_threads_pulls_and_runs(at_home, plain, busybox_image):
    name = f"{plain}/box:1"
    at_home("import", busybox_image, name).ok()
    at_home("push", "-q", name).ok()
    at_home("rmi", name).ok()
    argv = [sys.executable, "-c", WITH_THREADS, name]
    result = run_command(argv, env=at_home.env).ok()
    assert result.stdout == "hello\n"


@pytest.mark.needs("userns", "fuse", "subuid", "busybox")
def test_run_fetches_what_is_missing(at_home, plain, busybox_image):
    name = f"{plain}/box:1"
    at_home("import", busybox_image, name).ok()
    at_home("push", "-q", name).ok()
    at_home("rmi", name).ok()
    assert at_home("run", "--rm", "--pull=never", name, "true").status == 125
    result = at_home("run", "--rm", name, "echo", "hello").ok()
    assert result.stdout == "hello\n"
    assert f"Unable to find image '{name}' locally\n" in result.stderr
    assert f"Status: Downloaded newer image for {name}\n" in result.stderr
    assert at_home("run", "--rm", name, "echo", "again").ok().stderr == ""
    for policy in ("always", "newer"):
        result = at_home("run", "--rm", f"--pull={policy}", name, "echo", "again").ok()
        assert f"Image is up to date for {name}" in result.stderr
    at_home("rmi", name).ok()
    assert at_home("run", "-q", "--rm", name, "echo", "quiet").ok().stderr == ""
    result = at_home("run", "--rm", f"{plain}/box:2", "true")
    assert result.status == 125
    assert "manifest unknown" in result.stderr


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """htpasswd behind TLS by an authority of our own."""
    signer = authority(tmp_path / "ca")
    own, key = certificate(tmp_path / "ca", "server", signer)
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    with docker_registry(
        tmp_path / "registry",
        http={"tls": {"certificate": str(own), "key": str(key)}},
        auth={"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}},
    ) as host:
        yield host


def trust(home: Path, host: str, tmp_path: Path) -> None:
    directory = home / ".config/containers/certs.d" / host
    directory.mkdir(parents=True)
    shutil.copy(tmp_path / "ca/ca.crt", directory / "ca.crt")


@pytest.mark.needs("openssl")
def test_account_is_proved_kept_used_and_forgotten(at_home, guarded, tmp_path):
    home, name = tmp_path / "home", f"{guarded}/app:1"
    made(at_home, tmp_path, name)
    trust(home, guarded, tmp_path)
    result = at_home("push", name)
    assert result.status == 1
    assert "unauthorized: authentication required" in result.stderr
    login = ("login", "-u", ACCOUNT[0], "--password-stdin", guarded)
    wrong = at_home(*login, stdin=b"wrong\n")
    assert wrong.status == 1
    assert not (home / ".docker/config.json").exists()
    assert at_home(*login, stdin=b"pass:word\n").ok().stdout == "Login Succeeded\n"
    config = home / ".docker/config.json"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    entry = json.loads(config.read_text())["auths"][guarded]
    assert base64.b64decode(entry["auth"]).decode() == ":".join(ACCOUNT)
    at_home("push", name).ok()
    at_home("pull", name).ok()
    assert at_home("search-tags", f"{guarded}/app").ok().stdout == "1\n"
    at_home("logout", guarded).ok()
    assert at_home("pull", name).status == 1
    at_home("pull", "--creds", ":".join(ACCOUNT), name).ok()


@pytest.mark.needs("openssl")
def test_certificate_of_a_stranger_is_refused(at_home, guarded):
    command = ("pull", "--creds", ":".join(ACCOUNT), "--tls-verify=true", f"{guarded}/app:1")
    result = at_home(*command)
    assert result.status == 1
    assert "tls: failed to verify certificate" in result.stderr
    result = at_home(*command[:3], "--tls-verify=false", f"{guarded}/app:1")
    assert "manifest unknown" in result.stderr


def test_plain_http_is_refused_where_tls_is_demanded(at_home, plain):
    result = at_home("pull", "--tls-verify", f"{plain}/app:1")
    assert "server gave HTTP response to HTTPS client" in result.stderr
    assert "--tls-verify=false" in result.stderr


@pytest.mark.needs("openssl")
def test_certificate_of_ours_is_shown_to_a_registry_that_asks(at_home, tmp_path):
    signer = authority(tmp_path / "ca")
    own, key = certificate(tmp_path / "ca", "server", signer)
    mine, mine_key = certificate(tmp_path / "ca", "client", signer)
    tls = {"certificate": str(own), "key": str(key), "clientcas": [str(signer[0])]}
    with docker_registry(tmp_path / "registry", http={"tls": tls}) as host:
        trust(tmp_path / "home", host, tmp_path)
        assert "manifest unknown" not in at_home("pull", f"{host}/app:1").stderr
        directory = tmp_path / "home/.config/containers/certs.d" / host
        shutil.copy(mine, directory / "client.cert")
        shutil.copy(mine_key, directory / "client.key")
        assert "manifest unknown" in at_home("pull", f"{host}/app:1").stderr


@pytest.mark.needs("openssl")
def test_tokens_open_what_the_account_may(at_home, tmp_path):
    with (
        token_server(tmp_path / "tokens", ACCOUNT) as auth,
        docker_registry(tmp_path / "registry", auth=auth) as host,
    ):
        public, private = f"{host}/public/app:1", f"{host}/private/app:1"
        made(at_home, tmp_path, public)
        at_home("tag", public, private).ok()
        result = at_home("push", public)
        assert (result.status, "unauthorized: " in result.stderr) == (1, True)
        creds = ("--creds", ":".join(ACCOUNT))
        at_home("push", *creds, public).ok()
        # The layers are mounted from the other repository, for which the token has to be good too.
        assert "Mounted from public/app" in at_home("push", *creds, private).ok().stdout
        at_home("pull", public).ok()
        result = at_home("pull", private)
        assert result.status == 1
        assert f"pull access denied for {host}/private/app, repository does not" in result.stderr
        assert at_home("pull", "--creds", "tester:wrong", public).status == 1
        login = at_home("login", "-u", "tester", "--password-stdin", host, stdin=b"pass:word")
        assert login.ok().stdout == "Login Succeeded\n"
        at_home("pull", private).ok()


def test_account_is_kept_by_the_helper_that_the_file_names(at_home, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "bin").mkdir()
    (home / ".docker").mkdir()
    helper = home / "bin/docker-credential-test"
    helper.write_text(
        '#!/bin/sh\ncase "$1" in\nstore) cat >"$HOME/kept" ;;\nerase) rm "$HOME/kept" ;;\n'
        'get) cat >/dev/null; [ -f "$HOME/kept" ] && exec cat "$HOME/kept"\n'
        "echo credentials not found in native keychain; exit 1 ;;\nesac\n"
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")
    (home / ".docker/config.json").write_text('{"credsStore": "test", "other": [1]}')
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    with docker_registry(tmp_path / "registry", auth=auth) as host:
        login = ("login", "-u", ACCOUNT[0], "--password-stdin", host)
        at_home(*login, stdin=b"pass:word").ok()
        config = json.loads((home / ".docker/config.json").read_text())
        assert config == {"credsStore": "test", "other": [1], "auths": {host: {}}}
        assert json.loads((home / "kept").read_text())["Secret"] == "pass:word"
        assert "manifest unknown" in at_home("pull", f"{host}/app").stderr
        assert at_home("logout", host).ok().stdout == f"Removing login credentials for {host}\n"
        assert not (home / "kept").exists()


@pytest.mark.needs("skopeo")
def test_copy_and_skopeo_understand_each_other(at_home, plain, tmp_path):
    name = f"{plain}/app:1"
    made(at_home, tmp_path, name)
    at_home("push", name).ok()
    for kind in ("oci", "oci-archive", "docker-archive", "dir"):
        ours = f"{kind}:{tmp_path}/ours-{kind}" + ("" if kind == "dir" else ":some/name:x")
        theirs = f"{kind}:{tmp_path}/theirs-{kind}" + ("" if kind == "dir" else ":some/name:x")
        digest = at_home("copy", "-q", f"docker://{name}", ours).ok().stdout.strip()
        if kind != "docker-archive":
            assert json.loads(skopeo("inspect", ours).stdout)["Digest"] == digest
        skopeo("copy", "-q", ours, theirs)
        at_home("copy", "-q", theirs, f"local:from-{kind}").ok()
        command = ("inspect", "--format", "json")
        images = [
            json.loads(at_home(*command, each).ok().stdout) for each in (f"from-{kind}", name)
        ]
        assert images[0][0]["RootFS"] == images[1][0]["RootFS"]


def test_pull_that_is_killed_goes_on(at_home, plain, tmp_path):
    name = f"{plain}/big:1"
    docker_archive(
        tmp_path / "big.tar", [layer_tar({"data": os.urandom(30_000_000)}), BASE], tags=[name]
    )
    at_home("load", "-i", tmp_path / "big.tar").ok()
    at_home("push", name).ok()
    at_home("rmi", name).ok()
    for _ in range(3):
        process = at_home.popen("pull", name)
        assert process.stdout is not None
        while b"Pulling fs layer" not in process.stdout.readline():
            assert process.poll() is None
        process.kill()
        process.communicate(timeout=120)
    at_home("pull", name).ok()
    store = at_home.data / "rootless"
    assert [each for each in (store / "tmp").iterdir() if each.is_dir()] == []
    assert list((store / "partial").iterdir()) == []
    for blob in (store / "blobs/sha256").iterdir():
        assert sha256(blob.read_bytes()) == f"sha256:{blob.name}"


def test_chunks_and_ranges_are_what_the_registry_understands(
    store, env, plain, tmp_path, monkeypatch
):
    async def broken_off(client, blob, sent):
        return False

    monkeypatch.setattr(upload, "_put_whole", broken_off)
    monkeypatch.setattr(upload, "CHUNK", 100_000)
    data = layer_tar({"data": os.urandom(450_000)})
    name = f"{plain}/app:1"
    docker_archive(tmp_path / "made.tar", [data], tags=[name])
    load(store, tmp_path / "made.tar")
    push(store, name, env, options=QUICK)
    other = Store.open(tmp_path / "other")
    [pulled] = pull(other, name, env, options=QUICK)
    [layer] = manifest_of(other, resolve(other, pulled.id)).layers
    packed = Path(other.blob_path(layer.digest)).read_bytes()
    third = Store.open(tmp_path / "third")
    (Path(third.root) / "partial").mkdir()
    (Path(third.root) / "partial" / layer.digest[7:]).write_bytes(packed[:123_456])
    pull(third, name, env, options=QUICK)
    assert Path(third.blob_path(layer.digest)).read_bytes() == packed


@pytest.mark.needs("userns", "fuse", "subuid")
@pytest.mark.parametrize(("number", "ended"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_run_that_is_interrupted_while_it_fetches_ends(at_home, number, ended):
    with serving(FakeRegistry()) as registry:
        registry.put_image("app", "1", [BASE])
        registry.faults.append(Fault("GET .*/blobs/.*", say_nothing))
        process = at_home.popen("run", "--rm", f"{registry.host}/app:1", "true")
        wait_until(lambda: registry.asked("GET .*/blobs/.*") != [])
        process.send_signal(number)
        process.communicate(timeout=120)
    assert process.returncode == ended
