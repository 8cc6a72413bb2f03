"""Devices by CDI specifications that the tests write: nodes, files, variables and hooks in a container."""

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


@pytest.fixture
def specs(tmp_path) -> Path:
    (tmp_path / "cdi").mkdir()
    return tmp_path / "cdi"


def write(path: Path, edits, *, version="1.0.0", common=None, kind="acme.example/card"):
    document = {
        "cdiVersion": version,
        "kind": kind,
        "devices": [{"name": "0", "containerEdits": edits}],
        **({"containerEdits": common} if common else {}),
    }
    path.write_text(json.dumps(document))


def run(box, specs, script, *options, device="acme.example/card=0"):
    flags = ("--cdi-spec-dir", specs, "--device", device)
    return box("run", "--rm", *flags, *options, "box:1", "sh", "-c", script)


def hook_script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_device_brings_its_node_its_files_and_its_variables(box, specs, tmp_path):
    (tmp_path / "libacme.so.1").write_text("a library")
    write(
        specs / "acme.json",
        {"deviceNodes": [{"path": "/dev/acme0", "hostPath": "/dev/null"}], "env": ["ACME=0"]},
        common={
            "env": ["PATH_OF=engine"],
            "mounts": [
                {
                    "hostPath": str(tmp_path / "libacme.so.1"),
                    "containerPath": "/usr/lib/libacme.so.1",
                    "options": ["ro", "nosuid", "nodev", "bind"],
                }
            ],
        },
    )
    script = "stat -c '%t:%T %F' /dev/acme0; cat /usr/lib/libacme.so.1; echo; echo $ACME $PATH_OF; touch /usr/lib/libacme.so.1"
    shown = run(box, specs, script, "-e", "ACME=mine")
    assert shown.stdout.splitlines() == ["1:3 character special file", "a library", "0 engine"]
    assert "Read-only file system" in shown.stderr


def test_yaml_as_tools_of_vendors_write_it(box, specs):
    (specs / "acme.yaml").write_text(
        "---\ncdiVersion: 0.5.0\nkind: acme.example/card\n"
        "containerEdits:\n  env:\n  - ACME_VISIBLE=void\n"
        'devices:\n- name: "0"\n  containerEdits:\n    deviceNodes:\n    - path: /dev/full\n'
        "- name: all\n  containerEdits:\n    deviceNodes:\n    - path: /dev/full\n      permissions: rw\n"
    )
    shown = run(
        box, specs, "test -c /dev/full && echo $ACME_VISIBLE", device="acme.example/card=all"
    )
    assert shown.ok().stdout == "void\n"


def test_a_create_container_hook_sees_the_root_and_the_host(box, specs, tmp_path):
    """As tools that make links and a cache of libraries do: by the bundle of the state, before the root is entered."""
    hook = hook_script(
        tmp_path / "hook",
        f'cat > {tmp_path}/state; cp {tmp_path}/state "$1"\n'
        f'bundle=$(sed \'s/.*"bundle": *"\\([^"]*\\)".*/\\1/\' {tmp_path}/state)\n'
        'echo "$ADDED" > "$bundle/rootfs/etc/added"',
    )
    write(
        specs / "acme.json",
        {
            "hooks": [
                {
                    "hookName": "createContainer",
                    "path": hook,
                    "args": ["hook", f"{tmp_path}/copy"],
                    "env": ["ADDED=by the hook", f"PATH={os.environ['PATH']}"],
                }
            ]
        },
    )
    assert run(box, specs, "cat /etc/added").ok().stdout == "by the hook\n"
    state = json.loads((tmp_path / "copy").read_text())
    assert state["status"] == "creating"
    assert state["id"] == Path(state["bundle"]).name
    assert state["pid"] > 1


