"""The FUSE codec against the layouts of include/uapi/linux/fuse.h, restated here field by field."""

import stat
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unionfs.model import Attributes, StatFs
from unionfs.session import decoding, negotiation, replies, requests, wire
from unionfs.session.decoding import ProtocolError
from unionfs.session.wire import InitFlag, Opcode

# Each layout as the C declaration reads: u8 u16 u32 u64 are the kernel's __uN, s32 s64 its __sN.
WIDTH = {"u16": "H", "u32": "I", "u64": "Q", "s32": "i", "s64": "q"}

C_STRUCTS = {
    "getattr": "u32 getattr_flags, u32 dummy, u64 fh",
    "setattr": "u32 valid, u32 padding, u64 fh, u64 size, u64 lock_owner, u64 atime, u64 mtime,"
    "u64 ctime, u32 atimensec, u32 mtimensec, u32 ctimensec, u32 mode, u32 unused4, u32 uid,"
    "u32 gid, u32 unused5",
    "mknod": "u32 mode, u32 rdev, u32 umask, u32 padding",
    "mkdir": "u32 mode, u32 umask",
    "rename": "u64 newdir",
    "rename2": "u64 newdir, u32 flags, u32 padding",
    "link": "u64 oldnodeid",
    "create": "u32 flags, u32 mode, u32 umask, u32 open_flags",
    "read": "u64 fh, u64 offset, u32 size, u32 read_flags, u64 lock_owner, u32 flags, u32 padding",
    "write": "u64 fh, u64 offset, u32 size, u32 write_flags, u64 lock_owner, u32 flags,u32 padding",
    "release": "u64 fh, u32 flags, u32 release_flags, u64 lock_owner",
    "fsync": "u64 fh, u32 fsync_flags, u32 padding",
    "setxattr": "u32 size, u32 flags, u32 setxattr_flags, u32 padding",
    "getxattr": "u32 size, u32 padding",
    "interrupt": "u64 unique",
    "ioctl": "u64 fh, u32 flags, u32 cmd, u64 arg, u32 in_size, u32 out_size",
    "forget": "u64 nlookup",
    "fallocate": "u64 fh, u64 offset, u64 length, u32 mode, u32 padding",
    "lseek": "u64 fh, s64 offset, u32 whence, u32 padding",
    "copy_file_range": "u64 fh_in, u64 off_in, u64 nodeid_out, u64 fh_out, u64 off_out, u64 len,"
    "u64 flags",
    "statx": "u32 getattr_flags, u32 reserved, u64 fh, u32 sx_flags, u32 sx_mask",
    "syncfs": "u64 padding",
    "attr": "u64 ino, u64 size, u64 blocks, u64 atime, u64 mtime, u64 ctime, u32 atimensec,"
    "u32 mtimensec, u32 ctimensec, u32 mode, u32 nlink, u32 uid, u32 gid, u32 rdev, u32 blksize,"
    "u32 flags",
    "entry": "u64 nodeid, u64 generation, u64 entry_valid, u64 attr_valid, u32 entry_valid_nsec,"
    "u32 attr_valid_nsec",
    "attr_head": "u64 attr_valid, u32 attr_valid_nsec, u32 dummy",
    "dirent": "u64 ino, u64 off, u32 namelen, u32 type",
    "kstatfs": "u64 blocks, u64 bfree, u64 bavail, u64 files, u64 ffree, u32 bsize, u32 namelen,"
    "u32 frsize, u32 padding",
    "init_out": "u32 major, u32 minor, u32 max_readahead, u32 flags, u16 max_background,"
    "u16 congestion_threshold, u32 max_write, u32 time_gran, u16 max_pages, u16 map_alignment,"
    "u32 flags2, u32 max_stack_depth, u16 request_timeout",
    "statx_head": "u64 attr_valid, u32 attr_valid_nsec, u32 flags, u64 spare0, u64 spare1",
    "statx_out": "u32 mask, u32 blksize, u64 attributes, u32 nlink, u32 uid, u32 gid, u16 mode,"
    "u16 spare0, u64 ino, u64 size, u64 blocks, u64 attributes_mask, s64 atime, u32 atimensec,"
    "s32 r0, s64 btime, u32 btimensec, s32 r1, s64 ctime, u32 ctimensec, s32 r2, s64 mtime,"
    "u32 mtimensec, s32 r3, u32 rdev_major, u32 rdev_minor, u32 dev_major, u32 dev_minor",
}


def fields(name):
    pairs = [field.split() for field in C_STRUCTS[name].split(",")]
    return [field for _, field in pairs], struct.Struct("=" + "".join(WIDTH[w] for w, _ in pairs))


def pack(name, **values):
    names, layout = fields(name)
    assert not set(values) - set(names)
    return layout.pack(*(values.get(field, 0) for field in names))


