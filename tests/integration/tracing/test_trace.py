"""`trace`: what a container has read, listed and looked for in vain, by which process, when and how much."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from rootless import Engine
from rootless.tracing.trace import Kind
from tests.support.file_servers import server_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A directory with files, and the working directory of the commands."""
    place = tmp_path / "work"
    (place / "dir/inner").mkdir(parents=True)
    (place / "dir/a").write_text("a\n")
    (place / "dir/b").write_text("b\n")
    (place / "large").write_bytes(os.urandom(300_001))
    monkeypatch.chdir(place)
    return place


def traced(rootless, *words, options=(), name="one"):
    return rootless("try", "--keep", "--trace", "--name", name, *options, "--", *words)


def document(rootless, name="one", *paths):
    return json.loads(rootless("trace", "--json", name, *paths).ok().stdout)


def accesses(found):
    """By kind and path: the records of a document."""
    return {(each["kind"], each["path"]): each for each in found["accesses"]}


def names_of(found, record):
    return [found["processes"][number]["name"] for number in record["processes"]]


def test_file_that_is_read_has_bytes_times_and_its_process(rootless, work):
    before = time.time_ns()
    traced(rootless, "cat", "large").ok()
    after = time.time_ns()
    found = document(rootless)
    record = accesses(found)["read", f"{work}/large"]
    assert record["bytes"] == 300_001
    assert before < record["firstNs"] <= record["lastNs"] < after
    assert names_of(found, record) == ["cat"]
    assert (found["complete"], found["finished"]) == (True, True)
    assert ("read", f"{work}/dir/a") not in accesses(found)


def test_second_container_of_the_same_files_is_traced_from_the_beginning(rootless, work):
    for name in ("one", "two"):
        traced(rootless, "cat", "large", name=name).ok()
        assert accesses(document(rootless, name))["read", f"{work}/large"]["bytes"] == 300_001


def test_listing_and_look_up_in_vain(rootless, work):
    traced(rootless, "sh", "-c", "ls dir; cat absent; test -e dir/other")
    kinds = accesses(document(rootless))
    assert ("listed", f"{work}/dir") in kinds
    assert ("missing", f"{work}/absent") in kinds
    assert ("missing", f"{work}/dir/other") in kinds
    assert ("read", f"{work}/dir/a") not in kinds
    assert ("listed", f"{work}/dir/inner") not in kinds


def test_imports_of_a_python_script(rootless, work):
    (work / "program.py").write_text("import helper\nimport json.decoder\n")
    (work / "helper.py").write_text("value = 1\n")
    traced(rootless, sys.executable, "-S", "-E", "program.py").ok()
    kinds = accesses(document(rootless))
    for name in ("program.py", "helper.py"):
        assert ("read", f"{work}/{name}") in kinds
    read = [path for kind, path in kinds if kind == "read"]
    assert any(re.search(r"json/(__pycache__/)?decoder\.", path) for path in read)
    assert not any(re.search(r"/csv\.", path) for path in read)


def test_each_process_has_its_own_files(rootless, work):
    script = "head -c 1 dir/a & tail -c 1 dir/b & wait"
    traced(rootless, "sh", "-c", script).ok()
    found = document(rootless)
    kinds = accesses(found)
    first, second = (kinds["read", f"{work}/dir/{name}"] for name in ("a", "b"))
    assert (names_of(found, first), names_of(found, second)) == (["head"], ["tail"])
    pids = [found["processes"][each["processes"][0]]["pid"] for each in (first, second)]
    assert len(set(pids)) == 2
    assert all(0 < pid < 1000 for pid in pids)


def test_threads_count_as_their_process(rootless, work):
    program = (
        "import os, threading\n"
        "def read(name): print(os.getpid(), flush=True); open(name).read()\n"
        "for name in ('dir/a', 'dir/b'):\n"
        "    t = threading.Thread(target=read, args=(name,)); t.start(); t.join()\n"
    )
    pid = int(traced(rootless, sys.executable, "-c", program).ok().stdout.split()[0])
    found = document(rootless)
    for name in ("a", "b"):
        (number,) = accesses(found)["read", f"{work}/dir/{name}"]["processes"]
        assert found["processes"][number]["pid"] == pid


def test_symbolic_link_is_read_and_so_is_its_target(rootless, work):
    (work / "link").symlink_to("dir/a")
    traced(rootless, "cat", "link").ok()
    kinds = accesses(document(rootless))
    assert kinds["read", f"{work}/link"]["bytes"] == len("dir/a")
    assert kinds["read", f"{work}/dir/a"]["bytes"] == 2


def test_copy_within_the_container_is_a_read(rootless, work):
    traced(rootless, "cp", "large", "copy").ok()
    assert accesses(document(rootless))["read", f"{work}/large"]["bytes"] >= 300_001


