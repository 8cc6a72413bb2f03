"""-v, --mount, --tmpfs, --device, --shm-size."""

import pytest

from rootless.cli.flags.mount import parse_mount
from rootless.cli.flags.mounts import parse_device, parse_tmpfs
from rootless.cli.flags.sizes import parse_size
from rootless.cli.flags.volume import parse_volume
from rootless.errors import UsageError
from rootless.spec.check_options import check_options
from rootless.spec.options import Bind, Device, ImageMount, Tmpfs, Volume
from tests.support.run_flags import flags_to_options


def cwd():
    return "/cwd"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a:/b", Bind("/a", "/b", create=True)),
        ("/a:/b:ro", Bind("/a", "/b", read_only=True, create=True)),
        ("/a:/b:rw,z", Bind("/a", "/b", create=True)),
        ("/a:/b:ro,Z,rslave", Bind("/a", "/b", True, "rslave", create=True)),
        ("./a:/b/../c/", Bind("/cwd/a", "/c", create=True)),
        (".:/b", Bind("/cwd", "/b", create=True)),
        ("/a:/b:O", Bind("/a", "/b", create=True, overlay=True)),
        ("/a:/b:U,ro", Bind("/a", "/b", True, create=True, chown=True)),
        ("/a:/b:idmap", Bind("/a", "/b", create=True, idmap=True)),
        ("name:/b:U", Volume("name", "/b", mode="U", chown=True)),
        ("name:/b:O", Volume("name", "/b", mode="O", overlay=True)),
        ("/b", Volume("", "/b")),
        ("name:/b/../c", Volume("name", "/c")),
        ("name:/b:ro,nocopy", Volume("name", "/b", True, True, mode="ro,nocopy")),
        ("name:/b:z", Volume("name", "/b", mode="z")),
        ("name:/b:noexec,z", Volume("name", "/b", mode="noexec,z", flags=("noexec",))),
        ("/a:/b:noexec,bind", Bind("/a", "/b", False, "rprivate", False, ("noexec",), True)),
    ],
)
def test_volume_is_read_as_docker_does(text, expected):
    assert parse_volume(text, cwd) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/a:b", "mount path must be absolute"),
        ("/a:/", "destination can't be '/'"),
        ("/a:/..", "destination can't be '/'"),
        ("/a:/b:ro:x", "invalid spec: /a:/b:ro:x: too many colons"),
        (":/b", "invalid spec: :/b: empty section between colons"),
        ("", "invalid empty volume spec"),
        ("/a:/b:weird", "invalid mode: weird"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("name:/b:z,Z", "invalid mode: z,Z"),
        ("name:/b:nocopy,nocopy", "invalid mode: nocopy,nocopy"),
        ("name:/b:exec,noexec", "invalid mode: exec,noexec"),
        ("/a:/b:dev,nodev", "invalid mode: dev,nodev"),
        ("name:/b:rshared", "field BindOptions must not be specified"),
        ("/a:/b:nocopy", "field VolumeOptions must not be specified"),
        ("name:b", "mount path must be absolute"),
        ("b", "mount path must be absolute"),
        ("/a:/b:O,ro", "can't use 'O' with other options"),
        ("name:/b:O,U", "can't use 'O' with other options"),
        ("/a:/b:U,idmap", "can't use 'U' with 'idmap'"),
        ("name:/b:idmap", "invalid mode: idmap"),
    ],
)
def test_volume_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_volume(text, cwd)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=bind,src=/a,dst=/b", Bind("/a", "/b")),
        ("type=bind,source=a,destination=/b,readonly", Bind("/cwd/a", "/b", True)),
        ("type=bind,source=/a,target=/b,ro=true", Bind("/a", "/b", True)),
        ("type=bind,source=/a,target=/b,readonly=0", Bind("/a", "/b")),
        ("type=bind,src=/a,dst=/b,bind-propagation=rshared", Bind("/a", "/b", False, "rshared")),
        (
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=0700",
            Tmpfs("/t", ("size=1048576", "mode=0700"), by_mount=True),
        ),
        ("type=tmpfs,dst=/t", Tmpfs("/t", by_mount=True)),
        ("dst=/b", Volume("", "/b", by_mount=True)),
        ("type=image,src=a:1,dst=/b", ImageMount("a:1", "/b")),
        ("type=image,src=a:1,dst=/b,image-subpath=c/d", ImageMount("a:1", "/b", "c/d")),
        ("type=bind,src=/a,dst=/b,idmap", Bind("/a", "/b", idmap=True)),
        ("type=bind,src=/a,dst=/b,U=true", Bind("/a", "/b", chown=True)),
        ("type=volume,src=v,dst=/b,ro", Volume("v", "/b", True, by_mount=True)),
        (
            "src=v,dst=/b,volume-nocopy,volume-subpath=a/b,volume-label=k=v,volume-label=l",
            Volume("v", "/b", False, True, "a/b", {"k": "v", "l": ""}, by_mount=True),
        ),
        (
            "src=v,dst=/b,volume-driver=local,volume-opt=type=none,volume-opt=o=bind",
            Volume("v", "/b", driver_options={"type": "none", "o": "bind"}, by_mount=True),
        ),
        (
            "type=bind,src=/a,dst=/b,ro,bind-recursive=writable",
            Bind("/a", "/b", True, read_only_below=False),
        ),
        ("type=bind,src=/a,dst=/b,bind-recursive=disabled", Bind("/a", "/b", recursive=False)),
    ],
)
def test_mount_is_read_as_docker_does(text, expected):
    assert parse_mount(text, cwd) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=bind,src=/a", "target is required"),
        ("type=bind,dst=/b", "field Source must not be empty"),
        ("type=volume,src=a", "target is required"),
        ("type=nope,dst=/b", 'invalid mount config for type "nope": mount type unknown'),
        ("src=v,dst=/b,volume-nocopy=z", "invalid value for volume-nocopy: z"),
        ("src=v,dst=/b,volume-driver=nope", 'volume plugin nope: plugin "nope" not found'),
        ("src=v,dst=/b,volume-subpath=../a", "subpath must be a relative path within the volume"),
        ("src=v,dst=/b,volume-subpath=/a", "subpath must be a relative path within the volume"),
        ("dst=/b,volume-subpath=a", "must not set Subpath when using anonymous volumes"),
        ("src=v,dst=/b,bind-propagation=shared", "cannot mix 'bind-"),
        ("src=v,dst=/b,tmpfs-size=1", "cannot mix 'tmpfs-"),
        ("type=bind,src=/a,dst=/b,volume-nocopy", "cannot mix 'volume-"),
        (
            "type=bind,src=/a,dst=/b,bind-recursive=x",
            'must be "enabled", "disabled", "writable", or',
        ),
        ("type=bind,src=/a,dst=/b,bind-recursive=readonly", "requires 'readonly' to be specified"),
        ("type=image,dst=/b", 'for type "image": field Source must not be empty'),
        ("type=image,src=a,dst=/b,image-subpath=/c", "subpath must be a relative path within"),
        ("type=image,src=a,dst=/b,bind-propagation=shared", "cannot mix 'bind-"),
        ("type=bind,src=/a,dst=/b,image-subpath=x", "cannot mix 'image-"),
        ("type=tmpfs,dst=/b,idmap", "cannot mix 'idmap' with mount type 'tmpfs'"),
        ("type=tmpfs,dst=/b,tmpfs-size=x", "invalid value for tmpfs-size: x"),
        ("type=bind,src=/a,dst=/b,wrong=1", "unexpected key 'wrong'"),
        ("type=bind,src,dst=/b", "must be a key=value pair"),
        ("type=bind,src=/a,dst=/b,readonly=maybe", "invalid value for readonly: maybe"),
        ("type=bind,src=/a,dst=/b,tmpfs-size=1", "cannot mix 'tmpfs-"),
        ("type=tmpfs,dst=/b,bind-propagation=rprivate", "cannot mix 'bind-"),
        ("type=tmpfs,dst=/b,src=/a", "field Source must not be specified"),
        ("type=tmpfs,dst=/b,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
        ("type=bind,src=/a,dst=/b,bind-propagation=odd", "invalid propagation mode: odd"),
    ],
)
def test_mount_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_mount(text, cwd)


