"""The command line is read as Docker's users type it."""

import pytest

from rootless.cli.grammar import (
    GrammarError,
    OptionalText,
    Parsed,
    parse,
    read_options,
    takes_value,
)
from rootless.cli.images.listing import IMAGES
from rootless.cli.index import COMMANDS, GLOBAL_OPTIONS, every_command, load_command
from rootless.cli.run import options as rows
from rootless.cli.run.command import RUN
from rootless.cli.shared_options import QUIET_IDS


def run(*words):
    return parse(RUN, words, "rootless run")


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--name", "x", "i"], "name", "x"),
        (["--name=x", "i"], "name", "x"),
        (["--name=", "i"], "name", ""),
        (["--name=a=b", "i"], "name", "a=b"),
        (["-eA=B", "i"], "env", ("A=B",)),
        (["-e=A=B", "i"], "env", ("A=B",)),
        (["-e", "A=B", "--env", "C", "i"], "env", ("A=B", "C")),
        (["--rm", "i"], "rm", True),
        (["--rm=false", "i"], "rm", False),
        (["--rm=0", "i"], "rm", False),
        (["-t=false", "i"], "tty", False),
        (["--sig-proxy=false", "i"], "sig-proxy", False),
        (["--pids-limit", "-1", "i"], "pids-limit", -1),
        (["--net", "none", "i"], "network", ("none",)),
        (["-h", "box", "i"], "hostname", "box"),
        (["-w", "-dir", "i"], "workdir", "-dir"),
        (["--writable-tmpfs", "i"], "writable-tmpfs", ""),
        (["--writable-tmpfs=1G", "i"], "writable-tmpfs", "1G"),
        (["--rm", "i"], "writable-tmpfs", None),
    ],
)
def test_option_spellings_give_the_value(words, key, value):
    assert run(*words).values[key] == value


def test_shorthand_cluster_takes_the_rest_as_the_value_of_the_last():
    values = run("-itw/tmp", "i").values
    assert (values["interactive"], values["tty"], values["workdir"]) == (True, True, "/tmp")


def test_shorthand_cluster_takes_the_next_word_when_nothing_is_left():
    parsed = run("-itu", "root", "image", "ls")
    assert parsed[rows.USER] == "root"
    assert parsed.arguments == ("image", "ls")


def test_options_end_at_the_image():
    parsed = run("--rm", "image", "ls", "--rm=false", "-l", "--", "--help")
    assert parsed.arguments == ("image", "ls", "--rm=false", "-l", "--", "--help")
    assert parsed[rows.RM] is True
    assert not parsed.help


def test_double_dash_ends_options():
    assert run("--rm", "--", "--odd").arguments == ("--odd",)


def test_options_and_arguments_mix_where_nothing_follows_for_another_program():
    parsed = parse(IMAGES, ["debian", "-q"], "rootless images")
    assert parsed.arguments == ("debian",)
    assert parsed[QUIET_IDS] is True


def test_single_dash_is_an_argument():
    assert run("-").arguments == ("-",)


def test_help_is_asked_for_before_the_image_only():
    assert run("--help").help
    assert not run("image", "--help").help
    assert parse(IMAGES, ["-h"], "").help


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bogus", "i"], "unknown flag: --bogus"),
        (["--bogus=1", "i"], "unknown flag: --bogus"),
        (["--e", "i"], "unknown flag: --e"),
        (["-itz", "i"], "unknown shorthand flag: 'z' in -z"),
        (["--name"], "flag needs an argument: --name"),
        (["-e"], "flag needs an argument: 'e' in -e"),
        (["--=x", "i"], "bad flag syntax: --=x"),
        (["---x", "i"], "bad flag syntax: ---x"),
        (
            ["--rm=maybe", "i"],
            'invalid argument "maybe" for "--rm" flag: not true or false',
        ),
        (
            ["-c", "many", "i"],
            'invalid argument "many" for "-c, --cpu-shares" flag: not a whole number',
        ),
    ],
)
def test_bad_flag_is_named_and_exits_125(words, message):
    with pytest.raises(GrammarError) as caught:
        run(*words)
    assert caught.value.message == message
    assert caught.value.exit_status == 125


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("save", [], "'x' requires at least 1 argument"),
        ("images", ["a", "b"], "'x' requires at most 1 argument"),
        ("tag", ["a"], "'x' requires 2 arguments"),
        ("load", ["a"], "'x' accepts no arguments"),
    ],
)
def test_wrong_number_of_arguments_exits_1(command, words, message):
    with pytest.raises(GrammarError) as caught:
        parse(load_command(COMMANDS[command]), words, "x")
    assert (caught.value.message, caught.value.exit_status) == (message, 1)


def test_global_options_end_at_the_command():
    values, words, _ = read_options(
        GLOBAL_OPTIONS, ["-D", "--root", "/x", "run", "--debug"], interspersed=False
    )
    assert (values["debug"], values["root"]) == (True, "/x")
    assert words == ["run", "--debug"]


@pytest.mark.parametrize(("path", "command"), list(every_command()))
def test_tables_name_each_option_once_and_describe_it(path, command):
    names = [name for option in command.options for name in option.names]
    assert len(names) == len(set(names))
    for option in command.options:
        assert len(option.long) > 1
        assert not option.help.endswith(".")
        assert bool(option.metavar) is (takes_value(option) or isinstance(option, OptionalText))


@pytest.mark.parametrize(("path", "command"), list(every_command()))
def test_typer_reads_the_table_as_the_parser_does(path, command):
    import typer.main

    from rootless.cli.help.application import application_from

    assert isinstance(parse(command, ["x"] * command.least, path), Parsed)
    group = typer.main.get_command(application_from(COMMANDS))
    for word in path.split():
        group = group.commands[word]
    spelled = {spelling for parameter in group.params for spelling in parameter.opts}
    for option in command.options:
        for name in option.names:
            assert ("-" if len(name) == 1 else "--") + name in spelled
