"""`inspect` of a container: docker's keys, and what was asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.cli.inspect_types import as_struct
from rootless.containers.inspection.document import container_document
from rootless.containers.options_document import NAME, decode_options, encode_options
from rootless.containers.record import ContainerRecord
from rootless.errors import InvalidDocumentError
from rootless.gotemplate import parse
from rootless.runtime.idmap import UserNamespaceMode, make_maps
from rootless.spec.host import HostFacts
from rootless.spec.options import ContainerOptions
from rootless.spec.runtime_spec import make_spec
from tests.support.run_flags import flags_to_options

MAPS = make_maps(UserNamespaceMode(), uid=7, gid=7, subuids=(), subgids=())

# The keys of `docker inspect` of 28.5, of a container without an option.
DOCKER = {
    "": """Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name
    RestartCount Driver Platform MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig
    GraphDriver Mounts Config NetworkSettings""",
    "State": """Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt
    FinishedAt""",
    "HostConfig": """Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove
    VolumeDriver VolumesFrom ConsoleSize CapAdd CapDrop CgroupnsMode Dns DnsOptions DnsSearch
    ExtraHosts GroupAdd IpcMode Cgroup Links OomScoreAdj PidMode Privileged PublishAllPorts
    ReadonlyRootfs SecurityOpt UTSMode UsernsMode ShmSize Runtime Isolation CpuShares Memory NanoCpus
    CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps
    BlkioDeviceReadIOps BlkioDeviceWriteIOps CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime
    CpusetCpus CpusetMems Devices DeviceCgroupRules DeviceRequests MemoryReservation MemorySwap
    MemorySwappiness OomKillDisable PidsLimit Ulimits CpuCount CpuPercent IOMaximumIOps
    IOMaximumBandwidth MaskedPaths ReadonlyPaths""",
    "Config": """Hostname Domainname User AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce
    Env Cmd Image Volumes WorkingDir Entrypoint OnBuild Labels""",
    "NetworkSettings": """Bridge SandboxID SandboxKey Ports HairpinMode LinkLocalIPv6Address
    LinkLocalIPv6PrefixLen SecondaryIPAddresses SecondaryIPv6Addresses EndpointID Gateway
    GlobalIPv6Address GlobalIPv6PrefixLen IPAddress IPPrefixLen IPv6Gateway MacAddress Networks""",
}


@pytest.fixture
def document_of(tmp_path):
    def make(image=None, **flags):
        flags.setdefault("command", ("cmd",))
        options = flags_to_options(**flags)
        spec = make_spec(
            options,
            container_id="f" * 64,
            rootfs="rootfs",
            image_config=image,
            host=HostFacts(),
            id_maps=MAPS,
            files={},
            seccomp=None,
        )
        (tmp_path / "config.json").write_text(json.dumps(spec))
        (tmp_path / NAME).write_bytes(encode_options(options))
        record = ContainerRecord("f" * 64, "box", "2026-01-02T03:04:05Z", labels=options.labels)
        return container_document(
            record, tmp_path, image or {}, lambda name: f"/volumes/{name}/_data"
        )

    return make


def test_every_key_of_docker_is_there_in_its_order(document_of):
    document = document_of()
    for name, keys in DOCKER.items():
        assert list(document[name] if name else document) == keys.split(), name


def test_mounts_are_what_was_asked_for(document_of):
    document = document_of(
        volume=("/tmp:/w:ro", "/usr:/u", "/a:/b:rslave,noexec"),
        mount=("type=bind,src=/tmp,dst=/m,readonly", "type=tmpfs,dst=/t2,tmpfs-size=1m"),
        tmpfs=("/t:size=1m", "/t3"),
    )
    host = document["HostConfig"]
    assert host["Binds"] == ["/tmp:/w:ro", "/usr:/u", "/a:/b:rslave,noexec"]
    assert host["Tmpfs"] == {"/t": "size=1m", "/t3": ""}
    assert host["Mounts"] == [
        {"Type": "bind", "Source": "/tmp", "Target": "/m", "ReadOnly": True},
        {"Type": "tmpfs", "Target": "/t2", "TmpfsOptions": {"SizeBytes": 1 << 20}},
    ]
    shown = {each["Destination"]: each for each in document["Mounts"]}
    assert list(shown) == ["/w", "/u", "/b", "/m", "/t2"]
    assert shown["/w"] == {
        "Type": "bind",
        "Source": "/tmp",
        "Destination": "/w",
        "Mode": "ro",
        "RW": False,
        "Propagation": "rprivate",
    }
    assert (shown["/u"]["Mode"], shown["/u"]["RW"]) == ("", True)
    assert shown["/m"]["RW"] is False
    assert shown["/t2"]["Type"] == "tmpfs"


def test_host_config_is_what_was_asked_for(document_of):
    host = document_of(
        add_host=("a:1.2.3.4",),
        annotation=("q=r",),
        cap_add=("NET_ADMIN",),
        cap_drop=("MKNOD",),
        cpus="0.5",
        device=("/dev/fuse",),
        dns=("1.1.1.1",),
        memory="64m",
        pids_limit=5,
        security_opt=("no-new-privileges",),
        shm_size="1m",
        init=True,
        ulimit=("core=10:20",),
        userns="keep-id:uid=5,gid=6",
        device_read_bps=("/dev/sda:1m",),
    )["HostConfig"]
    expected = {
        "Annotations": {"q": "r"},
        "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1 << 20}],
        "CapAdd": ["CAP_NET_ADMIN"],
        "CapDrop": ["CAP_MKNOD"],
        "Devices": [
            {
                "PathOnHost": "/dev/fuse",
                "PathInContainer": "/dev/fuse",
                "CgroupPermissions": "rwm",
            }
        ],
        "Dns": ["1.1.1.1"],
        "ExtraHosts": ["a:1.2.3.4"],
        "Init": True,
        "Memory": 64 << 20,
        "MemorySwap": 128 << 20,
        "NanoCpus": 500_000_000,
        "PidsLimit": 5,
        "SecurityOpt": ["no-new-privileges"],
        "ShmSize": 1 << 20,
        "Ulimits": [{"Name": "core", "Hard": 20, "Soft": 10}],
        "UsernsMode": "keep-id:uid=5,gid=6",
    }
    assert {name: host[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("flags", "added", "dropped"),
    [
        ({}, None, None),
        ({"cap_add": ("ALL",)}, ["ALL"], None),
        ({"cap_drop": ("ALL",)}, None, ["ALL"]),
        ({"cap_drop": ("ALL",), "cap_add": ("SYS_TIME",)}, ["CAP_SYS_TIME"], ["ALL"]),
        ({"privileged": True}, None, None),
    ],
)
def test_capabilities_are_what_was_added_and_dropped(document_of, flags, added, dropped):
    host = document_of(**flags)["HostConfig"]
    assert (host["CapAdd"], host["CapDrop"]) == (added, dropped)


def test_config_has_only_variables_that_were_given(document_of):
    image = {"Env": ["A=image", "B=1"], "Cmd": ["x"], "Entrypoint": ["/e"], "WorkingDir": "/srv"}
    config = document_of(image, command=(), env=("A=user", "C=2"))["Config"]
    assert config["Env"] == ["A=user", "B=1", "C=2"]
    assert (config["Entrypoint"], config["Cmd"]) == (["/e"], ["x"])
    assert config["WorkingDir"] == "/srv"
    config = document_of(command=("c",), entrypoint="/n", user="1:2", stop_timeout=3)["Config"]
    assert (config["Env"], config["Entrypoint"], config["Cmd"]) == (None, ["/n"], ["c"])
    assert (config["User"], config["StopTimeout"]) == ("1:2", 3)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{if .State.Health}}h{{end}}", ""),
        ('{{index .Config.Labels "nosuch"}}', ""),
        ("{{.Config.Labels.nosuch}}", "<no value>"),
        ("{{.Config.ExposedPorts}}", "map[]"),
        ("{{.SizeRw}} {{json .SizeRw}}", "<nil> null"),
        ('{{"\\n"}}x', "\nx"),
        ("{{.Config.Volumes}} {{.Config.Entrypoint}} {{.HostConfig.CapAdd}}", "map[] [] []"),
        ("{{.HostConfig.PidsLimit}} {{.HostConfig.Init}}", "<nil> <nil>"),
        ("{{json .HostConfig.CapAdd}} {{json .Config.Volumes}}", "null null"),
        ("{{range .Mounts}}{{.Type}}{{end}}", ""),
        ("{{len .Config.Env}}", "0"),
        ("{{.ID}}", "f" * 64),
        ("{{.HostConfig.LogConfig.Config.x}}", "<no value>"),
    ],
)
def test_template_sees_the_struct_of_docker(document_of, template, expected):
    document = document_of()
    assert parse(template).render(as_struct(document)) == expected


def test_struct_as_json_is_the_document(document_of):
    document = document_of()
    assert json.loads(parse("{{json .}}").render(as_struct(document))) == document


OPTIONS = [
    {},
    {"tmpfs": ("/t:size=1m",), "mount": ("type=bind,src=/a,dst=/b",), "volume": ("/c:/d:ro",)},
    {"env": ("A", "B=1"), "label": ("a=b",), "platform": "linux/arm64", "pull": "never"},
    {"cap_add": ("ALL",), "security_opt": ("mask=/a:/b",), "userns": "keep-id"},
    {"device_read_bps": ("/dev/a:1m",), "memory": "1g", "ulimit": ("core=1",)},
    {
        "add_host": ("a:1.2.3.4",),
        "dns": ("1.1.1.1",),
        "detach_keys": "ctrl-x",
        "attach": ("stdin",),
    },
    {"publish": ("127.0.0.1:80:8/udp",), "expose": ("9",), "mac_address": "02:42:ac:11:00:09"},
    {"storage_driver": "overlay", "network": ("none",), "device": ("/dev/a:/dev/b:r",)},
    {"chown": "pretend"},
]


@pytest.mark.parametrize("flags", OPTIONS)
def test_options_come_back_from_their_document(flags):
    options = flags_to_options(command=("a", "b"), **flags)
    assert decode_options(encode_options(options), "x") == options


def test_document_of_a_later_version_is_read():
    data = b'{"later": 1, "command": ["a"]}'
    assert decode_options(data, "x") == ContainerOptions(command=("a",))


@given(st.binary(max_size=40) | st.sampled_from([b"[]", b'{"mounts":[{}]}', b'{"limits":{"x":1}}']))
def test_damaged_document_is_named(data):
    try:
        decode_options(data, "/x/options.json")
    except InvalidDocumentError as error:
        message = error.message
    else:
        message = "/x/options.json cannot be read"
    assert message.startswith("/x/options.json cannot be read")
