"""What a command that is tried must not see."""

import os

import pytest

from rootless.errors import UsageError
from rootless.trying.hiding import hidden_paths


@pytest.fixture
def home(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("key")
    (tmp_path / "other").write_text("other")
    return tmp_path


def hidden(home, *asked, through=()):
    through = list(map(str, through))
    found = hidden_paths(map(str, asked), {}, str(home), through, site_list=str(home / "site-list"))
    return [path.removeprefix(f"{os.path.realpath(home)}/") for path in found]


def test_lists_of_the_site_and_of_the_user_are_read(home):
    (home / ".config/rootless").mkdir(parents=True)
    (home / ".config/rootless/try-hide").write_text("# mine\n~/secret\n\n~/missing\n")
    (home / "site-list").write_text(f"{home}/other\n")
    assert hidden(home) == ["other", "secret"]


def test_file_with_further_names_is_hidden_by_itself_too(home):
    os.link(home / "secret/key", home / "name")
    assert hidden(home, home / "secret") == ["secret", "secret/key"]


def test_further_names_of_a_hidden_file_are_hidden_where_the_files_are_the_hosts_own(home):
    (home / "real/below").mkdir(parents=True)
    os.link(home / "secret/key", home / "real/below/name")
    os.link(home / "other", home / "real/other")
    os.link(home / "other", home / "second")
    found = hidden(home, home / "secret", through=[home / "real", home / "second"])
    assert found == ["secret", "secret/key", "real/below/name"]
    found = hidden(home, home / "other", through=[home / "real", home / "second"])
    assert found == ["other", "real/other", "second"]


def test_link_hides_what_it_leads_to(home):
    (home / "link").symlink_to("secret")
    assert hidden(home, home / "link") == ["secret"]


def test_path_that_was_asked_for_has_to_be_there(home):
    with pytest.raises(UsageError, match="no such file"):
        hidden(home, home / "missing")
