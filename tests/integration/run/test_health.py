"""Health checks, carried out by the monitor: what `inspect`, `ps` and `events` show of them is what Docker
28.5 was seen to show.
"""

import json
import os
import time

import pytest

from tests.support.waiting import assert_stays, wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

FOREVER = ("--rootfs", "/", "sleep", "1000")


@pytest.fixture
def checked(rootless):
    """Runs a container named `web` with a health check that is due every 50 ms."""

    def run(command, *options, words=FOREVER):
        often = ("--health-interval", "50ms", "--health-cmd", command)
        return rootless("run", "-d", "--name", "web", *often, *options, *words).ok().stdout.strip()

    return run


def health(rootless):
    return json.loads(rootless("inspect", "-f", "{{json .State.Health}}", "web").ok().stdout)


def wait_for(rootless, status):
    wait_until(lambda: health(rootless)["Status"] == status)
    return health(rootless)


def shown(rootless, *options):
    return rootless("ps", "-a", "--format", "{{.Names}} {{.Status}}", *options).ok().stdout


def test_healthy_container(rootless, checked):
    checked("echo out; echo err >&2; pwd; id -u", "-w", "/tmp")
    found = wait_for(rootless, "healthy")
    first = found["Log"][0]
    assert list(first) == ["Start", "End", "ExitCode", "Output"]
    assert (first["ExitCode"], first["Output"]) == (0, "out\nerr\n/tmp\n0\n")
    assert first["Start"] < first["End"]
    assert found["FailingStreak"] == 0
    assert shown(rootless).endswith(" (healthy)\n")
    assert shown(rootless, "-f", "health=healthy").startswith("web ")
    assert shown(rootless, "-f", "health=none") == ""
    wait_until(lambda: len(health(rootless)["Log"]) == 5)
    assert_stays(lambda: len(health(rootless)["Log"]) == 5)


def test_container_is_starting_until_its_first_check(rootless):
    words = ("--health-cmd", "true", *FOREVER)
    rootless("run", "-d", "--name", "web", *words).ok()
    assert health(rootless) == {"Status": "starting", "FailingStreak": 0, "Log": []}
    assert shown(rootless).endswith(" (health: starting)\n")
    assert rootless("healthcheck", "run", "web").ok().stdout == ""
    assert health(rootless)["Status"] == "healthy"


def test_container_is_unhealthy_after_its_retries_and_healthy_again(rootless, checked, tmp_path):
    mark = tmp_path / "mark"
    checked(f"test -e {mark}", "--health-retries", "2", "-v", f"{tmp_path}:{tmp_path}")
    assert wait_for(rootless, "unhealthy")["FailingStreak"] >= 2
    assert shown(rootless).endswith(" (unhealthy)\n")
    mark.write_text("")
    assert wait_for(rootless, "healthy")["FailingStreak"] == 0
    events = rootless("events", "--until", "0s", "-f", "event=health_status").ok().stdout
    changes = [line.partition("health_status: ")[2].split()[0] for line in events.splitlines()]
    assert changes == ["unhealthy", "healthy"]


def test_end_of_the_container_is_unhealthy_and_a_start_begins_anew(rootless, checked):
    checked("true")
    wait_for(rootless, "healthy")
    rootless("stop", "-t", "0", "web").ok()
    assert health(rootless)["Status"] == "unhealthy"
    assert shown(rootless).startswith("web Exited (137) ")
    log = health(rootless)["Log"]
    assert_stays(lambda: health(rootless)["Log"] == log)
    rootless("start", "web").ok()
    wait_for(rootless, "healthy")


def test_check_that_takes_too_long_is_killed(rootless, checked):
    checked("echo begun; sleep 1000", "--health-timeout", "200ms", "--health-retries", "1")
    wait_for(rootless, "unhealthy")

    def begun():  # a busy machine may take longer to begin with it
        log = health(rootless)["Log"]
        return [each for each in log if each["Output"].endswith("begun\n")]

    found = wait_until(begun)[0]
    assert found["ExitCode"] == -1
    assert found["Output"] == "Health check exceeded timeout (200ms): begun\n"


