"""`events`: what the commands and the monitor write, in the order and the words of Docker 28.5."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.file_servers import open_files
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

FOREVER = ("--rootfs", "/", "sleep", "1000")


def log(rootless, *options, form="{{.Action}}", kinds=("container",)):
    """The events up to now, of these types."""
    types = [word for kind in kinds for word in ("-f", f"type={kind}")]
    result = rootless("events", "--until", "0s", "--format", form, *types, *options).ok()
    return result.stdout.splitlines()


def test_run_is_create_attach_start_die_and_destroy(rootless):
    rootless("run", "--rm", "--name", "a1", "--label", "x=y", "--rootfs", "/", "true").ok()
    assert log(rootless) == ["create", "attach", "start", "die", "destroy"]
    die = json.loads(log(rootless, "-f", "event=die", form="json")[0])
    assert list(die) == ["status", "id", "Type", "Action", "Actor", "scope", "time", "timeNano"]
    seconds = die["Actor"]["Attributes"]["execDuration"]
    assert die["Actor"]["Attributes"] == {
        "execDuration": seconds,
        "exitCode": "0",
        "name": "a1",
        "x": "y",
    }
    assert die["Actor"]["ID"] == die["id"]
    text = rootless("events", "--until", "0s", "-f", "event=die").ok().stdout
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) container die [0-9a-f]{64} "
        rf"\(execDuration={int(seconds)}, exitCode=0, name=a1, x=y\)\n",
        text,
    )


def test_life_of_a_container_in_the_background(rootless):
    rootless("create", "--name", "web", *FOREVER).ok()
    rootless("start", "web").ok()
    rootless("exec", "web", "sh", "-c", "exit 3")
    rootless("pause", "web").ok()
    rootless("unpause", "web").ok()
    rootless("rename", "web", "shop").ok()
    rootless("update", "--restart", "no", "shop").ok()
    rootless("restart", "-t", "0", "shop").ok()
    rootless("stop", "-t", "0", "shop").ok()
    rootless("restart", "shop").ok()
    rootless("kill", "shop").ok()
    rootless("wait", "shop").ok()
    rootless("rm", "shop").ok()
    stop = ["kill 9", "stop", "die"]
    assert log(rootless, form='{{.Action}} {{index .Actor.Attributes "signal"}}') == [
        f"{each} " if " 9" not in each else each
        for each in (
            "create",
            "start",
            "exec_create: sh -c exit 3",
            "exec_start: sh -c exit 3",
            "exec_die",
            "pause",
            "unpause",
            "rename",
            "update",
            *stop,
            "start",
            "restart",
            *stop,
            "start",
            "restart",
            "kill 9",
            "die",
            "destroy",
        )
    ]
    attributes = '{{index .Actor.Attributes "name"}} {{index .Actor.Attributes "oldName"}}'
    assert log(rootless, "-f", "event=rename", form=attributes) == ["shop /web"]
    statuses = log(rootless, "-f", "event=exec_die", form="{{.Actor.Attributes.exitCode}}")
    assert statuses == ["3"]
    assert log(rootless, "-f", "event=start", form="{{.Actor.Attributes.name}}") == [
        "web",
        "shop",
        "shop",
    ]


def test_container_that_cannot_start_has_no_start(rootless):
    assert rootless("run", "--name", "bad", "--rootfs", "/", "/nonexist").status == 127
    rootless("rm", "bad").ok()
    assert log(rootless) == ["create", "attach", "destroy"]


NETWORK_FORM = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}"


@pytest.mark.parametrize(
    ("network", "driver"), [("none", "null"), ("host", "host"), ("bridge", "bridge")]
)
def test_container_is_connected_to_its_network_before_it_starts(rootless, network, driver):
    run = ("run", "--rm", "--name", "a1", "--network", network, "--rootfs", "/", "true")
    rootless(*run).ok()
    words = "{{.Type}} {{.Action}}"
    assert log(rootless, form=words, kinds=("network", "container")) == [
        "container create",
        "network connect",
        "container attach",
        "container start",
        "network disconnect",
        "container die",
        "container destroy",
    ]
    assert log(rootless, form=NETWORK_FORM, kinds=("network",)) == [
        f"connect {network} {driver}",
        f"disconnect {network} {driver}",
    ]
    of_container = "{{.Actor.Attributes.container}}"
    (container,) = set(log(rootless, form=of_container, kinds=("network",)))
    assert log(rootless, form="{{.Actor.ID}}")[0] == container


def test_networks_show_what_connects_to_them(rootless):
    for name in ("one", "two"):
        rootless("network", "create", name).ok()
    rootless("create", "--name", "web", "--network", "one", *FOREVER).ok()
    rootless("network", "connect", "two", "web").ok()  # no event: it does not run
    rootless("start", "web").ok()
    rootless("network", "disconnect", "two", "web").ok()
    rootless("network", "connect", "two", "web").ok()
    rootless("restart", "-t", "0", "web").ok()
    rootless("rm", "-f", "web").ok()
    rootless("network", "rm", "one").ok()
    rootless("network", "prune", "-f").ok()
    form = "{{.Action}} {{.Actor.Attributes.name}}"
    start, end = ["connect one", "connect two"], ["disconnect one", "disconnect two"]
    assert log(rootless, form=form, kinds=("network",)) == [
        "create one",
        "create two",
        *start,
        "disconnect two",
        "connect two",
        *end,
        *start,
        *end,
        "destroy one",
        "destroy two",
        "prune <no value>",
    ]
    assert log(rootless, "-f", "network=one", form="{{.Action}}", kinds=()) == [
        "create",
        *("connect", "disconnect") * 2,
        "destroy",
    ]


def test_restart_policy_shows_each_run(rootless):
    rootless(
        "run", "-d", "--restart", "on-failure:1", "--name", "a5", "--rootfs", "/", "false"
    ).ok()
    wait_until(lambda: log(rootless).count("die") == 2)
    assert log(rootless) == ["create", "start", "die", "start", "die"]


def test_container_whose_monitor_was_killed_dies_at_the_next_command(rootless):
    container_id = rootless("run", "-d", "--name", "web", *FOREVER).ok().stdout.strip()
    path = rootless.data / "rootless/containers" / container_id / "container.json"
    monitor = json.loads(path.read_text())["monitor_pid"]
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{monitor}").exists())
    rootless("ps", "-a").ok()
    shown = log(rootless, form="{{.Type}} {{.Action}}", kinds=("network", "container"))
    assert shown[-2:] == ["network disconnect", "container die"]


@pytest.mark.parametrize(("options", "last"), [((), "die"), (("--rm",), "destroy")])
def test_stream_has_the_end_of_a_container_whose_monitor_is_killed(rootless, options, last):
    stream = rootless.popen("events", "--format", "{{.Action}}", "-f", "type=container")
    wait_until(lambda: is_watching(stream.pid), alive=stream)
    rootless("run", "-d", "--name", "web", *options, *FOREVER).ok()
    (path,) = (rootless.data / "rootless/containers").glob("?" * 64 + "/container.json")
    assert stream.stdout.readline() == b"create\n"
    assert stream.stdout.readline() == b"start\n"
    os.kill(json.loads(path.read_text())["monitor_pid"], signal.SIGKILL)
    assert stream.stdout.readline() == b"die\n"
    if last != "die":
        assert stream.stdout.readline() == last.encode() + b"\n"


def test_commands_at_the_same_time_write_one_event_of_a_killed_monitor(rootless):
    container_id = rootless("run", "-d", "--name", "web", *FOREVER).ok().stdout.strip()
    path = rootless.data / "rootless/containers" / container_id / "container.json"
    monitor = json.loads(path.read_text())["monitor_pid"]
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{monitor}").exists())
    commands = [rootless.popen("ps", "-a") for _ in range(6)]
    assert [command.wait(120) for command in commands] == [0] * 6
    assert log(rootless).count("die") == 1


def test_files_of_a_container(rootless, tmp_path, busybox_image):
    rootless("import", str(busybox_image), "box").ok()
    rootless("create", "--name", "web", "box", "true").ok()
    (tmp_path / "f").write_text("text")
    rootless("cp", str(tmp_path / "f"), "web:/tmp/").ok()
    rootless("cp", "web:/tmp/f", str(tmp_path / "g")).ok()
    rootless("export", "web", "-o", str(tmp_path / "tar")).ok()
    found = log(rootless, "-f", "type=container")
    assert found == ["create", "extract-to-dir", "archive-path", "export"]


def test_images(rootless, tmp_path, busybox_image):
    rootless("import", str(busybox_image), "evt:1").ok()
    rootless("tag", "evt:1", "evt:2").ok()
    rootless("rmi", "evt:2").ok()
    rootless("save", "evt:1", "-o", str(tmp_path / "saved.tar")).ok()
    rootless("rmi", "evt:1").ok()
    rootless("load", "-i", str(tmp_path / "saved.tar")).ok()
    rootless("run", "--name", "web", "evt:1", "true").ok()
    rootless("commit", "web", "evt:3").ok()
    assert log(rootless, form="{{.Type}} {{.Action}}", kinds=("image", "container")) == [
        "image tag",
        "image import",
        "image tag",
        "image untag",
        "image save",
        "image untag",
        "image delete",
        "image load",
        "container create",
        "container attach",
        "container start",
        "container die",
        "image create",
        "image tag",
        "container commit",
    ]
    assert log(rootless, "-f", "image=evt", "-f", "event=start", form="{{.From}}") == ["evt:1"]
    image = rootless("images", "-q", "--no-trunc", "evt:3").ok().stdout.strip()
    commit = "{{.Actor.Attributes.imageID}} {{.Actor.Attributes.imageRef}}"
    assert log(rootless, "-f", "event=commit", form=commit) == [f"{image} evt:3"]


def test_stream_shows_events_as_they_happen_until_it_is_interrupted(rootless):
    stream = rootless.popen("events", "--format", "{{.Action}} {{.Actor.Attributes.name}}")
    wait_until(lambda: is_watching(stream.pid), alive=stream)
    rootless("create", "--name", "web", *FOREVER).ok()
    assert stream.stdout.readline() == b"create web\n"
    rootless("rm", "web").ok()
    assert stream.stdout.readline() == b"destroy web\n"
    stream.send_signal(signal.SIGINT)
    assert stream.wait(120) == 130
    assert stream.stderr.read() == b""


def is_watching(pid):
    return "anon_inode:inotify" in open_files(pid)


def test_log_that_cannot_be_written_costs_the_events_and_no_container(rootless):
    rootless("run", "--rm", "--rootfs", "/", "true").ok()
    path = rootless.runtime / "rootless/events.jsonl"
    path.unlink()
    path.symlink_to("/dev/full")
    assert rootless("run", "--rm", "--rootfs", "/", "echo", "fine").ok().stdout == "fine\n"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("--since", "nonsense"), 1, 'failed to parse value as time or duration: "nonsense"'),
        (("--since", "100", "--until", "50"), 1, "`since` time (100) cannot be after `until`"),
        (("-f", "foo"), 125, 'invalid argument "foo" for "-f, --filter" flag'),
        (("--format", "{{"), 64, "Error parsing format: template: :1: unclosed action"),
        (("extra",), 1, "accepts no arguments"),
    ],
)
def test_mistakes(rootless, words, status, message):
    result = rootless("events", *words)
    assert (result.status, result.stdout) == (status, "")
    assert message in result.stderr


@pytest.mark.parametrize("form", ["{{.Nope}}", "{{.Actor.Nope}}"])
def test_field_that_no_event_has_is_an_error_before_there_is_one(rootless, form):
    result = rootless("events", "--format", form)
    assert result.status == 64
    assert re.match(
        r'rootless: Error parsing format: template: :1:\d: executing "" at <\.\S*Nope>: '
        r"can't evaluate field Nope in type \*?events\.(Message|Actor)\n",
        result.stderr,
    )
