"""The grammar of mount options."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unionfs.options import IdMapping, OptionError, Options, escape, format_options, parse, unescape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Options()),
        ("lowerdir=/a", Options(lowerdirs=("/a",))),
        ("lowerdir=/a:/b,upperdir=/u,workdir=/w", Options(("/a", "/b"), "/u", "/w")),
        (r"lowerdir=/a\:b:/c\,d", Options(("/a:b", "/c,d"))),
        (r"lowerdir=/back\\slash", Options(("/back\\slash",))),
        (
            "uidmapping=0:1000:1:1:110000:65536",
            Options(uid_mappings=(IdMapping(0, 1000, 1), IdMapping(1, 110000, 65536))),
        ),
        ("ro,nosuid,nodev,rw", Options(nosuid=True, nodev=True)),
        ("fsync=0,volatile", Options(fsync=False, volatile=True)),
        ("noxattrs=1", Options(xattrs=False)),
        ("noxattrs=0", Options()),
        ("xattr_permissions=2", Options(xattr_permissions=2)),
        ("squash_to_uid=7,squash_to_gid=8", Options(squash_to_uid=7, squash_to_gid=8)),
        ('context="a:b,c",ro', Options(context="a:b,c", read_only=True)),
        ("threaded=0,clone_fd,max_idle_threads=3,fast_ino=1,defaults,x-any=1", Options()),
        ("lazy=1M", Options(lazy=1 << 20)),
        ("lazy=4096,lazy=off", Options(lazy=0)),
        ("size=5G,inodes=200k", Options(size=5 << 30, inodes=200_000)),
        ("size=off,inodes=0,bps=1t,iops=2m", Options(bps=1 << 40, iops=2_000_000)),
        ("redirect_dir=follow", Options()),
        ("redirect_dir=on", Options(redirect_dir="on")),
        ("lowerdir=:/a:/b:", Options(lowerdirs=("/a", "/b"))),
        ("uidmapping=:0:0:1", Options(uid_mappings=(IdMapping(0, 0, 1),))),
        ("uidmapping=", Options()),
        ("fsync=2,sync=0", Options(fsync=False)),
        (
            'lowerdir=/a:/b,private,,context="system_u:object_r:t:s0:c1,c2"',
            Options(("/a", "/b"), context="system_u:object_r:t:s0:c1,c2", unknown=("private",)),
        ),
        (
            "index=off,userxattr,metacopy=on,nonsense",
            Options(unknown=("index=off", "userxattr", "metacopy=on", "nonsense")),
        ),
        ("timeout=2.5,writeback=0", Options(timeout=2.5, writeback=False)),
        ("plugins=", Options()),
        ("upperdir=/a=b", Options(upperdir="/a=b")),
    ],
)
def test_parse_known_options_gives_their_value(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lowerdir+=/a", "list all lower directories in lowerdir=A:B"),
        ("datadir+=/a", "layers that hold only data of files are not supported"),
        ("redirect_dir=nofollow", "is on or off or follow, not 'nofollow'"),
        ("upperdir", "option 'upperdir' needs a value"),
        ("upperdir=", "option 'upperdir' needs a value"),
        ("lowerdir=/a::/b", "option 'lowerdir' names an empty directory"),
        ("ro=1", "option 'ro' takes no value"),
        ("fsync=maybe", "option 'fsync' is 0 or 1, not 'maybe'"),
        ("xattr_permissions=3", "option 'xattr_permissions' is 0 or 1 or 2, not '3'"),
        ("uidmapping=0:1", "option 'uidmapping' needs triples ID:MAPPED:LENGTH, not '0:1'"),
        ("uidmapping=0:x:1", "option 'uidmapping' needs a number, not 'x'"),
        ("squash_to_uid=4294967295", "needs an id below 4294967295, not 4294967295"),
        ("squash_to_uid=-1", "option 'squash_to_uid' needs a number, not '-1'"),
        ("timeout=nan", "option 'timeout' needs a number of seconds, not 'nan'"),
        ("plugins=a.so", "plug-ins of fuse-overlayfs cannot be loaded here"),
        ("session=other", "option 'session' is auto or device or pyfuse3, not 'other'"),
    ],
)
def test_parse_wrong_option_says_which_and_why(text, complaint):
    with pytest.raises(OptionError) as raised:
        parse(text)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


paths = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)
ids = st.integers(0, 0xFFFFFFFE)
mappings = st.lists(st.builds(IdMapping, ids, ids, ids), max_size=3).map(tuple)
all_options = st.builds(
    Options,
    lowerdirs=st.lists(paths, max_size=4).map(tuple),
    upperdir=st.none() | paths,
    workdir=st.none() | paths,
    uid_mappings=mappings,
    gid_mappings=mappings,
    squash_to_root=st.booleans(),
    squash_to_uid=st.none() | ids,
    squash_to_gid=st.none() | ids,
    static_nlink=st.booleans(),
    volatile=st.booleans(),
    fsync=st.booleans(),
    xattrs=st.booleans(),
    acl=st.booleans(),
    xattr_permissions=st.sampled_from([0, 1, 2]),
    ownership=st.sampled_from([None, "data", "real"]),
    writeback=st.sampled_from([None, True, False]),
    spin=st.booleans(),
    lazy=st.none() | st.integers(0, 1 << 40),
    size=st.none() | st.integers(1, 1 << 50),
    inodes=st.none() | st.integers(1, 1 << 32),
    bps=st.none() | st.integers(1, 1 << 40),
    iops=st.none() | st.integers(1, 1 << 32),
    timeout=st.none() | st.floats(0, 1e12),
    xino=st.sampled_from(["auto", "on", "off"]),
    redirect_dir=st.sampled_from(["on", "off"]),
    session=st.sampled_from(["auto", "device", "pyfuse3"]),
    context=st.none() | paths,
    read_only=st.booleans(),
    allow_other=st.booleans(),
    default_permissions=st.booleans(),
    fsname=st.none() | paths,
    subtype=st.none() | paths,
    max_read=st.none() | st.integers(0, 1 << 20),
    debug=st.booleans(),
    remount=st.booleans(),
    unknown=st.just(()),
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", None),
        ("ownership=real", None),
        ("xattr_permissions=2", None),
        ("ownership=data", 1 << 20),
        ("ownership=data,lazy=off", None),
        ("lazy=1k", 1024),
    ],
)
def test_files_are_copied_lazily_by_default_where_no_other_program_reads_the_upper(text, size):
    assert parse(text).lazy_size == size


@given(all_options)
def test_format_any_options_parses_back(options):
    assert parse(format_options(options)) == options


@given(st.text())
def test_unescape_escaped_text_gives_it_back(text):
    assert unescape(escape(text)) == text


@given(st.text(max_size=60))
def test_parse_any_text_gives_options_or_an_option_error(text):
    with contextlib.suppress(OptionError):
        parse(text)