def test_child_that_a_check_leaves_behind_keeps_no_check_waiting(rootless, checked):
    checked("sleep 1000 & echo done")
    assert wait_for(rootless, "healthy")["Log"][0]["Output"] == "done\n"


def test_start_period_forgives_failures(rootless, checked):
    options = ("--health-start-period", "1h", "--health-start-interval", "20ms")
    checked("exit 1", "--health-retries", "1", *options)
    wait_until(lambda: len(health(rootless)["Log"]) == 5)
    assert (health(rootless)["Status"], health(rootless)["FailingStreak"]) == ("starting", 0)


def test_output_is_cut_and_binary_safe(rootless, checked):
    checked(r"printf '\377\n'; head -c 100000 /dev/zero | tr '\0' x")
    output = wait_for(rootless, "healthy")["Log"][0]["Output"]
    assert output == "\ufffd\n" + "x" * 4094 + "..."


def test_command_that_cannot_be_executed_is_a_failure(rootless, busybox_image):
    rootless("import", "-c", 'HEALTHCHECK CMD ["/nonexist"]', str(busybox_image), "box").ok()
    rootless("run", "-d", "--name", "web", "box", "sleep", "1000").ok()
    assert rootless("healthcheck", "run", "web").status == 1
    (found,) = health(rootless)["Log"]
    assert found["ExitCode"] == -1
    assert 'exec: "/nonexist"' in found["Output"]


def test_health_check_of_the_image(rootless, busybox_image):
    change = 'HEALTHCHECK --interval=50ms --retries=7 CMD ["echo","hi there"]'
    rootless("import", "-c", change, str(busybox_image), "box").ok()
    rootless("run", "-d", "--name", "web", "box", "sleep", "1000").ok()
    assert wait_for(rootless, "healthy")["Log"][0]["Output"] == "hi there\n"
    config = "{{json .Config.Healthcheck}}"
    assert json.loads(rootless("inspect", "-f", config, "web").ok().stdout) == {
        "Test": ["CMD", "echo", "hi there"],
        "Interval": 50 * 10**6,
        "Retries": 7,
    }
    rootless("run", "-d", "--name", "none", "--no-healthcheck", "box", "sleep", "1000").ok()
    assert rootless("inspect", "-f", "{{json .State.Health}}", "none").ok().stdout == "null\n"
    form = "{{if .State.Health}}{{.State.Health.Status}}{{else}}no{{end}}"
    assert rootless("inspect", "-f", form, "web", "none").ok().stdout == "healthy\nno\n"


@pytest.mark.needs("subuid")
def test_check_sees_what_an_exec_sees(rootless, checked):
    options = ("--init", "-e", "A=b", "-u", "65534", "--cap-drop", "all")
    checked('echo "$A $(id -u) $(grep CapBnd /proc/self/status)"; ls /proc | grep -c 1', *options)
    wait_until(lambda: health(rootless)["Log"])
    output = health(rootless)["Log"][0]["Output"]
    assert output.startswith("b 65534 CapBnd:\t0000000000000000\n")


def test_paused_container_is_not_checked(rootless, checked):
    checked("true")
    wait_for(rootless, "healthy")
    rootless("pause", "web").ok()
    log = health(rootless)["Log"]
    assert_stays(lambda: health(rootless)["Log"] == log)
    assert "(Paused)" in shown(rootless)
    assert rootless("healthcheck", "run", "web").status == 125
    rootless("unpause", "web").ok()
    wait_until(lambda: health(rootless)["Log"] != log)


