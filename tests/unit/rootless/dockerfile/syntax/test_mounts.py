"""The values of RUN --mount. Defaults and messages are BuildKit's."""

import pytest

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.instructions import MountFlag
from rootless.dockerfile.syntax.mounts import (
    BindMount,
    CacheMount,
    SecretMount,
    SshMount,
    TmpfsMount,
    mount_flag,
    parse_mount,
)
from tests.support.words import expand

VARIABLES = {"HOME": "/root", "ID": "7", "KIND": "cache"}


def read(text):
    return parse_mount(text, lambda word: expand(word, VARIABLES))


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("target=/a", BindMount("/a", "", "", read_only=True)),
        ("type=bind,src=b,dst=/a,from=image", BindMount("/a", "b", "image", read_only=True)),
        ("destination=a,rw", BindMount("a", "", "", read_only=False)),
        ("target=/a,readwrite=false", BindMount("/a", "", "", read_only=True)),
        ("target=/a,ro=0", BindMount("/a", "", "", read_only=False)),
        (
            "type=cache,target=/a/../b",
            CacheMount("/a/../b", "/b", "shared", "", "", False, None, None, None),
        ),
        (
            "type=cache,target=/a,id=x,sharing=LOCKED,from=one,source=s,ro,mode=0755,uid=$ID,gid=8",
            CacheMount("/a", "x", "locked", "one", "s", True, 0o755, 7, 8),
        ),
        (
            "TYPE=$KIND,target=$HOME/x",
            CacheMount("/root/x", "/root/x", "shared", "", "", False, None, None, None),
        ),
        ("type=tmpfs,target=/t", TmpfsMount("/t", 0)),
        ("type=tmpfs,target=/t,size=64m", TmpfsMount("/t", 64 << 20)),
        ("type=secret,id=x", SecretMount("x", "/run/secrets/x", "", False, 0o400, 0, 0)),
        ("type=secret,id=a/b", SecretMount("a/b", "/run/secrets/b", "", False, 0o400, 0, 0)),
        ("type=secret,target=/q/t", SecretMount("t", "/q/t", "", False, 0o400, 0, 0)),
        ("type=secret,src=x,required", SecretMount("x", "/run/secrets/x", "", True, 0o400, 0, 0)),
        ("type=secret,id=x,env=TOKEN", SecretMount("x", "", "TOKEN", False, 0o400, 0, 0)),
        (
            "type=secret,id=x,env=TOKEN,target=/t,mode=444,uid=1,gid=2,required=false",
            SecretMount("x", "/t", "TOKEN", False, 0o444, 1, 2),
        ),
        ("type=ssh", SshMount("default", "", False, 0o600, 0, 0)),
        ("type=ssh,id=k,target=/s,required=true,mode=0666", SshMount("k", "/s", True, 0o666, 0, 0)),
        (
            'type=cache,"target=/a,b"',
            CacheMount("/a,b", "/a,b", "shared", "", "", False, None, None, None),
        ),
    ],
)
def test_value_is_a_mount(text, mount):
    assert read(text) == mount


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=bnd", 'unsupported mount type "bnd" (did you mean bind?)'),
        ("type=other", 'unsupported mount type "other"'),
        ("trget=/x", "unexpected key 'trget' in 'trget=/x' (did you mean target?)"),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("target=/a,required", "unexpected key 'required' for mount type 'bind'"),
        ("type=cache,required=true", "unexpected key 'required' for mount type 'cache'"),
        ("target=/a,size=1", "unexpected key 'size' for mount type 'bind'"),
        ("type=tmpfs,size=x", "invalid value for size: x"),
        ("target=/a,ro=maybe", "invalid value for readonly: maybe"),
        ("type=cache,sharing=lock", 'unsupported sharing value "lock" (did you mean locked?)'),
        ("type=bind,sharing=locked", "invalid cache sharing set for bind mount"),
        ("type=cache,mode=9", "invalid value 9 for mode"),
        ("type=cache,uid=-1", "invalid value -1 for uid"),
        ("type=cache,gid=4294967296", "invalid value 4294967296 for gid"),
        ("target=/a,mode=0755", 'mode not allowed for "bind" type mounts'),
        ("type=tmpfs,uid=1", 'uid not allowed for "tmpfs" type mounts'),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,src=b", "both source and id can't be set"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
        ("type=secret,id=a,sharing=shared", "secret mount should not define sharing"),
        ("type=ssh,src=a", "ssh does not support source"),
        ('"type=cache', 'failed to parse csv mounts: extraneous or missing " in quoted field'),
    ],
)
def test_value_without_meaning_is_refused(text, message):
    with pytest.raises(DockerfileError) as caught:
        read(text)
    assert caught.value.message == message


def test_stage_and_target_are_known_before_variables_are():
    assert mount_flag("from=one,dst=$x,uid=$y") == MountFlag("from=one,dst=$x,uid=$y", "one", "$x")
    assert mount_flag("from=price$").from_stage == "price$"
    with pytest.raises(DockerfileError, match="doesn't support variable expansion"):
        mount_flag("from=$x")
