"""Which filters a container is given, and in which order they are loaded."""

import os

import pytest

from rootless.errors import InvalidDocumentError
from rootless.runtime import extensions, seccomp
from rootless.runtime.seccomp import Filters, compile_profile, filters_of
from rootless.runtime.seccomp_rules import notifying_profile, pretending_profile
from rootless.syscalls import libseccomp

MACHINE = os.uname().machine
NOTIFYING = compile_profile(notifying_profile(MACHINE))
PRETENDING = compile_profile(pretending_profile(MACHINE, owners=True))
PRETENDING_IDENTITY = compile_profile(pretending_profile(MACHINE, owners=False))


def filters(**annotations: str) -> Filters:
    return filters_of({"annotations": annotations}, None)


def single(mode: str) -> Filters:
    return filters_of(
        {"annotations": {extensions.PRETEND_OWNERSHIP: "true", extensions.CHOWN: mode}}, None
    )


def test_container_with_many_ids_has_none():
    assert filters() == Filters()


def test_mode_decides_on_the_filters():
    assert single("record") == Filters((PRETENDING_IDENTITY,), NOTIFYING)
    assert single("record-if-possible") == Filters((PRETENDING_IDENTITY,), NOTIFYING, PRETENDING)
    assert single("pretend") == Filters((PRETENDING,))
    assert single("refuse") == Filters((PRETENDING_IDENTITY,))


def test_container_of_an_earlier_version_pretends():
    assert filters(**{extensions.PRETEND_OWNERSHIP: "true"}) == Filters((PRETENDING,))


def test_filter_of_the_cache_is_taken_while_the_library_is_the_same_file(tmp_path, monkeypatch):
    library, cache = tmp_path / "libseccomp.so.2.9", str(tmp_path / "cache")
    library.write_bytes(b"first")
    monkeypatch.setattr(libseccomp, "path", lambda: str(library))
    spec = {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}
    made = filters_of(spec, cache)
    programs = []

    def compile_again(profile):
        programs.append(profile)
        return b"again"

    monkeypatch.setattr(seccomp, "compile_profile", compile_again)
    assert filters_of(spec, cache) == made
    assert programs == []
    library.write_bytes(b"second one")
    assert filters_of(spec, cache) == Filters((b"again",))
    assert filters_of(spec, cache) == Filters((b"again",))
    library.unlink()
    assert filters_of(spec, cache) == Filters((b"again",))
    assert len(programs) == 2


def test_damaged_filter_of_the_cache_is_made_again(tmp_path):
    spec = {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}
    made = filters_of(spec, str(tmp_path))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(damaged)
        assert filters_of(spec, str(tmp_path)) == made
        assert file.read_bytes() == whole


def test_path_of_the_library_is_that_of_a_file():
    assert os.path.isfile(libseccomp.path())


@pytest.mark.parametrize(
    "profile",
    [
        {"defaultAction": "SCMP_ACT_NOTIFY"},
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}],
        },
    ],
)
def test_profile_of_a_user_cannot_ask_for_notifications(profile):
    with pytest.raises(InvalidDocumentError, match="SCMP_ACT_NOTIFY, which is not supported"):
        filters_of({"linux": {"seccomp": profile}}, None)


@pytest.mark.parametrize(
    "rule",
    [
        {"names": [5]},
        {"names": None},
        {"names": ["read"], "errnoRet": "x"},
        {"names": ["read"], "args": [5]},
        {"names": ["read"], "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": "x"}]},
        {"names": ["read"], "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1 << 80}]},
        5,
    ],
)
def test_value_of_the_wrong_type_is_an_error_of_the_document(rule):
    if isinstance(rule, dict):
        rule = {"action": "SCMP_ACT_ERRNO", **rule}
    with pytest.raises(InvalidDocumentError, match="wrong type"):
        compile_profile({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