def test_tmpfs_is_read_as_docker_does():
    assert parse_tmpfs("/run:exec,size=10%") == Tmpfs("/run", ("exec", "size=10%"))


@pytest.mark.parametrize("text", ["run", "/run:bogus", "/run:bogus=1", "/run:size=x", "/"])
def test_tmpfs_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError):
        parse_tmpfs(text)


def test_mounts_on_one_place_are_refused():
    with pytest.raises(UsageError, match="Duplicate mount point: /b"):
        check_options(flags_to_options(volume=("/a:/b",), tmpfs=("/b/",)))


def test_relative_source_is_not_resolved_where_none_is_given():
    def gone():
        raise FileNotFoundError

    assert parse_volume("/a:/b", gone) == Bind("/a", "/b", create=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('type=bind,"source=/a,b",target=/c', Bind("/a,b", "/c")),
        ('"type=bind","source=/a ""b""","target=/c"', Bind('/a "b"', "/c")),
    ],
)
def test_mount_is_a_line_of_csv(text, expected):
    assert parse_mount(text, cwd) == expected


@pytest.mark.parametrize(
    "text", ['type=bind,source="/a",target=/b', 'type=bind,"source=/a', '"a"b']
)
def test_mount_with_a_misplaced_quote_is_refused(text):
    with pytest.raises(UsageError, match='"'):
        parse_mount(text, cwd)


def test_tmpfs_options_are_a_line_of_csv():
    assert parse_tmpfs('/t:"mode=700",size=1m').options[-2:] == ("mode=700", "size=1m")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/dev/fuse", Device("/dev/fuse", "/dev/fuse")),
        ("/dev/fuse:rw", Device("/dev/fuse", "/dev/fuse", "rw")),
        ("/dev/fuse:/dev/x", Device("/dev/fuse", "/dev/x")),
        ("/dev/fuse:/dev/x:r", Device("/dev/fuse", "/dev/x", "r")),
    ],
)
def test_device_is_read_as_docker_does(text, expected):
    assert parse_device(text) == expected


@pytest.mark.parametrize("text", ["dev", "/dev/a:/dev/b:q", "/dev/a:/dev/b:rr", "/a:/b:r:w", ""])
def test_device_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError):
        parse_device(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1k", 1024),
        ("64m", 64 << 20),
        ("1.5G", 3 << 29),
        ("2MiB", 2 << 20),
        ("3kb", 3072),
        (".5k", 512),
    ],
)
def test_size_is_read_in_powers_of_1024(text, size):
    assert parse_size(text, "--shm-size") == size


@pytest.mark.parametrize("text", ["", "m", "-1", "1x", "1 2", "0x10", "1..5m"])
def test_size_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError, match="--shm-size"):
        parse_size(text, "--shm-size")
