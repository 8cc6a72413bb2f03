"""What the commands about registries read from their options."""

import pytest
import typer

from rootless.cli import application
from rootless.cli.commands import COMMANDS, PULL
from rootless.cli.grammar import parse
from rootless.cli.registries import remote_options
from rootless.errors import UsageError


@pytest.mark.parametrize(
    ("words", "verify"),
    [
        ([], None),
        (["--tls-verify"], True),
        (["--tls-verify=true"], True),
        (["--tls-verify=false"], False),
    ],
)
def test_certificates_are_left_unverified_only_where_that_is_said(words, verify):
    parsed = parse(PULL, [*words, "name"], "rootless pull")
    assert parsed.arguments == ("name",)
    assert remote_options(parsed.values).tls_verify is verify


def test_option_that_is_left_out_is_no_false_for_who_embeds_the_commands(monkeypatch):
    seen = []
    monkeypatch.setattr(
        application, "handler_of", lambda command: lambda parsed, _: seen.append(parsed) or 0
    )
    try:
        application.application_from(COMMANDS)(["pull", "name"], standalone_mode=False)
    except typer.Exit:
        pass
    assert remote_options(seen[0].values).tls_verify is None


def test_account_on_the_command_line_needs_a_name():
    parsed = parse(PULL, ["--creds", "me:p:w", "name"], "rootless pull")
    found = remote_options(parsed.values).credentials
    assert (found.username, found.password) == ("me", "p:w")
    parsed = parse(PULL, ["--creds", ":x", "name"], "rootless pull")
    with pytest.raises(UsageError):
        remote_options(parsed.values)