def test_hooks_of_the_host_are_executed_in_their_order(box, specs, tmp_path):
    hook = hook_script(tmp_path / "hook", f'echo "$1 $(id -u)" >> {tmp_path}/order')
    points = ["poststop", "poststart", "createRuntime", "prestart"]
    environment = [f"PATH={os.environ['PATH']}"]
    hooks = [
        {"hookName": each, "path": hook, "args": ["hook", each], "env": environment}
        for each in points
    ]
    write(specs / "acme.json", {"hooks": hooks})
    run(box, specs, "true").ok()
    uid = os.getuid()
    expected = ["prestart", "createRuntime", "poststart", "poststop"]
    assert (tmp_path / "order").read_text().splitlines() == [f"{each} {uid}" for each in expected]


@pytest.mark.parametrize("point", ["createRuntime", "createContainer"])
def test_a_hook_that_fails_fails_the_start(box, specs, tmp_path, point):
    hook = hook_script(tmp_path / "hook", "echo no driver >&2; exit 3")
    write(specs / "acme.json", {"hooks": [{"hookName": point, "path": hook}]})
    failed = run(box, specs, "true")
    assert failed.status == 125
    assert failed.stderr == (f"rootless: the {point} hook {hook} ended with status 3: no driver\n")
    assert box("ps", "-aq").stdout == ""


def test_a_hook_that_takes_too_long_is_killed(box, specs, tmp_path):
    hook = hook_script(tmp_path / "hook", "exec sleep 1000")
    write(
        specs / "acme.json",
        {
            "hooks": [
                {
                    "hookName": "createContainer",
                    "path": hook,
                    "timeout": 1,
                    "env": [f"PATH={os.environ['PATH']}"],
                }
            ]
        },
    )
    failed = run(box, specs, "true")
    assert failed.status == 125
    assert "did not end within 1 seconds" in failed.stderr


def test_a_start_container_hook_is_the_containers_own(box, specs):
    hook = {"hookName": "startContainer", "path": "/bin/touch", "args": ["touch", "/etc/started"]}
    write(specs / "acme.json", {"hooks": [hook]})
    run(box, specs, "test -e /etc/started").ok()


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("acme.example/card=9", "unresolvable CDI devices acme.example/card=9"),
        ("acme.example/disk=0", "unresolvable CDI devices acme.example/disk=0"),
    ],
)
def test_an_unknown_device_is_one_line_with_what_is_known(box, specs, device, words):
    write(specs / "acme.json", {"env": ["A=1"]})
    failed = run(box, specs, "true", device=device)
    assert failed.status == 125
    assert failed.stderr.splitlines() == [
        f"rootless: CDI device injection failed: {words}",
        "hint: known devices: acme.example/card=0",
    ]


def test_a_damaged_specification_is_named(box, specs):
    (specs / "acme.json").write_text("{")
    failed = run(box, specs, "true")
    assert failed.status == 125
    assert f"the CDI specification {specs}/acme.json cannot be used: invalid JSON" in failed.stderr


def test_gpus_are_the_cdi_devices_of_nvidia(box, specs):
    write(specs / "nvidia.json", {"env": ["GPU=first"]}, kind="nvidia.com/gpu")
    flags = ("--cdi-spec-dir", specs, "--gpus", "1")
    shown = box("run", "--rm", *flags, "box:1", "sh", "-c", "echo $GPU").ok().stdout
    assert shown == "first\n"
    failed = box("run", "--rm", "--cdi-spec-dir", specs, "--gpus", "all", "box:1", "true")
    assert failed.status == 125
    assert "unresolvable CDI devices nvidia.com/gpu=all" in failed.stderr


def test_inspect_shows_the_devices_as_docker(box, specs):
    write(specs / "acme.json", {"env": ["A=1"]})
    flags = ("--cdi-spec-dir", specs, "--device", "acme.example/card=0")
    box("create", "--name", "gpu", *flags, "box:1", "true").ok()
    (found,) = json.loads(box("inspect", "gpu").ok().stdout)
    (request,) = found["HostConfig"]["DeviceRequests"]
    assert (request["Driver"], request["DeviceIDs"]) == ("cdi", ["acme.example/card=0"])
    assert box("start", "-a", "gpu").status == 0