def unpack(name, data):
    names, layout = fields(name)
    return dict(zip(names, layout.unpack_from(data), strict=True))


def decode(opcode, body, **options):
    return decoding.decode(opcode, body, **options)


WIRE = {
    "getattr": wire.GETATTR_IN,
    "setattr": wire.SETATTR_IN,
    "mknod": wire.MKNOD_IN,
    "mkdir": wire.MKDIR_IN,
    "rename": wire.RENAME_IN,
    "rename2": wire.RENAME2_IN,
    "link": wire.LINK_IN,
    "create": wire.CREATE_IN,
    "read": wire.READ_IN,
    "write": wire.WRITE_IN,
    "release": wire.RELEASE_IN,
    "fsync": wire.FSYNC_IN,
    "setxattr": wire.SETXATTR_IN,
    "getxattr": wire.GETXATTR_IN,
    "interrupt": wire.INTERRUPT_IN,
    "ioctl": wire.IOCTL_IN,
    "forget": wire.FORGET_IN,
    "fallocate": wire.FALLOCATE_IN,
    "lseek": wire.LSEEK_IN,
    "copy_file_range": wire.COPY_FILE_RANGE_IN,
    "statx": wire.STATX_IN,
    "syncfs": wire.SYNCFS_IN,
    "attr": wire.ATTR,
    "dirent": wire.DIRENT,
}


u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
names = st.binary(min_size=1, max_size=255).filter(lambda name: b"\0" not in name)
times = st.integers(-(2**62), 2**62)


@pytest.mark.parametrize("name", WIRE)
def test_layouts_have_the_kernels_fields(name):
    assert WIRE[name].size == fields(name)[1].size
    widths = fields(name)[1].format.replace("q", "Q").replace("i", "I")
    assert WIRE[name].format.replace("q", "Q").replace("i", "I") == widths


def test_decode_header_gives_every_field():
    head = struct.pack("=IIQQIIIHH", 42, 1, 2**64 - 2, 2**63 + 1, 1, 2, 3, 3, 0)
    assert decoding.decode_header(head) == (42, 1, 2**64 - 2, 2**63 + 1, 1, 2, 3, 3)


@given(name=names)
def test_decode_name_gives_its_bytes(name):
    assert decode(Opcode.REMOVEXATTR, name + b"\0") == (name,)


@given(mode=u32, rdev=u32, umask=u32, name=names)
def test_decode_creating_requests(mode, rdev, umask, name):
    body = pack("mknod", mode=mode, rdev=rdev, umask=umask) + name + b"\0"
    assert decode(Opcode.MKNOD, body) == requests.Mknod(mode, rdev, umask, name)
    body = pack("create", flags=rdev, mode=mode, umask=umask, open_flags=5) + name + b"\0"
    assert decode(Opcode.TMPFILE, body) == requests.Create(rdev, mode, umask, 5, name)


@given(directory=u64, flags=u32, old=names, new=names)
def test_decode_two_names(directory, flags, old, new):
    both = old + b"\0" + new + b"\0"
    body = pack("rename2", newdir=directory, flags=flags) + both
    assert decode(Opcode.RENAME2, body) == requests.Rename(directory, flags, old, new)
    body = pack("link", oldnodeid=directory) + new + b"\0"
    assert decode(Opcode.LINK, body) == requests.Link(directory, new)


@given(fh=u64, offset=u64, size=u32, flags=u32)
def test_decode_read(fh, offset, size, flags):
    body = pack("read", fh=fh, offset=offset, size=size, flags=flags)
    assert decode(Opcode.READDIR, body) == requests.Read(fh, offset, size, 0, 0, flags)


@given(name=names, value=st.binary(max_size=200), flags=u32, acl=u32)
def test_decode_setxattr_in_both_layouts(name, value, flags, acl):
    rest = name + b"\0" + value
    body = pack("setxattr", size=len(value), flags=flags, setxattr_flags=acl) + rest
    assert decode(Opcode.SETXATTR, body, setxattr_ext=True) == (flags, acl, name, value)
    body = struct.pack("=II", len(value), flags) + rest
    assert decode(Opcode.SETXATTR, body) == (flags, 0, name, value)


FIXED = {
    Opcode.FSYNC: ("fsync", ["fh", "fsync_flags"]),
    Opcode.FSYNCDIR: ("fsync", ["fh", "fsync_flags"]),
    Opcode.LISTXATTR: ("getxattr", ["size"]),
    Opcode.FALLOCATE: ("fallocate", ["fh", "offset", "length", "mode"]),
    Opcode.LSEEK: ("lseek", ["fh", "offset", "whence"]),
    Opcode.COPY_FILE_RANGE: (
        "copy_file_range",
        ["fh_in", "off_in", "nodeid_out", "fh_out", "off_out", "len", "flags"],
    ),
    Opcode.COPY_FILE_RANGE_64: (
        "copy_file_range",
        ["fh_in", "off_in", "nodeid_out", "fh_out", "off_out", "len", "flags"],
    ),
    Opcode.STATX: ("statx", ["getattr_flags", "fh", "sx_flags", "sx_mask"]),
}


