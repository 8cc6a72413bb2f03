"""What the commands about registries read from their options."""

import pytest
import typer

from rootless.cli.grammar import parse
from rootless.cli.help import application
from rootless.cli.index import COMMANDS
from rootless.cli.registries import PULL
from rootless.cli.shared_options import registry_options_of
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
    assert registry_options_of(parsed).tls_verify is verify


def test_option_that_is_left_out_is_no_false_for_who_embeds_the_commands(monkeypatch):
    seen = []
    spy = PULL._replace(handler=lambda parsed, _: seen.append(parsed) or 0)
    monkeypatch.setattr(application, "load_command", lambda place: spy)
    try:
        application.application_from({"pull": COMMANDS["pull"]})(
            ["pull", "name"], standalone_mode=False
        )
    except typer.Exit:
        pass
    assert registry_options_of(seen[0]).tls_verify is None


def test_account_on_the_command_line_needs_a_name():
    parsed = parse(PULL, ["--creds", "me:p:w", "name"], "rootless pull")
    found = registry_options_of(parsed).credentials
    assert (found.username, found.password) == ("me", "p:w")
    parsed = parse(PULL, ["--creds", ":x", "name"], "rootless pull")
    with pytest.raises(UsageError):
        registry_options_of(parsed)
