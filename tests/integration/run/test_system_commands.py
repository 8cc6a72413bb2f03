"""info, version and doctor."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.needs("userns", "fuse")


def test_version_is_printed_in_both_forms(rootless):
    assert rootless("--version").ok().stdout == "Rootless version 0.1.0\n"
    assert " Version:           0.1.0\n" in rootless("version").ok().stdout
    document = json.loads(rootless("version", "--format", "json").ok().stdout)
    assert document["Client"]["Version"] == "0.1.0"


def test_info_counts_containers_and_names_the_store(rootless):
    rootless("run", "--rootfs", "/", "true").ok()
    document = json.loads(rootless("system", "info", "--format", "json").ok().stdout)
    assert (document["Containers"], document["ContainersRunning"]) == (1, 0)
    assert document["RootlessRootDir"] == str(rootless.data / "rootless")
    assert f"Storage Driver: {document['Driver']}" in rootless("info").ok().stdout


def test_root_option_moves_the_store(rootless, tmp_path):
    root = tmp_path / "elsewhere"
    rootless("--root", root, "run", "--rootfs", "/", "true").ok()
    assert (root / "containers").is_dir()
    assert rootless("ps", "-aq").ok().stdout == ""
    assert rootless("--root", root, "ps", "-aq").ok().stdout != ""


def test_doctor_finds_that_containers_can_run(rootless):
    result = rootless("doctor", "--format", "json").ok()
    document = json.loads(result.stdout)
    verdicts = {each["subject"]: each["verdict"] for each in document["Findings"]}
    assert document["CanRun"] is True
    assert verdicts["user namespaces"] == verdicts["FUSE"] == "ok"
    for finding in document["Findings"]:
        assert finding["found"]
        assert finding["verdict"] == "ok" or finding["remedy"]
    assert "Containers can run here." in rootless("doctor").ok().stdout


def test_doctor_says_what_a_store_that_cannot_be_written_needs(rootless):
    result = rootless("--root", "/proc/nowhere", "doctor")
    assert result.status == 1
    assert "MISSING   store" in result.stdout
    assert "--root DIR" in result.stdout


@pytest.mark.parametrize("kind", ["user", "mnt", "pid", "ipc", "uts", "cgroup", "net"])
def test_namespaces_that_are_switched_off_are_named_with_the_remedy(rootless, kind):
    # In a new user namespace the limit can be set to what an administrator may have set.
    script = f'echo 0 > /proc/sys/user/max_{kind}_namespaces; exec "$@"'
    words = ["unshare", "-Ur", "sh", "-c", script, "sh", sys.executable, "-m", "rootless"]
    private = ["--network", "none"] if kind == "net" else []
    commands = (
        (["doctor"], 0 if kind == "net" else 1),
        (["run", "--rm", *private, "--rootfs", "/", "true"], 125),
    )
    for command, status in commands:
        result = subprocess.run(
            [*words, *command],
            env=rootless.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == status, result.stderr
        assert (
            f"as root, sysctl -w user.max_{kind}_namespaces=15000" in result.stdout + result.stderr
        )
        assert "Traceback" not in result.stderr


def test_store_that_cannot_be_written_is_one_clear_line(rootless, tmp_path):
    (tmp_path / "containers").mkdir(parents=True)
    (tmp_path / "containers").chmod(0o500)
    result = rootless("--root", tmp_path, "run", "--rm", "--rootfs", "/", "true")
    assert result.status == 125
    error, hint = result.stderr.splitlines()
    assert error.endswith("/containers/names cannot be made: permission denied")
    assert hint == "hint: set ROOTLESS_ROOT to a directory that you can write to"
