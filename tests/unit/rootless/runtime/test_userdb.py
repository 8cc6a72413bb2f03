"""Names in /etc/passwd and /etc/group."""

import pytest

from rootless.runtime.userdb import Identity, UnknownUserError, entry_to_append, find_identity

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\napp:x:5:6:An App:/srv/app:/bin/sh\n9:x:77:78::/nine:\nbroken\n"
)
GROUP = b"root:x:0:\napp:x:6:\nwheel:x:10:root,app\naudio:x:29:app\n7:x:70:\n"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("", Identity(0, 0, (0, 10), "/root")),
        ("root", Identity(0, 0, (0, 10), "/root")),
        ("app", Identity(5, 6, (6, 10, 29), "/srv/app")),
        ("5", Identity(5, 6, (6, 10, 29), "/srv/app")),
        ("app:audio", Identity(5, 29, (29,), "/srv/app")),
        ("app:33", Identity(5, 33, (33,), "/srv/app")),
        ("1234", Identity(1234, 0, (0,), "/")),
        ("1234:5678", Identity(1234, 5678, (5678,), "/")),
        (":29", Identity(0, 29, (29,), "/root")),
        # A name that looks like a number is a name first, as in Docker.
        ("9", Identity(77, 78, (78,), "/nine")),
        ("app:7", Identity(5, 70, (70,), "/srv/app")),
    ],
)
def test_user_is_found_by_dockers_rules(request_, expected):
    assert find_identity(request_, PASSWD, GROUP) == expected


def test_additional_groups_by_name_and_number_once_each():
    identity = find_identity("app", PASSWD, GROUP, ["audio", "500"])
    assert identity.groups == (6, 10, 29, 500)


def test_no_files_still_have_numbers():
    assert find_identity("3:4", b"", b"") == Identity(3, 4, (4,), "/")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("nobody", "unable to find user nobody"),
        ("app:nogroup", "unable to find group nogroup"),
        ("99999999999", "must be in range"),
        ("-1", "must be in range"),
        ("\u0663", "unable to find user"),
    ],
)
def test_user_that_is_not_there_is_told(request_, message):
    with pytest.raises(UnknownUserError, match=message):
        find_identity(request_, PASSWD, GROUP)


def test_bytes_that_are_not_text_do_no_harm():
    assert find_identity("app", b"\xff:x:1:1::/:\n" + PASSWD, b"\xfe\n" + GROUP).uid == 5


@pytest.mark.parametrize(
    ("content", "appended"),
    [
        (b"", b"me:*:7:8::/:/bin/sh\n"),
        (b"root:x:0:0:::\n", b"me:*:7:8::/:/bin/sh\n"),
        (b"root:x:0:0:::", b"\nme:*:7:8::/:/bin/sh\n"),
        (b"me:x:1:1:::\n", b""),
        (b"other:x:7:1:::\n", b""),
        (b"#me:x:1:1:::\nbroken\n", b"me:*:7:8::/:/bin/sh\n"),
    ],
)
def test_entry_is_appended_where_name_and_number_are_free(content, appended):
    assert entry_to_append(content, "me:*:7:8::/:/bin/sh") == appended
