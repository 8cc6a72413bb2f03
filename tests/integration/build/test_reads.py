"""`--cache reads`: which changes below a RUN have it executed again, and what is shown of that."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.needs("userns", "fuse", "busybox")

UNREAD = "reused because nothing that it read has changed"


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# A command, what changes before the second build, and the end of the reason; each in a directory of its own with
# the files a, d/a and d/e/a.
CASES = {
    "another-file": ("cat a", lambda top: write(top / "b"), UNREAD),
    "unread": ("cat a", lambda top: write(top / "d/a", "changed"), UNREAD),
    "read": ("cat a", lambda top: write(top / "a", "y"), "/a, which it read, has another content"),
    "times": ("cat a", lambda top: os.utime(top / "a", (1, 1)), UNREAD),
    "size": (
        "test -e a",
        lambda top: write(top / "a", "longer"),
        "/a, of which it saw the attributes, has others",
    ),
    "content-of-found": ("test -e a", lambda top: write(top / "a", "y"), UNREAD),
    "mode": (
        "test -x a",
        lambda top: (top / "a").chmod(0o755),
        "/a, of which it saw the attributes, has others",
    ),
    "mode-of-directory": (
        "cat d/a",
        lambda top: (top / "d").chmod(0o700),
        "/d, of which it saw the attributes, has others",
    ),
    "appears": ("test -e b", lambda top: write(top / "b"), "/b, which it did not find, is there"),
    "disappears": (
        "test -e a",
        lambda top: (top / "a").unlink(),
        "/a, which it found, is not there",
    ),
    "listed": (
        "ls d",
        lambda top: write(top / "d/b"),
        "/d, which it listed, has other names in it",
    ),
    "listed-above": ("ls d", lambda top: write(top / "b"), UNREAD),
    "listed-content": ("echo d/*", lambda top: write(top / "d/a", "longer"), UNREAD),
    "rmdir": (
        "rmdir d/e",
        lambda top: (top / "d/e/a").unlink(),
        "/d/e, which it listed, has other names in it",
    ),
    "emptied": ("rm -rf d", lambda top: write(top / "d/e/a", "y"), UNREAD),
    "replaced": ("echo > a", lambda top: write(top / "a", "y"), UNREAD),
    "appended": (
        "echo >> a",
        lambda top: write(top / "a", "y"),
        "/a, which it read, has another content",
    ),
    "chmod": (
        "chmod 600 a",
        lambda top: write(top / "a", "y"),
        "/a, which it read, has another content",
    ),
    "moved": (
        "mv d f",
        lambda top: write(top / "d/e/a", "y"),
        "/d/e/a, which it read, has another content",
    ),
    "moved-names": (
        "mv d f",
        lambda top: write(top / "d/e/b"),
        "/d/e, which it listed, has other names in it",
    ),
    "own": ("echo 1 > b; cat b; rm b", lambda top: write(top / "a", "y"), UNREAD),
    "executed": (
        "sh ./a",
        lambda top: write(top / "a", "y"),
        "/a, which it read, has another content",
    ),
}


def reasons(shown):
    """What is noted on each step, by its text."""
    names, found = {}, {}
    for line in shown.splitlines():
        number, _, text = line.partition(" ")
        if text.startswith("["):
            names[number] = text.partition("] ")[2]
        elif text.startswith(("executed because", "reused because")):
            found[names[number]] = text
    return found


def test_a_step_is_executed_again_if_something_that_it_saw_has_changed(builds):
    lines = ["FROM base:1", "COPY . /w"]
    for name, (command, _, _) in CASES.items():
        for path in ("a", "d/a", "d/e/a"):
            write(builds.directory / name / path)
        lines.append(f"RUN cd /w/{name} && ({command}; true)")
    text = "\n".join(lines)
    builds.ok(text, "--cache", "reads")
    for name, (_, change, _) in CASES.items():
        change(builds.directory / name)
    found = reasons(builds.ok(text, "--cache", "reads", "--explain"))
    for name, (command, _, reason) in CASES.items():
        shown = found[f"RUN cd /w/{name} && ({command}; true)"]
        if reason == UNREAD:
            assert shown == reason, name
        else:
            assert shown == f"executed because changed: /w/{name}{reason}", name


LINKS = {
    "target": ("readlink l", "ln -sfn other /w/target/l", "/l, of which it saw the attributes"),
    "followed": ("cat l", "ln -sfn b /w/followed/l", "/l, of which it saw the attributes"),
    "another-name": (
        "echo >> a",
        "ln /w/another-name/a /w/b1",
        "/a, of which it saw the attributes",
    ),
    "elsewhere": ("cat a", "ln /w/elsewhere/b /w/b2", ""),
    "gone": ("test -e d/a; true", "rm /w/gone/d/a", "/d/a, which it found, is not there"),
    "opaque": ("ls d", "rm -r /w/opaque/d; mkdir /w/opaque/d", "/d, which it listed"),
}


def test_links_whiteouts_and_opaque_directories_of_an_earlier_step_count(builds):
    lines = ["FROM base:1", "COPY . /w", "RUN sh /w/links"]
    for name, (command, _, _) in LINKS.items():
        for path in ("a", "b", "d/a"):
            write(builds.directory / name / path)
        lines.append(f"RUN cd /w/{name} && {command}")
    text = "\n".join(lines)
    first = "".join(f"ln -s a /w/{name}/l\n" for name in ("target", "followed"))
    builds.ok(text, "--cache", "reads", files={"links": first})
    second = first + "".join(f"{change}\n" for _, change, _ in LINKS.values())
    found = reasons(builds.ok(text, "--cache", "reads", "--explain", files={"links": second}))
    for name, (command, _, reason) in LINKS.items():
        shown = found[f"RUN cd /w/{name} && {command}"]
        assert (shown == UNREAD) if not reason else f"/w/{name}{reason}" in shown, name


def test_the_layer_of_a_step_is_put_over_a_parent_with_other_files(builds):
    text = "FROM base:1\nCOPY . /w\nRUN cp /w/a /w/d/copy && rm /w/d/a && mv /w/d/e /w/e && echo >> /w/d/e2\n"
    for path in ("a", "d/a", "d/e/a", "d/e2", "other"):
        write(builds.directory / path)
    builds.ok(text, "--cache", "reads")
    write(builds.directory / "other", "changed")
    write(builds.directory / "d/new", "new")
    shown = builds.ok(text, "--cache", "reads", "--explain")
    assert UNREAD in shown
    listed = builds.sh("cd /w && find . -type f | sort && cat other d/new")
    assert listed == "./Dockerfile\n./a\n./d/copy\n./d/e2\n./d/new\n./e/a\n./other\nchangednew"


def test_a_step_is_found_over_each_of_the_parents_that_it_was_executed_over(builds):
    text = "FROM base:1\nCOPY . /w\nRUN cat /w/a /proc/sys/kernel/random/uuid > /out\n"
    made = {}
    for content in ("1", "2"):
        write(builds.directory / "a", content)
        builds.ok(text, "--cache", "reads")
        made[content] = builds.sh("cat /out")
    for content in ("1", "2", "1"):
        write(builds.directory / "a", content)
        write(builds.directory / "unread", os.urandom(4).hex())
        builds.ok(text, "--cache", "reads")
        assert builds.sh("cat /out") == made[content]


def test_variables_arguments_and_the_command_still_count(builds):
    text = "FROM base:1\nCOPY . /w\nARG v\nENV w=$v\nRUN cat /w/a /proc/sys/kernel/random/uuid > /out\n"
    made = set()
    for number, value in enumerate(("1", "2", "2")):
        write(builds.directory / "a")
        write(builds.directory / "unread", str(number))
        shown = builds.ok(text, "--cache", "reads", "--build-arg", f"v={value}", "--explain")
        made.add(builds.sh("cat /out"))
    assert UNREAD in shown
    assert len(made) == 2


def test_what_is_mounted_counts_by_its_content_alone(builds):
    text = (
        "FROM base:1 AS other\nCOPY given /given\nFROM base:1\nCOPY unread /\n"
        "RUN --mount=type=bind,from=other,source=/,target=/m "
        "cat /m/given /proc/sys/kernel/random/uuid > /out\n"
    )
    builds.ok(text, "--cache", "reads", files={"given": "1", "unread": "1"})
    first = builds.sh("cat /out")
    builds.ok(text, "--cache", "reads", files={"unread": "2"})
    assert builds.sh("cat /out") == first
    builds.ok(text, "--cache", "reads", files={"given": "2"})
    assert builds.sh("cat /out") != first


def test_neither_without_the_flag_nor_with_no_cache_is_a_step_found_by_its_reads(builds):
    text = "FROM base:1\nCOPY . /w\nRUN cat /w/a /proc/sys/kernel/random/uuid > /out\n"
    made = set()
    for number, flags in enumerate((["--cache", "reads"], [], ["--cache", "reads", "--no-cache"])):
        write(builds.directory / "a")
        write(builds.directory / "unread", str(number))
        builds.ok(text, *flags)
        made.add(builds.sh("cat /out"))
    assert len(made) == 3


def test_pruning_the_cache_forgets_what_steps_read(builds):
    text = "FROM base:1\nCOPY . /w\nRUN cat /w/a /proc/sys/kernel/random/uuid > /out\n"
    builds.ok(text, "--cache", "reads", files={"a": "1"})
    first = builds.sh("cat /out")
    reads = builds.rootless.data / "rootless/build/reads"
    assert list(reads.glob("*/*.json"))
    assert builds.rootless("rmi", "t").status == 0
    assert builds.rootless("builder", "prune", "-af").status == 0
    assert not list(reads.glob("*/*.json"))
    builds.ok(text, "--cache", "reads", files={"unread": "1"})
    assert builds.sh("cat /out") != first


def test_a_damaged_record_costs_only_an_execution(builds):
    text = "FROM base:1\nCOPY . /w\nRUN cat /w/a\n"
    builds.ok(text, "--cache", "reads", files={"a": "1"})
    for path in (builds.rootless.data / "rootless/build/reads").glob("*/*.json"):
        path.write_text("[[1]]")
    assert UNREAD not in builds.ok(text, "--cache", "reads", "--explain", files={"unread": "1"})
    assert UNREAD in builds.ok(text, "--cache", "reads", "--explain", files={"unread": "2"})


def test_an_unknown_way_to_find_steps_is_refused(builds):
    done = builds("FROM base:1\n", "--cache", "luck")
    assert done.status == 1
    assert "invalid value 'luck' for --cache" in done.stderr
