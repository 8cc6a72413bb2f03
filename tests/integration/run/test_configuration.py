"""rootless.toml of a site and of a user: what it sets for containers, and what cannot be lifted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import Result
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

WITH_SITE_FILE = """
set -e
mkdir "$1/upper" "$1/work" "$1/upper/rootless"
cp "$1/site.toml" "$1/upper/rootless/rootless.toml"
mount -t overlay -o "userxattr,lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" none /etc
shift
exec "$@"
"""


@pytest.fixture
def box(rootless, busybox_image, tmp_path, monkeypatch):
    """The command line of a user whose configuration is below tmp_path/config, and who has an image."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    rootless("import", busybox_image, "box").ok()
    return rootless


@pytest.fixture
def configure(tmp_path):
    def configure(text: str) -> str:
        path = tmp_path / "config/rootless/rootless.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return configure


@pytest.fixture
def at_site(box, tmp_path):
    """The command line on a machine with this text as /etc/rootless/rootless.toml."""

    def call(text: str, *arguments: str, **variables: str) -> Result:
        place = tmp_path / f"site-{len(os.listdir(tmp_path))}"
        place.mkdir()
        (place / "site.toml").write_text(text)
        argv = [
            *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", WITH_SITE_FILE, "sh"),
            *(str(place), sys.executable, "-m", "rootless", *arguments),
        ]
        done = subprocess.run(
            argv, env=box.env | variables, capture_output=True, text=True, timeout=120, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


def test_binds_environment_and_network_are_defaults(box, configure, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").write_text("of the host\n")
    configure(
        f'binds = ["{data}", "{data}:/mnt:ro", "/nonexistent"]\n'
        'environment = ["SET=1", "PASSED", "UNSET"]\nnetwork = "none"\n'
    )
    os.environ["PASSED"] = "2"
    try:
        script = f'cat {data}/file; touch /mnt/f || echo "$SET $PASSED ${{UNSET-none}}"; ls /sys/class/net'
        shown = box("run", "--rm", "box", "sh", "-c", script)
    finally:
        del os.environ["PASSED"]
    # The fixture asks for the network of the host by a variable, which counts more than the file.
    assert shown.stdout.startswith("of the host\n1 2 none\n")
    assert shown.stdout.count("\n") > 3
    env = {key: value for key, value in box.env.items() if key != "ROOTLESS_NETWORK"}
    argv = [sys.executable, "-m", "rootless", "run", "--rm", "box", "ls", "/sys/class/net"]
    assert subprocess.run(argv, env=env, capture_output=True, check=True).stdout == b"lo\n"


def test_what_is_typed_counts_more(box, configure, tmp_path):
    configure(f'binds = ["{tmp_path}:/mnt"]\nenvironment = ["SET=1", "GONE=1"]\n')
    script = 'ls /mnt; echo "$SET ${GONE-none}"'
    options = ("-e", "SET=2", "--unsetenv", "GONE", "--tmpfs", "/mnt")
    assert box("run", "--rm", *options, "box", "sh", "-c", script).ok().stdout == "2 none\n"


def test_info_says_which_file_set_what(box, configure, tmp_path):
    store = f"{tmp_path}/store"
    box("--root", store, "images").ok()
    path = configure(f'network = "none"\nimage_stores = ["{store}", "/nonexistent"]\n')
    assert json.loads(box("info", "-f", "{{json .Configuration}}").ok().stdout) == [
        {"Key": "network", "Value": "none", "Files": [path], "Locked": False},
        {
            "Key": "image_stores",
            "Value": [store, "/nonexistent"],
            "Files": [path],
            "Locked": False,
        },
    ]
    shown = box("info").ok().stdout
    assert f"\n Configuration:\n  network: none ({path})\n" in shown
    assert shown.count(" Image Store: ") == 1
    assert f"\n Image Store: {store}\n" in shown


def test_wrong_file_is_one_line(box, configure):
    path = configure('\nnetwrok = "none"\n')
    for command in (("ps",), ("info",), ("run", "--rm", "box", "true")):
        failed = box(*command)
        assert failed.status == (125 if command[0] == "run" else 1)
        first, hint = failed.stderr.splitlines()
        assert first == f"rootless: {path}: line 2: netwrok: unknown key"
        assert hint.startswith("hint: the keys are binds, environment, network, uppers,")


def test_hpc_has_the_defaults_too(box, configure, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").write_text("of the host\n")
    configure(f'binds = ["{data}:/opt"]\nenvironment = ["SET=1"]\nnetwork = "none"\n')
    script = "cat /opt/file; echo $SET"
    assert box("hpc", "exec", "box", "sh", "-c", script).ok().stdout == "of the host\n1\n"
    assert box("hpc", "exec", "--contain", "box", "ls", "/opt/file").status != 0


@pytest.mark.needs("overlay")
class TestLocked:
    SITE = 'network = "host"\nbinds = ["/usr/bin:/sw"]\nenvironment = ["A=1"]\nuppers = "/tmp/u"\nchown = "refuse"\n'
    FILE = "/etc/rootless/rootless.toml"

    def test_value_of_the_site_is_used(self, at_site):
        shown = at_site(self.SITE, "info", "-f", "{{json .Configuration}}")
        values = {each["Key"]: each for each in json.loads(shown.ok().stdout)}
        assert values["network"]["Files"] == [self.FILE]
        options = ("--overlay", "/usr:ro", "--rm", "box", "sh", "-c", "echo $A; ls /sw/env")
        assert (
            at_site('binds = ["/usr/bin:/sw"]\nenvironment = ["A=1"]', "run", *options).ok().stdout
            == "1\n/sw/env\n"
        )

    def test_chown_is_what_the_file_says(self, at_site):
        command = ("run", "--rm", "box", "sh", "-c", "touch /f && chown 1:1 /f")
        assert at_site('chown = "refuse"', *command).status == 1
        at_site('chown = "record"', *command).ok()

    @pytest.mark.parametrize(
        ("key", "options", "where"),
        [
            ("network", ["--network", "none"], "--network none"),
            ("binds", ["-v", "/tmp:/sw"], "a mount on /sw"),
            ("binds", ["--tmpfs", "/sw"], "a mount on /sw"),
            ("environment", ["-e", "A=2"], "another value of the variable A"),
            ("environment", ["--unsetenv", "A"], "another value of the variable A"),
            ("chown", ["--chown=pretend"], "--chown=pretend"),
        ],
    )
    def test_option_cannot_lift_it(self, at_site, key, options, where):
        text = f'{self.SITE}lock = ["{key}"]\n'
        refused = at_site(text, "run", "--rm", *options, "box", "true")
        assert refused.status == 125
        first = refused.stderr.splitlines()[0]
        assert first == f"rootless: {where} is not allowed here: {self.FILE} has locked {key}"

    @pytest.mark.parametrize(
        ("key", "variable", "value"),
        [
            ("network", "ROOTLESS_NETWORK", "none"),
            ("uppers", "ROOTLESS_UPPERS", "/var/tmp/mine"),
            ("image_stores", "ROOTLESS_IMAGE_STORES", "/mine"),
        ],
    )
    def test_variable_cannot_lift_it(self, at_site, key, variable, value):
        text = f'{self.SITE}lock = ["{key}"]\n'
        refused = at_site(text, "run", "--rm", "box", "true", **{variable: value})
        assert refused.status == 125
        assert f"is not allowed here: {self.FILE} has locked {key}" in refused.stderr

    @pytest.mark.parametrize(
        ("key", "options", "variables", "where"),
        [
            ("join", ["--sharens"], {}, "--sharens"),
            ("join", [], {"APPTAINER_SHARENS": "1"}, "--sharens"),
            ("environment", ["--env", "A=2"], {}, "another value of the variable A"),
            ("environment", [], {"APPTAINERENV_A": "2"}, "another value of the variable A"),
            ("binds", [], {"APPTAINER_BIND": "/tmp:/sw"}, "a mount on /sw"),
        ],
    )
    def test_hpc_cannot_lift_it(self, at_site, key, options, variables, where):
        text = f'join = "never"\n{self.SITE}lock = ["{key}"]\n'
        refused = at_site(text, "hpc", "exec", *options, "box", "true", **variables)
        assert refused.status == 125
        first = refused.stderr.splitlines()[0]
        assert first == f"rootless: {where} is not allowed here: {self.FILE} has locked {key}"

    def test_variables_of_the_caller_of_hpc_give_way_to_it(self, at_site):
        text = 'environment = ["A=site"]\nlock = ["environment"]\n'
        shown = at_site(text, "hpc", "exec", "box", "sh", "-c", "echo $A", A="mine")
        assert shown.ok().stdout == "site\n"

    def test_default_of_hpc_gives_way_to_it(self, at_site):
        text = 'network = "none"\nlock = ["network"]\n'
        shown = at_site(text, "hpc", "exec", "box", "ls", "/sys/class/net", ROOTLESS_NETWORK="")
        assert shown.ok().stdout == "lo\n"
        refused = at_site(text, "hpc", "exec", "--net", "box", "true")
        assert (refused.status, "--network bridge is not allowed" in refused.stderr) == (125, True)

    def test_defaults_of_build_and_try_give_way_to_it(self, at_site, tmp_path):
        text = 'network = "none"\nlock = ["network"]\n'
        (tmp_path / "Dockerfile").write_text("FROM box\nRUN echo $(ls /sys/class/net) >&2\n")
        built = at_site(text, "build", "--no-cache", "--progress", "plain", str(tmp_path))
        assert " lo\n" in built.ok().stderr
        refused = at_site(text, "build", "--network", "host", str(tmp_path))
        assert (refused.status, refused.stderr.splitlines()[0]) == (
            1,
            f"rootless: --network host is not allowed here: {self.FILE} has locked network",
        )
        tried = at_site(text, "try", "--drop", "--", "cat", "/proc/net/dev")
        assert [line.split(":")[0].strip() for line in tried.ok().stdout.splitlines()[2:]] == ["lo"]
        assert at_site(text, "try", "--network", "host", "--", "true").status == 125

    def test_file_of_the_user_cannot_lift_it(self, at_site, configure):
        path = configure('network = "none"\n')
        refused = at_site(f'{self.SITE}lock = ["network"]\n', "ps")
        assert refused.stderr.splitlines()[0] == (
            f"rootless: {path}: line 1: network: {self.FILE} has locked network"
        )


class TestUppers:
    def test_writable_layer_is_there_and_goes_with_its_container(self, box, configure, tmp_path):
        scratch = tmp_path / "scratch"
        configure(f'uppers = "{tmp_path}/${{PLACE}}"\n')
        os.environ["PLACE"] = "scratch"
        try:
            box("run", "--name", "c1", "box", "sh", "-c", "echo kept > /new").ok()
            data = json.loads(box("inspect", "c1").ok().stdout)[0]["GraphDriver"]["Data"]
            own = scratch / f"rootless-{os.getuid()}"
            assert data["UpperDir"] == f"{own}/{data['ID']}/upper"
            assert (own / data["ID"] / "upper/new").read_text() == "kept\n"
            for path in (scratch, own, own / data["ID"]):
                assert path.stat().st_mode & 0o777 == 0o700
            assert box("diff", "c1").ok().stdout == "A /new\n"
            box("commit", "c1", "box:2").ok()
            box("start", "c1").ok()
            shown = box("info", "-f", "{{.DriverStatus}}").ok().stdout
            assert f"[Writable Layers {scratch} (uppers in {tmp_path}/config/" in shown
            box("rm", "-f", "c1").ok()
            box("run", "--rm", "box:2", "true").ok()
            assert os.listdir(own) == []
            assert box("run", "--rm", "box", "not-there").status == 127
            assert os.listdir(own) == []
        finally:
            del os.environ["PLACE"]

    def test_overlay_driver_has_its_layer_there(self, box, configure, tmp_path):
        configure(f'uppers = "{tmp_path}/scratch"\n')
        options = ("--name", "c1", "--storage-driver", "overlay", "box")
        done = box("run", *options, "sh", "-c", "echo kept > /new")
        if "overlay" in done.stderr:
            pytest.skip(done.stderr)
        data = json.loads(box("inspect", "c1").ok().stdout)[0]["GraphDriver"]["Data"]
        assert data["UpperDir"].startswith(f"{tmp_path}/scratch/rootless-")
        assert box("diff", "c1").ok().stdout == "A /new\n"
        box("rm", "c1").ok()

    def test_place_that_is_gone_leaves_a_container_that_can_be_removed(
        self, box, configure, tmp_path
    ):
        configure(f'uppers = "{tmp_path}/scratch"\n')
        box("run", "--name", "c1", "box", "true").ok()
        subprocess.run(["rm", "-r", f"{tmp_path}/scratch"], check=True)
        failed = box("start", "c1")
        assert failed.status == 1
        assert f"the writable layer of container c1 is gone: {tmp_path}/scratch/" in failed.stderr
        assert "c1" in box("ps", "-a").ok().stdout
        box("rm", "c1").ok()
        assert box("ps", "-aq").ok().stdout == ""

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("$NOT_SET/x", "$NOT_SET/x (uppers in {0}): NOT_SET is not set"),
            ("/proc/x", "/proc/x (uppers in {0}): no such file or directory"),
            ("/usr", "/usr (uppers in {0}): permission denied"),
        ],
    )
    def test_place_that_cannot_be_used_is_one_line(self, box, configure, text, reason):
        path = configure(f'uppers = "{text}"\n')
        failed = box("run", "--rm", "box", "true")
        assert failed.status == 125
        wanted = f"rootless: writable layers cannot be kept in {reason.format(path)}"
        assert failed.stderr.splitlines()[0] == wanted
        box("ps", "-a").ok()
        box("run", "--rm", "--writable-tmpfs", "box", "true").ok()

    def test_place_that_others_can_change_is_refused(self, box, configure, tmp_path):
        path = configure(f'uppers = "{tmp_path}/open"\n')
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        failed = box("run", "--rm", "box", "true").stderr.splitlines()[0]
        assert failed.endswith(
            f"(uppers in {path}): other users can rename what is in it (mode 0777)"
        )
        (tmp_path / "open").chmod(0o1777)
        box("run", "--rm", "box", "true").ok()
        own = tmp_path / f"open/rootless-{os.getuid()}"
        own.chmod(0o755)
        failed = box("run", "--rm", "box", "true").stderr.splitlines()[0]
        assert failed.endswith(f"{own.name} in it is open to other users (mode 0755)")

    def test_layer_without_a_container_is_found_after_an_hour(self, box, configure, tmp_path):
        configure(f'uppers = "{tmp_path}/scratch"\n')
        for name in ("kept", "lost"):
            box("create", "--name", name, "box", "true").ok()
        of_lost = json.loads(box("inspect", "lost").ok().stdout)[0]["GraphDriver"]["Data"]
        place = Path(of_lost["UpperDir"]).parent
        shutil.rmtree(box.data / "rootless/containers" / of_lost["ID"])
        assert str(place) not in box("system", "check").stdout, "it may be being made"
        os.utime(place, (0, 0))
        assert str(place) in box("system", "check").stdout
        box("system", "check", "--repair")
        assert not place.exists()
        box("start", "kept").ok()

    def test_variable_names_the_place_too(self, box, tmp_path, monkeypatch):
        monkeypatch.setenv("ROOTLESS_UPPERS", f"{tmp_path}/scratch")
        box("create", "--name", "c1", "box", "true").ok()
        assert len(list((tmp_path / "scratch").glob("rootless-*/*/upper"))) == 1

    def test_steps_of_a_build_write_there(self, box, configure, tmp_path):
        scratch = tmp_path / "scratch"
        configure(f'uppers = "{scratch}"\n')
        own = scratch / f"rootless-{os.getuid()}"
        (tmp_path / "Dockerfile").write_text("FROM box\nRUN touch /made; sleep 1\n")
        build = box.popen("build", "-t", "built", tmp_path)
        wait_until(lambda: list(own.glob("build-*/upper/made")))
        assert build.wait(120) == 0
        assert os.listdir(own) == []
        box("run", "--rm", "built", "ls", "/made").ok()
        (own / "build-1-1-1/upper").mkdir(parents=True)
        box("build", "--no-cache", "-t", "built", tmp_path, timeout=120).ok()
        assert os.listdir(own) == []
