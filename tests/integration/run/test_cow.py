"""`rootless cow`: what copying up has cost, while a container runs and after."""

import json
import os

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")


def figures(box, name):
    return json.loads(box("cow", "--format", "json", name).ok().stdout)


def test_copies_are_listed_while_it_runs_and_after(box, tmp_path):
    os.mkfifo(tmp_path / "go")
    script = "ln /etc/passwd /link; echo ready; read x < /v/go; echo x >> /etc/group"
    command = ("run", "--name", "counted", "-v", f"{tmp_path}:/v", "box:1", "sh", "-c", script)
    with box.popen(*command) as running:
        try:
            assert running.stdout.readline() == b"ready\n"
            during = figures(box, "counted")
            (tmp_path / "go").write_text("go\n")
            assert running.wait(120) == 0
        finally:
            running.kill()
    assert not during["Finished"]
    (passwd,) = during["Records"]
    assert passwd["Path"] == "/etc/passwd"
    assert passwd["Size"] > 0
    assert passwd["Changed"] == 0
    assert passwd["Process"] == "ln"
    assert passwd["Pid"] > 1
    after = figures(box, "counted")
    assert after["Finished"]
    assert [each["Path"] for each in after["Records"]] == ["/etc/passwd", "/etc/group"]
    assert after["Records"][1]["Changed"] > 0
    assert [(each["Process"], each["Pid"] == 1) for each in after["Records"]] == [
        ("ln", False),
        ("sh", True),
    ]
    assert after["Files"] == 2


def test_table_tells_files_and_sums(box):
    box("run", "--name", "counted", "box:1", "sh", "-c", "echo x >> /etc/group").ok()
    header, row, total = box("cow", "--top", "counted").ok().stdout.splitlines()
    assert header.split() == ["FILE", "PROCESS", "SIZE", "COPIED", "CHANGED", "WASTED"]
    assert row.split()[0] == "/etc/group"
    assert row.split()[1] == "sh"
    assert total.startswith("1 file: ")


def test_nothing_copied_is_an_empty_table(box):
    command = "touch /new; chmod 600 /etc/passwd; chown 0:7 /etc/group"
    box("run", "--name", "counted", "box:1", "sh", "-c", command).ok()
    assert figures(box, "counted")["Records"] == []


def test_container_on_kernel_overlayfs_is_refused(box):
    if (
        box("run", "--name", "counted", "--storage-driver", "overlay", "box:1", "true").status
        == 125
    ):
        pytest.skip("no kernel overlayfs")
    refused = box("cow", "counted")
    assert refused.status == 1
    assert "kernel overlayfs" in refused.stderr


def test_format_prints_rows_sums_and_refuses_unknown_fields(box):
    box("run", "--name", "counted", "box:1", "sh", "-c", "echo x >> /etc/group").ok()
    rows = box("cow", "--format", "table {{.Path}}\t{{.Process}}", "counted").ok().stdout
    assert rows.split() == ["FILE", "PROCESS", "/etc/group", "sh"]
    plain = box("cow", "--format", "table", "counted").ok().stdout.splitlines()
    assert plain[0].split() == [
        "FILE",
        "PID",
        "PROCESS",
        "SIZE",
        "COPIED",
        "CHANGED",
        "WASTED",
        "LAZY",
    ]
    sums = "{{.Files}} {{range .Records}}{{.Path}}{{end}}"
    assert box("cow", "--format", sums, "counted").ok().stdout == "1 /etc/group\n"
    for unknown in ("{{.Nope}}", "table {{.Nope}}"):
        refused = box("cow", "--format", unknown, "counted")
        assert refused.status == 1
        assert "can't evaluate field Nope" in refused.stderr


def test_watch_shows_new_copies_until_the_container_ends(box, tmp_path):
    os.mkfifo(tmp_path / "go")
    script = "echo ready; read x < /v/go; ln /etc/passwd /link; read x < /v/go"
    command = ("run", "--name", "watched", "-v", f"{tmp_path}:/v", "box:1", "sh", "-c", script)
    with box.popen(*command) as running:
        try:
            assert running.stdout.readline() == b"ready\n"
            with box.popen("cow", "--watch", "watched") as watch:
                assert watch.stdout.readline().split()[0] == b"FILE"
                assert watch.stdout.readline().startswith(b"0 files")
                (tmp_path / "go").write_text("go\n")
                assert watch.stdout.readline().split()[0] == b"FILE"
                assert watch.stdout.readline().split()[0] == b"/etc/passwd"
                (tmp_path / "go").write_text("go\n")
                assert running.wait(120) == 0
                assert watch.wait(120) == 0
        finally:
            running.kill()