@pytest.mark.parametrize("opcode", FIXED)
@given(data=st.data())
def test_decode_fixed_layout_gives_its_fields(opcode, data):
    name, shown = FIXED[opcode]
    all_fields, layout = fields(name)
    kinds = {"I": u32, "Q": u64, "q": st.integers(-(2**63), 2**63 - 1)}
    values = dict(zip(all_fields, (data.draw(kinds[c]) for c in layout.format[1:]), strict=True))
    body = pack(name, **values)
    assert decode(opcode, body) == tuple(values[field] for field in shown)
    for wrong in (body[:-1], body + b"\0"):
        with pytest.raises(ProtocolError):
            decode(opcode, wrong)


@pytest.mark.parametrize("opcode", [Opcode.READLINK, Opcode.STATFS, Opcode.DESTROY])
def test_decode_empty_body(opcode):
    assert decode(opcode, b"") == ()
    with pytest.raises(ProtocolError):
        decode(opcode, b"x")


@given(
    opcode=st.one_of(st.sampled_from(list(Opcode)), st.integers(0, 2**32 - 1)),
    body=st.binary(max_size=200),
    setxattr_ext=st.booleans(),
)
def test_decode_garbage_gives_a_request_or_a_protocol_error(opcode, body, setxattr_ext):
    for decoder in (
        lambda: decoding.decode(opcode, body, setxattr_ext=setxattr_ext),
        lambda: decoding.decode_init(body),
        lambda: decoding.decode_interrupt(body),
    ):
        try:
            decoder()
        except ProtocolError:
            pass


# ---- replies -------------------------------------------------------------------------------------

attributes = st.builds(
    Attributes,
    ino=u64,
    mode=u16,
    nlink=u32,
    uid=u32,
    gid=u32,
    rdev=u32,
    size=u64,
    blocks=u64,
    atime_ns=times,
    mtime_ns=times,
    ctime_ns=times,
)


def assert_same(attr, a):
    assert (attr["ino"], attr["size"], attr["blocks"], attr["mode"]) == (
        (a.ino, a.size, a.blocks, a.mode)
    )
    assert (attr["nlink"], attr["uid"], attr["gid"], attr["rdev"]) == (
        a.nlink,
        a.uid,
        a.gid,
        a.rdev,
    )
    for kind in "amc":
        seconds = attr[f"{kind}time"]
        seconds -= (seconds >= 2**63) << 64
        nanoseconds = seconds * 10**9 + attr[f"{kind}timensec"]
        assert nanoseconds == getattr(a, f"{kind}time_ns")
        assert attr[f"{kind}timensec"] < 10**9


@given(nodeid=u64, a=attributes, cookie=u64, name=names)
def test_entry_attr_and_listing_replies_have_the_kernels_layout(nodeid, a, cookie, name):
    valid = (5, 6)
    payload = replies.entry_out(nodeid, a, valid)
    assert len(payload) == 128
    entry = unpack("entry", payload)
    assert list(entry.values()) == [nodeid, 0, 5, 5, 6, 6]
    assert_same(unpack("attr", payload[40:]), a)

    payload = replies.attr_out(a, valid)
    assert len(payload) == 104
    assert list(unpack("attr_head", payload).values()) == [5, 6, 0]
    attr = unpack("attr", payload[16:])
    assert_same(attr, a)
    assert attr["blksize"] == (1 << 16 if stat.S_ISDIR(a.mode) else 4096)

    payload = replies.direntplus(nodeid, a, cookie, name, valid)
    assert len(payload) == replies.direntplus_size(name)
    assert len(payload) % 8 == 0
    dirent = unpack("dirent", payload[128:])
    assert list(dirent.values()) == [a.ino, cookie, len(name), a.mode >> 12 & 15]
    assert payload[152:].rstrip(b"\0") == name.rstrip(b"\0")

    plain = replies.dirent(a.ino, cookie, a.mode, name)
    assert len(plain) == replies.dirent_size(name)
    assert plain == payload[128:]


@given(a=attributes, btime=st.none() | times)
def test_statx_reply_has_the_kernels_layout(a, btime):
    payload = replies.statx_out(a, btime, (5, 6))
    assert len(payload) == 288
    assert list(unpack("statx_head", payload).values()) == [5, 6, 0, 0, 0]
    x = unpack("statx_out", payload[32:])
    assert_same({**x, "rdev": a.rdev}, a)
    assert bool(x["mask"] & 0x800) == (btime is not None)
    if btime is not None:
        assert x["btime"] * 10**9 + x["btimensec"] == btime
    # makedev(3)
    assert x["rdev_major"] == (a.rdev >> 8 & 0xFFF)
    assert x["rdev_minor"] == (a.rdev & 0xFF | a.rdev >> 12 & 0xFFF00)


