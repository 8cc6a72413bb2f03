"""--format and -f of every list and document: json, Go templates and tables, as docker prints
them."""

import json

import pytest

from tests.support.images import docker_archive, tar

BASE, TOP = tar(motd=b"hello\n"), tar(motd=b"bye\n")


@pytest.fixture
def stored(rootless, tmp_path):
    config = {"Labels": {"a.b": "value"}, "Env": ["A=1", "B=2"], "ExposedPorts": {"80/tcp": {}}}
    docker_archive(tmp_path / "one.tar", [BASE, TOP], tags=["one:1"], config=config)
    rootless("load", "-i", tmp_path / "one.tar").ok()
    return rootless


@pytest.fixture
def ran(stored, busybox_image):
    stored("import", busybox_image, "box:1").ok()
    options = ["--name", "seen", "-l", "mine=1", "-e", "C=3"]
    stored("run", *options, "box:1", "sh", "-c", "exit 3")
    return stored


IMAGE_TEMPLATES = [
    ("{{.RepoTags}}", "[one:1]"),
    ("{{index .RepoTags 0}}", "one:1"),
    ("{{json .Config.Labels}}", '{"a.b":"value"}'),
    ('{{index .Config.Labels "a.b"}}', "value"),
    ("{{range .Config.Env}}{{.}} {{end}}", "A=1 B=2 "),
    ("{{.Config.User | len}}", "0"),
    ("{{range $port, $_ := .Config.ExposedPorts}}{{$port}}{{end}}", "80/tcp"),
    ("{{len .RootFS.Layers}}", "2"),
    ("{{.Os}}/{{.Architecture}}", "linux/amd64"),
    ('{{join .RepoTags ","}}', "one:1"),
]


def test_inspect_of_an_image_by_a_template(stored):
    for template, shown in IMAGE_TEMPLATES:
        assert stored("inspect", "-f", template, "one:1").ok().stdout == f"{shown}\n"
    assert stored("image", "inspect", "--format", "{{.Os}}", "one:1").ok().stdout == "linux\n"


def test_template_that_does_not_fit_is_said_as_docker_says_it(stored):
    unknown = stored("inspect", "-f", "{{.Nothing}}", "one:1")
    assert unknown.status == 1
    assert unknown.stderr == (
        'rootless: template parsing error: template: :1:2: executing "" at <.Nothing>: '
        'map has no entry for key "Nothing"\n'
    )
    malformed = stored("inspect", "-f", "{{.Nothing", "one:1")
    assert malformed.status == 64
    assert "unclosed action" in malformed.stderr
    column = stored("images", "--format", "{{.Nothing}}")
    assert column.status == 1
    assert "can't evaluate field Nothing in type *formatter.imageContext" in column.stderr


def test_what_is_found_is_printed_beside_what_is_not(stored):
    result = stored("inspect", "-f", "{{.Os}}", "one:1", "nowhere", "one:1")
    assert (result.status, result.stdout) == (1, "linux\nlinux\n")
    assert result.stderr == "Error: No such object: nowhere\n"


def test_images_by_template_table_and_json(stored):
    assert stored("images", "--format", "{{.Repository}}:{{.Tag}}").ok().stdout == "one:1\n"
    lines = stored("images", "--format", r"table {{.Tag}}\t{{.Repository}}").ok().stdout
    assert lines == "TAG       REPOSITORY\n1         one\n"
    (row,) = map(json.loads, stored("images", "--format", "json").ok().stdout.splitlines())
    assert (row["Repository"], row["Tag"]) == ("one", "1")
    assert stored("images", "--format", "{{json .ID}}").ok().stdout.strip('"\n') in row["ID"]


def test_images_by_age(stored):
    assert stored("images", "-q", "-f", "until=1h").ok().stdout != ""
    assert stored("images", "-q", "--filter", "until=2001-01-01").ok().stdout != ""
    refused = stored("images", "--filter", "until=yesterday")
    assert 'failed to parse value as time or duration: "yesterday"' in refused.stderr


def test_history_by_template_and_for_programs(stored):
    assert stored("history", "--format", "{{.CreatedBy}}", "one:1").ok().stdout == (
        "layer 1\nlayer 0\n"
    )
    sizes = stored("history", "--human=false", "--format", "{{.Size}}", "one:1").ok().stdout
    assert sizes.split() == [str(len(TOP)), str(len(BASE))]
    assert stored("history", "-q", "one:1").ok().stdout.split()[1] == "<missing>"


def test_version_and_info_by_template(stored):
    assert stored("info", "-f", "{{.Images}} {{.Driver}}").ok().stdout == "1 unionfs\n"
    client, server = (
        stored("version", "-f", f"{{{{.{side}.Version}}}}").ok().stdout
        for side in ("Client", "Server")
    )
    assert client == server != "\n"


@pytest.mark.needs("userns", "fuse", "busybox")
def test_containers_by_template_and_filter(ran):
    assert ran("ps", "-a", "--format", "{{.Names}} {{.Image}} {{.State}}").ok().stdout == (
        "seen box:1 exited\n"
    )
    assert ran("ps", "-a", "--format", '{{.Label "mine"}}').ok().stdout == "1\n"
    table = ran("ps", "-l", "--format", 'table {{.Names}}\t{{.Label "mine"}}').ok().stdout
    assert table == "NAMES     mine\nseen      1\n"
    assert ran("ps", "-q").ok().stdout == ""
    found = {
        "name=se": True,
        "name=^seen$": True,
        "name=other": False,
        "label=mine": True,
        "label=mine=2": False,
        "status=exited": True,
        "status=running": False,
        "exited=3": True,
        "exited=0": False,
        "ancestor=box:1": True,
        "ancestor=one:1": False,
        "since=seen": False,
    }
    for text, expected in found.items():
        shown = ran("ps", "-aq", "--filter", text).ok().stdout
        assert (shown != "") == expected, text
    assert ran("ps", "-aq", "-f", "name=other", "-f", "name=seen").ok().stdout != ""
    assert ran("ps", "-q", "-n", "5").ok().stdout != ""
    refused = ran("ps", "-f", "colour=red")
    assert (refused.status, "invalid filter 'colour'" in refused.stderr) == (1, True)


CONTAINER_TEMPLATES = [
    ("{{.State.ExitCode}} {{.State.Running}} {{.State.Status}}", "3 false exited"),
    ("{{.Name}} {{.Config.Image}}", "/seen box:1"),
    ("{{json .Config.Cmd}} {{.Config.Entrypoint}}", '["sh","-c","exit 3"] []'),
    ("{{.HostConfig.NetworkMode}}", "host"),
    ("{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}}", "no 0"),
    ("{{range .Mounts}}{{.Source}}{{end}}", ""),
    ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", ""),
    ("{{.NetworkSettings.IPAddress}}", ""),
    ("{{with .State}}{{if eq .ExitCode 3}}three{{end}}{{end}}", "three"),
]


@pytest.mark.needs("userns", "fuse", "busybox")
def test_inspect_of_a_container_by_a_template(ran):
    for template, shown in CONTAINER_TEMPLATES:
        assert ran("inspect", "-f", template, "seen").ok().stdout == f"{shown}\n"
