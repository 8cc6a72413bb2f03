"""Containers in the background: what each verb does in each status, as Docker 28.5 was seen to do it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rootless.containers.process_identity import is_in_mask
from tests.support.processes import children_of
from tests.support.waiting import assert_stays, wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

FOREVER = ("--rootfs", "/", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")


def state(rootless, name):
    return json.loads(rootless("inspect", name).ok().stdout)[0]["State"]


def status_of(rootless, name):
    return state(rootless, name)["Status"]


def monitor_of(rootless, container_id):
    path = rootless.data / "rootless/containers" / container_id / "container.json"
    return json.loads(path.read_text())["monitor_pid"]


def processes_of_session(session):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(int(pid)) == session:
                found.append(int(pid))
    return found


def wait_for_trap(rootless, name):
    """Until its shell handles SIGTERM."""
    path = Path(f"/proc/{state(rootless, name)['Pid']}/status")
    wait_until(lambda: is_in_mask(signal.SIGTERM, "SigCgt", path.read_text()))


def ran(rootless, name="web", *options):
    """The id of a container that runs until it gets SIGTERM."""
    words = FOREVER
    container_id = rootless("run", "-d", "--name", name, *options, *words).ok().stdout.strip()
    assert len(container_id) == 64
    wait_for_trap(rootless, name)
    return container_id


def test_container_goes_from_created_to_removed(rootless):
    created = rootless("create", "--name", "web", *FOREVER).ok()
    assert (len(created.stdout), created.stderr) == (65, "")
    assert rootless("ps", "-a", "--format", "{{.Status}}").ok().stdout == "Created\n"
    assert rootless("start", "web").ok().stdout == "web\n"
    assert rootless("ps", "--format", "{{.State}}").ok().stdout == "running\n"
    wait_for_trap(rootless, "web")
    assert rootless("stop", "web").ok().stdout == "web\n"
    assert (status_of(rootless, "web"), state(rootless, "web")["ExitCode"]) == ("exited", 0)
    assert rootless("start", created.stdout[:6]).ok().stdout == f"{created.stdout[:6]}\n"
    assert rootless("rm", "-f", "web").ok().stdout == "web\n"
    assert rootless("ps", "-aq").ok().stdout == ""
    assert os.listdir(rootless.runtime / "rootless/containers") == []


def test_container_outlives_the_session_that_started_it(rootless):
    """Its monitor is killed neither by SIGHUP nor with the process group of its starter."""
    script = (
        'import subprocess, sys; subprocess.run([sys.executable, "-m", "rootless", *sys.argv[1:]])'
    )
    argv = [sys.executable, "-c", script, "run", "-d", "--name", "web", *FOREVER]
    with subprocess.Popen(argv, env=rootless.env, start_new_session=True, stdout=-1) as process:
        out, _ = process.communicate(timeout=120)  # the container has no copy of the pipe
    assert len(out) == 65
    try:
        os.killpg(process.pid, signal.SIGHUP)
    except ProcessLookupError:
        pass
    assert_stays(lambda: status_of(rootless, "web") == "running")


def test_container_in_the_background_holds_none_of_the_callers_descriptors(rootless):
    """`flock FILE rootless run -d` gives the lock up when `run` has returned."""
    reader, writer = os.pipe()
    words = ("run", "-d", "--name", "web", *FOREVER)
    process = rootless.popen(*words, pass_fds=(writer,))
    os.close(writer)
    process.communicate(timeout=120)
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert status_of(rootless, "web") == "running"


def test_started_container_keeps_its_files_and_its_settings(rootless):
    script = "cat /kept 2>/dev/null; echo $A >> /kept; exit $(wc -l < /kept)"
    words = ("create", "--name", "web", "-e", "A=b", "--rootfs", "/", "sh", "-c", script)
    rootless(*words).ok()
    for runs in (1, 2, 3):
        rootless("start", "web").ok()
        assert rootless("wait", "web").ok().stdout == f"{runs}\n"


# What docker answers, in the first line of stderr, by the verb and the status of the container `web`.
NOT_RUNNING = "container ID is not running"
RUNNING = (
    'cannot remove container "web": container is running: stop the container before removing '
    "or force remove"
)
ANSWERS = [
    ("start", "running", 0, ""),
    ("start", "paused", 1, "cannot start a paused container, try unpause instead"),
    ("stop", "created", 0, ""),
    ("stop", "exited", 0, ""),
    ("kill", "created", 1, f"cannot kill container: web: {NOT_RUNNING}"),
    ("kill", "exited", 1, f"cannot kill container: web: {NOT_RUNNING}"),
    ("pause", "created", 1, NOT_RUNNING),
    ("pause", "exited", 1, NOT_RUNNING),
    ("pause", "paused", 1, "container ID is already paused"),
    ("unpause", "created", 1, "container ID is not paused"),
    ("unpause", "running", 1, "container ID is not paused"),
    ("unpause", "exited", 1, "container ID is not paused"),
    ("wait", "created", 0, ""),
    ("wait", "exited", 0, ""),
    ("rm", "running", 1, RUNNING),
    (
        "rm",
        "paused",
        1,
        'cannot remove container "web": container is paused and must be unpaused first',
    ),
]


@pytest.mark.parametrize(("verb", "before", "code", "answer"), ANSWERS)
def test_verb_in_a_status_that_does_not_fit(rootless, verb, before, code, answer):
    container_id = rootless("create", "--name", "web", *FOREVER).ok().stdout.strip()
    if before != "created":
        rootless("start", "web").ok()
    if before == "paused":
        rootless("pause", "web").ok()
    if before == "exited":
        rootless("kill", "web").ok()
    done = rootless(verb, "web")
    shown = done.stderr.splitlines()[0].replace(container_id, "ID") if done.stderr else ""
    assert (done.status, shown) == (code, f"Error: {answer}" if answer else "")
    assert status_of(rootless, "web") == before


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "kill", "wait", "pause", "unpause"])
def test_unknown_container_is_named_and_the_others_are_handled(rootless, verb):
    rootless("create", "--name", "web", *FOREVER).ok()
    done = rootless("container", verb, "absent", "web")
    assert done.status == 1
    assert done.stderr.splitlines()[0] == "Error: No such container: absent"
    if verb in {"start", "stop", "restart"}:
        assert done.stdout == "web\n"


def test_stop_waits_for_the_handler_and_then_kills(rootless):
    script = "trap : TERM; echo; while :; do sleep 0.05; done"
    ignores = ("--stop-timeout", "1000", "--rootfs", "/", "sh", "-c", script)
    rootless("run", "-d", "--name", "slow", *ignores).ok()
    wait_for_trap(rootless, "slow")
    ran(rootless, "web")
    begin = time.monotonic()
    assert rootless("stop", "-t", "1", "slow", "web").ok().stdout == "slow\nweb\n"
    assert time.monotonic() - begin > 0.9
    assert state(rootless, "slow")["ExitCode"] == 137
    assert state(rootless, "web")["ExitCode"] == 0


def test_stop_does_not_wait_for_a_process_that_cannot_see_the_signal(rootless):
    rootless("run", "-d", "--name", "web", "--rootfs", "/", "sleep", "1000").ok()
    rootless("stop", "-t", "900", "web").ok()
    assert state(rootless, "web")["ExitCode"] == 137


def test_pause_stops_every_process(rootless):
    words = ("--rootfs", "/", "sh", "-c", "while :; do echo x >> /count; sleep 0.01; done")
    container_id = rootless("run", "-d", "--name", "web", *words).ok().stdout.strip()
    count = rootless.data / "rootless/containers" / container_id / "upper/count"
    wait_until(count.exists)
    rootless("pause", "web").ok()
    assert "(Paused)" in rootless("ps", "--format", "{{.Status}}").ok().stdout
    seen = count.stat().st_size
    assert_stays(lambda: count.stat().st_size == seen)
    rootless("unpause", "web").ok()
    wait_until(lambda: count.stat().st_size > seen)


def test_signal_resumes_a_paused_container(rootless):
    """As with Docker, whatever the signal."""
    script = "trap 'echo got' USR1; echo ready; while :; do sleep 0.05; done"
    rootless("run", "-d", "--name", "c1", "--rootfs", "/", "sh", "-c", script).ok()
    wait_until(lambda: rootless("logs", "c1").stdout == "ready\n")
    rootless("pause", "c1").ok()
    rootless("kill", "-s", "USR1", "c1").ok()
    wait_until(lambda: rootless("logs", "c1").stdout == "ready\ngot\n")
    assert rootless("inspect", "-f", "{{.State.Status}}", "c1").ok().stdout == "running\n"


def test_paused_container_can_be_stopped_and_removed(rootless):
    for verb in (("stop",), ("kill",), ("rm", "-f")):
        ran(rootless, "web", "--replace")
        rootless("pause", "web").ok()
        rootless(*verb, "web").ok()
    assert rootless("ps", "-aq").ok().stdout == ""


def test_container_whose_monitor_is_stopped_can_be_removed(rootless):
    container_id = ran(rootless)
    os.kill(monitor_of(rootless, container_id), signal.SIGSTOP)
    started = time.monotonic()
    rootless("rm", "-f", "web").ok()
    assert time.monotonic() - started < 8
    assert rootless("ps", "-aq").ok().stdout == ""


@pytest.mark.parametrize(
    "verb", [("stop", "-t", "5"), ("kill",), ("restart", "-t", "5"), ("pause",)]
)
def test_monitor_that_is_stopped_goes_on_for_a_verb(rootless, verb):
    container_id = ran(rootless)
    os.kill(monitor_of(rootless, container_id), signal.SIGSTOP)
    started = time.monotonic()
    assert rootless(*verb, "web").ok().stdout == "web\n"
    assert time.monotonic() - started < 8
    expected = {"stop": "exited", "kill": "exited", "restart": "running", "pause": "paused"}
    assert status_of(rootless, "web") == expected[verb[0]]


@pytest.mark.parametrize(
    ("verb", "status"), [("stop", "exited"), ("restart", "running"), ("kill", "exited")]
)
def test_container_ends_though_the_runtime_directory_was_removed(rootless, verb, status):
    """As systemd-tmpfiles or the end of a session removes it."""
    ran(rootless)
    shutil.rmtree(rootless.runtime / "rootless")
    assert rootless(verb, "web").ok().stdout == "web\n"
    assert status_of(rootless, "web") == status
    rootless("exec", "web", "true").ok() if status == "running" else rootless("start", "web").ok()


@pytest.mark.parametrize(
    "verb",
    [("pause",), ("update", "--restart", "always"), ("kill", "-s", "CONT"), ("stop", "-t", "5")],
)
def test_monitor_makes_its_socket_again_for_a_verb(rootless, verb):
    ran(rootless)
    shutil.rmtree(rootless.runtime / "rootless")
    started = time.monotonic()
    assert rootless(*verb, "web").ok().stdout == "web\n"
    assert time.monotonic() - started < 8
    expected = {"stop": "exited", "pause": "paused"}
    assert status_of(rootless, "web") == expected.get(verb[0], "running")


def test_container_is_killed_at_the_end_of_its_time(rootless):
    words = ("--rootfs", "/", "sleep", "1000")
    started = time.monotonic()
    assert rootless("run", "--timeout", "1", "--name", "web", *words).status == 255
    assert time.monotonic() - started >= 1
    assert (status_of(rootless, "web"), state(rootless, "web")["ExitCode"]) == ("exited", 255)
    rootless("start", "web").ok()  # each run has the time
    assert rootless("wait", "web").ok().stdout == "255\n"
    assert rootless("run", "--rm", "--timeout", "1000", "--rootfs", "/", "true").status == 0
    assert rootless("run", "--timeout", "-1", "--rootfs", "/", "true").status == 125


def test_policy_restarts_after_a_failure_and_gives_up(rootless):
    words = ("--restart", "on-failure:2", "--rootfs", "/", "sh", "-c", "exit 3")
    rootless("run", "-d", "--name", "web", *words).ok()
    wait_until(lambda: status_of(rootless, "web") == "exited")
    document = json.loads(rootless("inspect", "web").ok().stdout)[0]
    assert (document["RestartCount"], document["State"]["ExitCode"]) == (2, 3)
    assert document["HostConfig"]["RestartPolicy"] == {
        "Name": "on-failure",
        "MaximumRetryCount": 2,
    }


def test_container_that_restarts_can_be_stopped_and_removed(rootless):
    words = ("--restart", "always", "--rootfs", "/", "false")
    started = rootless("run", "-d", "--name", "web", *words).ok()
    monitor = monitor_of(rootless, started.stdout.strip())
    wait_until(lambda: status_of(rootless, "web") == "restarting")
    refused = rootless("rm", "web")
    assert 'cannot remove container "web": container is' in refused.stderr
    rootless("stop", "web").ok()
    # The file server of the run that does not take place has ended as well.
    wait_until(lambda: processes_of_session(monitor) == [])
    assert_stays(lambda: status_of(rootless, "web") == "exited")
    rootless("start", "web").ok()
    rootless("rm", "-f", "web").ok()
    assert rootless("ps", "-aq").ok().stdout == ""


def test_policy_and_limits_are_updated(rootless):
    for name, start in (("web", True), ("idle", False)):
        rootless("create", "--name", name, "--rootfs", "/", "sh", "-c", "sleep 100").ok()
        if start:
            rootless("start", name).ok()
    assert (
        rootless("update", "--restart", "on-failure:3", "web", "idle").ok().stdout == "web\nidle\n"
    )
    for name in ("web", "idle"):
        document = json.loads(rootless("inspect", name).ok().stdout)[0]
        assert document["HostConfig"]["RestartPolicy"] == {
            "Name": "on-failure",
            "MaximumRetryCount": 3,
        }
    os.kill(state(rootless, "web")["Pid"], signal.SIGKILL)
    wait_until(lambda: json.loads(rootless("inspect", "web").ok().stdout)[0]["RestartCount"] == 1)
    rootless("update", "--memory", "20m", "--pids-limit", "50", "idle").ok()
    limits = json.loads(rootless("inspect", "idle").ok().stdout)[0]["HostConfig"]
    assert (limits["Memory"], limits["PidsLimit"]) == (20 << 20, 50)
    refused = rootless("update", "--memory", "1m", "idle")
    assert "minimum memory limit allowed is 6MB" in refused.stderr
    assert "you must provide one or more flags" in rootless("update", "idle").stderr


def test_restart_replaces_the_processes_and_keeps_the_monitor(rootless):
    container_id = ran(rootless, "web", "--rm")
    before, monitor = state(rootless, "web")["Pid"], monitor_of(rootless, container_id)
    assert rootless("restart", "-t", "1", "web").ok().stdout == "web\n"
    assert state(rootless, "web")["Pid"] != before
    assert monitor_of(rootless, container_id) == monitor


@pytest.mark.needs("overlay")
def test_overlay_that_is_not_synced_can_be_restarted(rootless):
    words = ("--rm", "--storage-driver", "overlay")
    ran(rootless, "web", *words)
    for _ in range(2):
        rootless("restart", "-t", "1", "web").ok()
    assert status_of(rootless, "web") == "running"


def test_killed_monitor_leaves_an_exited_container_that_can_be_started(rootless):
    container_id = ran(rootless)
    monitor = monitor_of(rootless, container_id)
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{monitor}").exists())
    assert rootless("ps", "-a", "--format", "{{.Status}}").ok().stdout.startswith("Exited (137)")
    rootless("start", "web").ok()
    assert status_of(rootless, "web") == "running"


def test_record_of_an_earlier_boot_names_no_process_of_this_one(rootless):
    container_id = ran(rootless)
    path = rootless.data / "rootless/containers" / container_id / "container.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"boot": "an earlier one"}))
    assert rootless("ps", "-q").ok().stdout == ""
    assert status_of(rootless, "web") == "exited"
    os.kill(record["monitor_pid"], signal.SIGTERM)


def test_start_of_a_container_on_a_shared_image_leaves_no_process_with_its_output(
    rootless, busybox_image
):
    rootless("import", str(busybox_image), "box:1").ok()
    rootless("create", "--name", "web", "--read-only", "box:1", "sleep", "1000").ok()
    for verb in (("start",), ("restart", "-t", "0"), ("stop", "-t", "0"), ("start",)):
        rootless(*verb, "web").ok()  # to the end of its output
    monitor = int(rootless("inspect", "-f", "{{.State.ConmonPid}}", "web").ok().stdout)

    def words():
        with contextlib.suppress(OSError):  # one has ended meanwhile
            paths = [Path(f"/proc/{child}/cmdline") for child in children_of(monitor)]
            return [path.read_bytes().split(b"\0")[0] for path in paths]
        return []

    wait_until(lambda: words() == [b"sleep"])


def test_command_that_does_not_exist_leaves_a_created_container(rootless):
    done = rootless("run", "-d", "--name", "web", "--rootfs", "/", "/absent")
    assert (done.status, len(done.stdout)) == (127, 65)
    assert status_of(rootless, "web") == "created"
    started = rootless("start", "web")
    assert (started.status, started.stdout) == (1, "")
    assert started.stderr.splitlines()[-1] == "Error: failed to start containers: web"


def test_twenty_containers_started_at_once_by_five_processes(rootless):
    names = [f"web{number}" for number in range(20)]
    for name in names:
        rootless("create", "--name", name, "--rootfs", "/", "sleep", "1000").ok()
    starters = [rootless.popen("start", *names[number::5]) for number in range(5)]
    for starter in starters:
        out, err = starter.communicate(timeout=120)
        assert (starter.returncode, err) == (0, b"")
        assert len(out.split()) == 4
    assert len(rootless("ps", "-q").ok().stdout.split()) == 20
    rootless("rm", "-f", *names).ok()


def test_container_started_by_two_commands_at_once_is_started_once(rootless):
    rootless("create", "--name", "web", *FOREVER).ok()
    starters = [rootless.popen("start", "web") for _ in range(4)]
    assert [starter.wait(120) for starter in starters] == [0] * 4
    assert status_of(rootless, "web") == "running"
    assert json.loads(rootless("inspect", "web").ok().stdout)[0]["RestartCount"] == 0


def test_kill_ends_the_restarts_of_a_container_that_waits_for_the_next(rootless):
    """Whatever the signal is, as with Docker."""
    rootless("run", "-d", "--name", "web", "--restart", "always", "--rootfs", "/", "false").ok()

    def has_waited():
        shown = state(rootless, "web")
        return (
            shown["Restarting"]
            and json.loads(rootless("inspect", "web").stdout)[0]["RestartCount"] > 4
        )

    wait_until(has_waited)
    assert rootless("kill", "-s", "USR1", "web").ok().stdout == "web\n"
    assert status_of(rootless, "web") == "exited"