@pytest.mark.parametrize(
    ("action", "policy", "status"),
    [("kill", "no", "exited"), ("stop", "always", "exited"), ("kill", "always", "restarted")],
)
def test_action_on_an_unhealthy_container(rootless, checked, action, policy, status):
    options = ("--health-retries", "1", "--health-on-failure", action, "--restart", policy)
    checked("exit 1", *options)

    def actions():
        return rootless("events", "--until", "0s", "--format", "{{.Action}}").ok().stdout

    if status == "restarted":
        wait_until(lambda: actions().count("start\n") >= 2)
    else:
        wait_until(lambda: shown(rootless).startswith("web Exited (137)"))
        wait_until(lambda: actions().count("\ndie\n") == 1)  # it is in the record before


def test_unhealthy_container_is_started_again(rootless, checked, tmp_path):
    script = f"echo x >>{tmp_path}/runs; exec sleep 1000"
    words = ("--rootfs", "/", "sh", "-c", script)
    options = ("-v", f"{tmp_path}:{tmp_path}", "--health-on-failure", "restart")
    checked(f"test $(wc -l <{tmp_path}/runs) = 2", "--health-retries", "1", *options, words=words)
    wait_for(rootless, "healthy")
    assert (tmp_path / "runs").read_text() == "x\nx\n"


def test_checks_keep_the_monitor_from_nothing(rootless, checked):
    checked("sleep 1000", "--health-timeout", "1h")
    wait_until(lambda: b"exec_start: /bin/sh -c sleep 1000" in log_of(rootless))
    begin = time.monotonic()
    assert rootless("exec", "web", "echo", "fine").ok().stdout == "fine\n"
    rootless("rm", "-f", "web").ok()
    assert time.monotonic() - begin < 60
    assert rootless("ps", "-aq").ok().stdout == ""


def log_of(rootless):
    return (rootless.runtime / "rootless/events.jsonl").read_bytes()


def test_killed_monitor_leaves_an_unhealthy_container(rootless, checked):
    container_id = checked("true")
    wait_for(rootless, "healthy")
    path = rootless.data / "rootless/containers" / container_id / "container.json"
    os.kill(json.loads(path.read_text())["monitor_pid"], 9)
    wait_until(lambda: shown(rootless).startswith("web Exited (137)"))
    assert health(rootless)["Status"] == "unhealthy"


def test_damaged_results_are_no_results(rootless, checked):
    container_id = checked("true")
    wait_for(rootless, "healthy")
    rootless("stop", "-t", "0", "web").ok()
    (rootless.data / "rootless/containers" / container_id / "health.json").write_text("{")
    assert health(rootless) == {"Status": "unhealthy", "FailingStreak": 0, "Log": []}
    rootless("start", "web").ok()
    wait_for(rootless, "healthy")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("none", "has no defined healthcheck"),
        ("created", "is not running"),
        ("missing", "No such container: web"),
    ],
)
def test_healthcheck_run_of_what_cannot_be_checked(rootless, state, message):
    if state == "created":
        rootless("create", "--name", "web", "--health-cmd", "true", *FOREVER).ok()
    elif state == "none":
        rootless("run", "-d", "--name", "web", *FOREVER).ok()
    result = rootless("healthcheck", "run", "web")
    assert (result.status, result.stdout) == (125, "")
    assert message in result.stderr


def test_startup_check_comes_before_the_others_until_it_has_succeeded(rootless, checked, tmp_path):
    mark = tmp_path / "mark"
    startup = (
        "--health-startup-cmd",
        f"echo startup; test -e {mark}",
        "--health-startup-success",
        "2",
    )
    often = ("--health-startup-interval", "20ms", "-v", f"{tmp_path}:{tmp_path}")
    checked("echo main", *startup, *often)
    wait_until(lambda: len(health(rootless)["Log"]) == 5)
    assert {each["Output"] for each in health(rootless)["Log"]} == {"startup\n"}
    assert (health(rootless)["Status"], health(rootless)["FailingStreak"]) == ("starting", 0)
    mark.write_text("")
    wait_for(rootless, "healthy")
    wait_until(lambda: health(rootless)["Log"][-1]["Output"] == "main\n")
    shown = rootless("inspect", "-f", "{{json .Config.StartupHealthCheck}}", "web").ok().stdout
    assert json.loads(shown)["Interval"] == 20 * 10**6
    assert json.loads(shown)["Successes"] == 2


