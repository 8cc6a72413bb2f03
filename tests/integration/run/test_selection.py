"""Podman's ways to name containers: --all, --filter, --cidfile, --ignore and --latest, `exists`, `wait --condition`, and
its columns and keys of `ps`."""

import json
import subprocess
import sys

import pytest

from tests.support.waiting import assert_stays, wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

FOREVER = ("--rootfs", "/", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")


def run(rootless, name, *options, command=FOREVER):
    return rootless("run", "-d", "--name", name, *options, *command).ok().stdout.strip()


def names(rootless, *options):
    return rootless("ps", "-a", "--format", "{{.Names}}", *options).ok().stdout.split()


def test_all_and_filter_select_the_containers_that_the_verb_fits(rootless):
    one = run(rootless, "one", "--label", "k=1")
    two = run(rootless, "two", "--label", "k=2")
    made = rootless("create", "--name", "made", *FOREVER).ok().stdout.strip()
    assert rootless("stop", "-t", "5", "--filter", "label=k=1").ok().stdout == f"{one}\n"
    assert rootless("stop", "-t", "5", "--all").ok().stdout == f"{two}\n"
    assert rootless("stop", "-a").ok().stdout == ""
    assert rootless("start", "--all", "--filter", "label=k").ok().stdout.split() == [two, one]
    # Of containers that are named, those that pass; printed as they were typed.
    assert rootless("kill", "--filter", "label=k=1", "one", "two").ok().stdout == "one\n"
    rootless("wait", "one").ok()
    assert rootless("kill", "--all").ok().stdout == f"{two}\n"
    assert rootless("restart", "--running").ok().stdout == ""
    assert rootless("restart", "-t", "0", "--filter", "name=made").ok().stdout == f"{made}\n"
    assert rootless("rm", "--all", "--force").ok().stdout.split() == [made, two, one]
    assert names(rootless) == []


def test_all_together_with_names_is_refused(rootless):
    run(rootless, "one")
    for verb in ("stop", "kill", "rm", "start", "pause"):
        refused = rootless(verb, "--all", "one")
        assert (refused.status, "cannot be used together" in refused.stderr) == (125, True)
    assert names(rootless, "--filter", "status=running") == ["one"]


def test_cidfile_names_a_container(rootless, tmp_path):
    path = str(tmp_path / "cid")
    container_id = run(rootless, "one", "--cidfile", path)
    assert rootless("exec", "--cidfile", path, "echo", "hello").ok().stdout == "hello\n"
    assert rootless("restart", "-t", "0", "--cidfile", path).ok().stdout == f"{container_id}\n"
    assert rootless("stop", "-t", "5", "--cidfile", path).ok().stdout == f"{container_id}\n"
    assert rootless("rm", "--cidfile", path).ok().stdout == f"{container_id}\n"
    gone = rootless("rm", "--cidfile", str(tmp_path / "none"))
    assert (gone.status, "no such file or directory" in gone.stderr) == (1, True)


def test_ignore_passes_over_containers_that_do_not_exist(rootless):
    run(rootless, "one")
    for verb in (("stop", "-t", "5"), ("rm",)):
        done = rootless(*verb, "--ignore", "nothing", "one").ok()
        assert (done.stdout, done.stderr) == ("one\n", "")
    for verb in ("stop", "rm"):
        assert rootless(verb, "--ignore", "--cidfile", "/nothing/there").ok().stdout == ""
        assert rootless(verb, "--cidfile", "/nothing/there").status == 1
    assert rootless("wait", "--ignore", "nothing").ok().stdout == "-1\n"
    assert rootless("rm", "nothing").status == 1


def test_forced_removal_with_a_time_lets_the_container_end_by_itself(rootless, tmp_path):
    note = tmp_path / "note"
    script = f"trap 'echo ended >{note}; exit' TERM; echo ready; while :; do sleep 0.05; done"
    run(
        rootless,
        "one",
        "-v",
        f"{tmp_path}:{tmp_path}",
        command=("--rootfs", "/", "sh", "-c", script),
    )
    wait_until(lambda: rootless("logs", "one").ok().stdout == "ready\n")
    assert rootless("rm", "-f", "-t", "20", "one").ok().stdout == "one\n"
    assert note.read_text() == "ended\n"
    assert rootless("rm", "-t", "1", "one").status == 125


def test_latest_is_the_container_that_was_created_last(rootless):
    run(rootless, "one")
    last = run(rootless, "two", command=("--rootfs", "/", "sh", "-c", "echo out; sleep 100"))
    wait_until(lambda: rootless("logs", "two").ok().stdout == "out\n")
    assert rootless("logs", "-l").ok().stdout == "out\n"
    assert rootless("exec", "-l", "echo", "hello").ok().stdout == "hello\n"
    assert rootless("inspect", "-l", "--format", "{{.Id}}").ok().stdout == f"{last}\n"
    assert "sleep 100" in rootless("top", "-l").ok().stdout
    assert rootless("diff", "-l").ok().stdout == ""
    assert rootless("port", "-l").ok().stdout == ""
    assert "two" in rootless("stats", "-l", "--no-stream").ok().stdout
    assert rootless("rm", "-f", "--latest").ok().stdout == f"{last}\n"
    both = rootless("logs", "-l", "one")
    assert (both.status, "cannot be used together" in both.stderr) == (125, True)
    for words, need in (
        (("logs",), "requires 1 argument"),
        (("diff", "one", "x"), "requires 1 argument"),
        (("exec", "one"), "requires at least 2 arguments"),
        (("port", "one", "1", "2"), "requires at least 1 and at most 2 arguments"),
        (("top",), "requires at least 1 argument"),
        (("inspect",), "requires at least 1 argument"),
    ):
        wrong = rootless(*words)
        assert (wrong.status, need in wrong.stderr) == (1, True), wrong


def test_exists_answers_by_the_exit_status_alone(rootless):
    container_id = run(rootless, "one")
    rootless("volume", "create", "data").ok()
    found = [
        rootless(kind, "exists", name)
        for kind, name in (
            ("container", "one"),
            ("container", container_id[:8]),
            ("volume", "data"),
            ("network", "bridge"),
        )
    ]
    missing = [
        rootless(kind, "exists", "x") for kind in ("container", "image", "network", "volume")
    ]
    assert [each.status for each in (*found, *missing)] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert {(each.stdout, each.stderr) for each in (*found, *missing)} == {("", "")}


def test_wait_for_a_condition_returns_when_it_is_true(rootless):
    rootless("create", "--name", "one", *FOREVER).ok()
    argv = [
        sys.executable,
        "-m",
        "rootless",
        "wait",
        "--condition",
        "running",
        "--interval",
        "10",
        "one",
    ]
    with subprocess.Popen(argv, env=rootless.env, stdout=subprocess.PIPE, text=True) as waiting:
        rootless("start", "one").ok()
        assert waiting.communicate(timeout=120)[0] == "-1\n"
    rootless("stop", "-t", "5", "one").ok()
    assert rootless("wait", "--condition", "stopped", "one").ok().stdout == "0\n"
    assert (
        rootless("wait", "--condition", "exited", "--condition", "paused", "one").ok().stdout
        == "0\n"
    )
    never = rootless("wait", "--condition", "healthy", "one")
    assert never.status == 1
    assert "container one has ended and cannot become healthy" in never.stderr
    assert "unknown condition" in rootless("wait", "--condition", "asleep", "one").stderr


def test_wait_for_the_health_of_a_container(rootless):
    options = ("--health-cmd", "test -e /tmp/well", "--health-interval", "100ms")
    run(rootless, "one", *options)
    rootless("exec", "one", "touch", "/tmp/well").ok()
    assert rootless("wait", "--condition=healthy", "one").ok().stdout == "-1\n"
    form = "{{.State.Healthcheck.Status}} {{.Config.HealthcheckOnFailureAction}}"
    assert rootless("inspect", "-f", form, "one").ok().stdout == "healthy none\n"


def test_ps_sorts_and_leaves_out_the_heading(rootless):
    for name in ("two", "one", "three"):
        rootless("create", "--name", name, "--rootfs", "/", "true").ok()
    assert names(rootless, "--sort", "names") == ["one", "three", "two"]
    assert names(rootless, "--sort", "created") == ["two", "one", "three"]
    assert names(rootless) == ["three", "one", "two"]
    assert len(rootless("ps", "-a", "--noheading").ok().stdout.splitlines()) == 3
    assert rootless("ps", "--noheading").ok().stdout == ""
    form = "table {{.Names}}\t{{.Image}}"
    assert len(rootless("ps", "-a", "--noheading", "--format", form).ok().stdout.splitlines()) == 3
    assert rootless("ps", "--sort", "colour").status == 1


def test_ps_has_podmans_fields_in_templates_only(rootless):
    run(rootless, "one", command=("--rootfs", "/", "sh", "-c", "exit 3"))
    rootless("wait", "one").ok()
    form = "{{.ExitCode}} {{.Exited}} {{.Restarts}} {{.Pid}} {{.Created}}"
    assert rootless("ps", "-a", "--format", form).ok().stdout.startswith("3 true 0 0 ")
    shown = json.loads(rootless("ps", "-a", "--format", "json").ok().stdout)
    assert "ExitCode" not in shown


def test_filters_of_podman(rootless):
    kept = run(rootless, "one", "--restart", "unless-stopped", "--label", "k")
    rootless("create", "--name", "two", "--rootfs", "/", "true").ok()
    assert names(rootless, "--filter", "restart-policy=unless-stopped") == ["one"]
    assert names(rootless, "--filter", "restart-policy=none") == ["two"]
    assert names(rootless, "--filter", "label!=k") == ["two"]
    assert names(rootless, "--filter", "until=2020-01-01") == []
    assert sorted(names(rootless, "--filter", "until=0s")) == ["one", "two"]
    assert names(rootless, "--filter", f"id={kept[:5].upper()}") == ["one"]
    assert names(rootless, "--filter", f"id=^{kept[:5]}") == ["one"]
    assert names(rootless, "--filter", "id=[^0-9a-f]") == []
    rootless("stop", "-t", "5", "one").ok()
    assert names(rootless, "--filter", "status=stopped") == ["one"]
    wrong = rootless("ps", "--filter", "restart-policy=often")
    assert (wrong.status, "invalid restart policy" in wrong.stderr) == (1, True)


def test_inspect_has_podmans_fields_in_templates_only(rootless):
    run(rootless, "one", "--log-opt", "max-size=1536k")

    def field(form):
        return rootless("inspect", "-f", form, "one").ok().stdout.strip()

    assert int(field("{{.State.ConmonPid}}")) > 1
    assert field("{{.State.StoppedByUser}} {{.IsInfra}} {{.State.Running}}") == "false false true"
    assert field("{{.HostConfig.LogConfig.Path}}") == field("{{.LogPath}}")
    assert field("{{.HostConfig.LogConfig.Size}}") == "1.536MB"
    rootless("stop", "-t", "5", "one").ok()
    assert field("{{.State.StoppedByUser}}") == "true"
    document = json.loads(rootless("inspect", "one").ok().stdout)[0]
    assert "ConmonPid" not in document["State"]
    assert "ImageName" not in document
    assert rootless("inspect", "-f", "{{.Colour}}", "one").status == 1


def test_info_has_podmans_fields_in_templates_only(rootless):
    form = "{{.Store.GraphRoot}} {{.Host.Security.Rootless}} {{.Host.OCIRuntime.Name}}"
    shown = rootless("info", "--format", form).ok().stdout
    assert shown == f"{rootless.data}/rootless true rootless\n"
    assert "GraphRoot" not in rootless("info", "--format", "json").ok().stdout
    assert rootless("info", "--format", "{{.Colour}}").status == 1


def test_times_beyond_what_poll_takes_do_not_end_the_monitor(rootless):
    """poll(2) waits 24 days at most."""
    container_id = run(rootless, "one", "--health-cmd", "true", "--health-interval", "800h")
    run(rootless, "two", "--timeout", "3000000", command=("--rootfs", "/", "sleep", "1000"))
    run(rootless, "three", "--health-cmd", "true", "--health-interval", "disable")
    ignoring = ("--rootfs", "/", "sh", "-c", "trap '' TERM; echo r; while :; do sleep 0.05; done")
    run(rootless, "four", command=ignoring)
    wait_until(lambda: rootless("logs", "four").ok().stdout == "r\n")
    waiting = rootless.popen("stop", "-t", "3000000", "four")
    assert_stays(lambda: len(names(rootless, "--filter", "status=running")) == 4)
    assert rootless("healthcheck", "run", "three").ok().stdout == ""
    assert rootless("kill", "four").ok().stdout == "four\n"
    assert waiting.wait(120) == 0
    assert rootless("stop", "-t", "5", "one").ok().stdout == "one\n"
    assert rootless("inspect", "-f", "{{.State.ExitCode}}", container_id).ok().stdout == "0\n"


@pytest.mark.needs("busybox")
def test_lists_without_a_heading_and_removal_of_all(rootless, busybox_image):
    for name in ("box:1", "box:2", "other:1"):
        rootless("import", busybox_image, name).ok()
    rootless("tag", "box:1", "third:1").ok()
    for name in ("one", "two"):
        assert rootless("volume", "create", "--ignore", name).ok().stdout == f"{name}\n"
    for words in (("images",), ("network", "ls"), ("volume", "ls")):
        with_heading = rootless(*words).ok().stdout.splitlines()
        without = rootless(*words, "--noheading").ok().stdout.splitlines()
        assert [each.split()[0] for each in without] == [
            each.split()[0] for each in with_heading[1:]
        ]
    assert rootless("volume", "rm", "--all").ok().stdout == "one\ntwo\n"
    assert rootless("volume", "ls", "-n").ok().stdout == ""
    ignored = rootless("rmi", "--ignore", "nothing").ok()
    assert (ignored.stdout, ignored.stderr) == ("", "")
    rootless("rmi", "--all").ok()
    assert rootless("images", "--noheading").ok().stdout == ""
    for words in (("rmi", "-a", "x"), ("volume", "rm", "-a", "x")):
        assert rootless(*words).status == 125
    assert (rootless("rmi").status, rootless("volume", "rm").status) == (1, 1)