@pytest.mark.parametrize("name", [b"new\nline", b"esc\x1b[31m", b'quo"te\\', b"\xff\xfe", b"a b"])
def test_names_are_quoted_in_lines_and_exact_in_json(rootless, work, name):
    (work / os.fsdecode(name)).write_text("x")
    traced(rootless, "sh", "-c", "cat ./*", options=["--on", str(work)])
    found = [
        each
        for each in engine_of(rootless).trace("one", [str(work)]).accesses
        if each.path.startswith(os.fsencode(work) + b"/") and each.kind is Kind.READ
    ]
    assert os.fsencode(work) + b"/" + name in [each.path for each in found]
    text = rootless("trace", "one", str(work)).ok().stdout
    assert "\x1b" not in text
    lines = [line for line in text.splitlines() if line.startswith("read ")]
    assert len(lines) == len(found)
    listed = rootless("trace", "--name-only", "-z", "--kind", "read", "one", str(work)).ok().stdout
    assert listed.count("\0") == len(found)
    assert name.decode(errors="replace") in listed


def engine_of(rootless):
    return Engine(environ=rootless.env)


def test_running_container_is_traced_up_to_now(box):
    box("run", "-d", "--trace", "--name", "one", "box:1", "sleep", "1000").ok()
    assert ("missing", "/nothing") not in accesses(document(box))
    box("exec", "one", "sh", "-c", "cat /nothing /etc/passwd")
    found = document(box)
    assert ("missing", "/nothing") in accesses(found)
    assert not found["finished"]
    box("rm", "-f", "one").ok()


@pytest.mark.needs("subuid")
def test_first_process_has_the_name_of_its_program(box):
    box("run", "--trace", "--user", "1000", "--name", "one", "box:1", "tail", "/etc/passwd").ok()
    found = document(box)
    assert names_of(found, accesses(found)["read", "/etc/passwd"]) == ["tail"]


def test_restart_begins_a_new_trace(box):
    box(
        "run",
        "--trace",
        "--name",
        "one",
        "box:1",
        "sh",
        "-c",
        "test -e /once || cat /absent; touch /once",
    )
    assert ("missing", "/absent") in accesses(document(box))
    box("start", "-a", "one").ok()
    assert ("missing", "/absent") not in accesses(document(box))


def test_trace_of_a_replaced_file_server_is_not_complete(box):
    box("run", "-d", "--trace", "--name", "one", "box:1", "sleep", "1000").ok()
    wait_until(lambda: document(box)["accesses"])
    os.kill(server_of(box), signal.SIGKILL)

    def is_replaced():
        box("exec", "one", "cat", "/etc/passwd")
        return not document(box)["complete"]

    wait_until(is_replaced)
    assert "not complete" in box("trace", "one").ok().stderr
    box("rm", "-f", "one").ok()


def test_removed_container_leaves_its_trace_in_a_file(box, tmp_path):
    file = tmp_path / "trace.json"
    box("run", "--rm", f"--trace={file}", "box:1", "cat", "/etc/passwd").ok()
    found = json.loads(file.read_text())
    assert ("read", "/etc/passwd") in accesses(found)
    assert file.stat().st_mode & 0o777 == 0o600
    assert box("ps", "-aq").ok().stdout == ""


def test_refusals(box, tmp_path):
    assert "--trace=FILE" in box("run", "--rm", "--trace", "box:1", "true").stderr
    lost = box("run", f"--trace={tmp_path}/none/trace", "box:1", "true")
    assert (lost.status, "cannot be written" in lost.stderr) == (125, True)
    box("run", "--name", "plain", "box:1", "true").ok()
    refused = box("trace", "plain")
    assert (refused.status, "is not traced" in refused.stderr) == (1, True)
    assert box("trace", "none").status == 1
    box("create", "--trace", "--name", "new", "box:1", "true").ok()
    assert "has not been started" in box("trace", "new").stderr
    assert "--join and --trace" in box("run", "--join-tag", "x", "--trace", "box:1", "true").stderr
    overlay = box("--storage-driver", "overlay", "run", "--trace", "box:1", "true")
    assert "cannot trace" in overlay.stderr


def test_document_is_of_its_schema(box):
    box("run", "--trace", "--name", "one", "box:1", "ls", "-l", "/", "/none")
    schema = json.loads((Path(__file__).parents[3] / "docs" / "trace.schema.json").read_text())
    found = document(box)
    assert sorted(found) == sorted(schema["required"])
    access = schema["properties"]["accesses"]["items"]
    assert {each["kind"] for each in found["accesses"]} <= set(access["properties"]["kind"]["enum"])
    for each in found["accesses"]:
        assert sorted(each) == sorted(access["required"])


def test_session_in_python_is_traced(work, rootless, monkeypatch):
    for name, value in rootless.env.items():
        monkeypatch.setenv(name, value)
    with Engine().try_(trace=True) as tried:
        tried.exec("cat", "dir/a")
        (read,) = [each for each in tried.trace(["dir"]).accesses if each.kind is Kind.READ]
    assert read.path == os.fsencode(work) + b"/dir/a"
    assert (read.bytes, [each.name for each in read.processes]) == (2, ["cat"])