def test_frames_carry_length_error_and_unique():
    assert struct.unpack("=IiQ", replies.error(9, 2)) == (16, -2, 9)
    assert replies.reply(9, b"abc") == struct.pack("=IiQ", 19, 0, 9) + b"abc"


def test_statfs_and_small_replies_have_the_kernels_layout():
    payload = replies.statfs_out(StatFs(1, 2, 3, 4, 5, 6, 7, 8))
    assert len(payload) == 80
    assert list(unpack("kstatfs", payload).values()) == [3, 4, 5, 6, 7, 1, 8, 2, 0]
    assert replies.write_out(5) == struct.pack("=II", 5, 0)
    assert replies.getxattr_out(5) == struct.pack("=II", 5, 0)
    assert replies.open_out(5, 6) == struct.pack("=QIi", 5, 6, 0)
    assert replies.lseek_out(5) == struct.pack("=Q", 5)
    assert replies.copy_file_range_out(2**40) == struct.pack("=Q", 2**40)


def test_invalidation_has_unique_0_and_its_code():
    sent = replies.notify_inval_inode(8, -1, 0)
    assert sent == struct.pack("=IiQ", 40, 2, 0) + struct.pack("=Qqq", 8, -1, 0)


# ---- negotiation ---------------------------------------------------------------------------------


def test_decode_init_of_old_and_new_kernels():
    old = struct.pack("=IIII", 7, 31, 131072, 0xFFFF)
    assert decoding.decode_init(old) == requests.Init(7, 31, 131072, 0xFFFF)
    new = struct.pack("=IIIII44x", 7, 45, 131072, 1 << 30 | 8, 1 << 8)
    assert decoding.decode_init(new).flags == 1 << 30 | 8 | 1 << 40
    without_ext = struct.pack("=IIIII44x", 7, 45, 131072, 8, 1 << 8)
    assert decoding.decode_init(without_ext).flags == 8


@given(offered=st.integers(0, 2**64 - 1), minor=st.integers(31, 60))
def test_negotiate_agrees_on_what_both_know(offered, minor):
    wishes = negotiation.Wishes(writeback=True, allow_idmap=True, posix_acl=True)
    agreed = negotiation.negotiate(requests.Init(7, minor, 131072, offered), wishes)
    assert isinstance(agreed, negotiation.Agreement)
    assert not int(agreed.flags) & ~offered
    assert not agreed.has(InitFlag.ATOMIC_O_TRUNC | InitFlag.PASSTHROUGH | InitFlag.POSIX_LOCKS)
    payload = negotiation.init_out(agreed)
    assert len(payload) == 64
    out = unpack("init_out", payload)
    assert (out["major"], out["minor"]) == (7, min(minor, 45))
    assert out["flags"] | out["flags2"] << 32 == int(agreed.flags)
    assert (out["max_write"], out["max_pages"], out["time_gran"]) == (1 << 20, 256, 1)


def test_negotiate_asks_for_what_options_ask_for():
    everything = requests.Init(7, 45, 131072, 2**64 - 1)
    plain = negotiation.negotiate(everything, negotiation.Wishes())
    assert isinstance(plain, negotiation.Agreement)
    assert plain.has(InitFlag.HANDLE_KILLPRIV_V2)
    assert not plain.has(InitFlag.WRITEBACK_CACHE | InitFlag.ALLOW_IDMAP | InitFlag.POSIX_ACL)
    writeback = negotiation.negotiate(everything, negotiation.Wishes(writeback=True))
    assert isinstance(writeback, negotiation.Agreement)
    assert writeback.has(InitFlag.WRITEBACK_CACHE)


@pytest.mark.parametrize(("major", "minor"), [(6, 99), (7, 30)])
def test_negotiate_with_an_older_protocol_is_refused(major, minor):
    answer = negotiation.negotiate(requests.Init(major, minor, 0, 0), negotiation.Wishes())
    assert answer == negotiation.Unsupported(None)


def test_negotiate_with_a_newer_protocol_offers_ours():
    answer = negotiation.negotiate(requests.Init(8, 0, 0, 0), negotiation.Wishes())
    assert isinstance(answer, negotiation.Unsupported)
    assert struct.unpack("=II", answer.reply[:8]) == (7, 45)


@pytest.mark.parametrize("opcode", [0, 7, 54, 4096, 2**32 - 1])
def test_decode_unknown_operation_is_refused(opcode):
    with pytest.raises(ProtocolError, match="unknown"):
        decode(opcode, b"")