def test_startup_check_that_fails_too_often_restarts_the_container(rootless, checked):
    startup = ("--health-startup-cmd", "false", "--health-startup-retries", "2")
    checked("true", *startup, "--health-startup-interval", "20ms", "--stop-timeout", "0")
    wait_until(lambda: rootless("events", "--until", "0s").ok().stdout.count("container start") > 2)
    wait_until(lambda: health(rootless)["Status"] == "starting")


def test_results_are_kept_up_to_the_limits_of_the_options(rootless, checked):
    checked("printf %0100d 1", "--health-max-log-count", "7", "--health-max-log-size", "10")
    wait_until(lambda: len(health(rootless)["Log"]) == 7)
    assert_stays(lambda: len(health(rootless)["Log"]) == 7)
    assert health(rootless)["Log"][0]["Output"] == "0" * 10


def test_failing_streak_begins_anew_with_a_restart(rootless):
    checked = ("--health-cmd", "false", "--health-interval", "disable", "--health-retries", "1")
    rootless("run", "-d", "--name", "web", *checked, *FOREVER).ok()
    assert rootless("healthcheck", "run", "web").status == 1
    assert health(rootless)["FailingStreak"] == 1
    rootless("restart", "-t", "0", "web").ok()
    assert (health(rootless)["Status"], health(rootless)["FailingStreak"]) == ("starting", 0)
    assert len(health(rootless)["Log"]) == 1


def test_results_are_written_to_the_directory_of_the_option_too(rootless, tmp_path):
    checked = ("--health-cmd", "echo good", "--health-interval", "disable")
    where = ("--health-log-destination", str(tmp_path))
    container = rootless("run", "-d", "--name", "web", *checked, *where, *FOREVER).ok().stdout
    rootless("healthcheck", "run", "web").ok()
    (path,) = tmp_path.iterdir()
    assert path.name == f"{container.strip()}-healthcheck.log"
    assert json.loads(path.read_text()) == health(rootless)
    assert health(rootless)["Log"][0]["Output"] == "good\n"
    field = rootless("inspect", "-f", "{{.Config.HealthLogDestination}}", "web").ok().stdout
    assert field == f"{tmp_path}\n"


def test_results_are_events_with_the_events_logger(rootless):
    checked = ("--health-cmd", "echo good", "--health-interval", "disable")
    where = ("--health-log-destination", "events_logger")
    rootless("run", "-d", "--name", "web", *checked, *where, *FOREVER).ok()
    for _ in range(2):
        rootless("healthcheck", "run", "web").ok()
    words = ("--until", "0s", "--filter", "event=health_status", "--format", "{{json .Actor}}")
    actors = [json.loads(line) for line in rootless("events", *words).ok().stdout.splitlines()]
    logs = [json.loads(each["Attributes"]["health_log"]) for each in actors]
    assert logs == health(rootless)["Log"]
    assert [each["Attributes"]["health_failing_streak"] for each in actors] == ["0", "0"]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("/nosuch", "destination error: stat /nosuch: no such file or directory"),
        ("", "destination error: stat : no such file or directory"),
        ("/etc/passwd", "destination must be directory"),
    ],
)
def test_destination_that_is_no_directory_is_refused(rootless, where, message):
    result = rootless("run", "--health-cmd", "true", "--health-log-destination", where, *FOREVER)
    assert (result.status, result.stdout) == (125, "")
    assert result.stderr == f"rootless: HealthCheck Log '{where}' {message}\n"
