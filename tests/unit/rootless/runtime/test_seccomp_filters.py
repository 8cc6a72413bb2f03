"""Which filters a container is given, and in which order they are loaded."""

import os

import pytest

from rootless.errors import InvalidDocumentError
from rootless.runtime import extensions
from rootless.runtime.seccomp import Filters, compile_profile, filters_of
from rootless.runtime.seccomp_rules import notifying_profile, pretending_profile

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
