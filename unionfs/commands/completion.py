"""rootless-unionfs completion SHELL: print the completion script of a shell.

rootless-unionfs completion bash > /usr/share/bash-completion/completions/rootless-unionfs
"""

from __future__ import annotations

from collections.abc import Sequence

from unionfs.commands.arguments import PROGRAM, UsageError
from unionfs.options import VALUES_OF, names

COMMANDS = {
    "finish": "copy the data that lazy copy-ups left in lower layers",
    "stats": "print the counters of the server of a mount",
    "top": "watch the operations of a mount",
    "bench": "measure the union beside its peers",
    "completion": "print the completion script of a shell",
}
FLAGS = {
    "stats": ("--json", "--histogram"),
    "top": ("--interval", "--count", "--help"),
    "finish": ("--work", "--lower", "--help"),
    "bench": (
        "compare", "files", "startup", "images", "--rounds", "--scale", "--only", "--subject", "--pin", "--json",
        "--csv", "--plot", "--list", "--estimate", "--help",
    ),
    "completion": ("bash", "zsh", "fish"),
    "": ("-f", "-d", "--debug", "-o", "--session", "--version", "--help"),
}  # fmt: skip
"""By command, "" for a mount: its flags and words."""


_MOUNTS = r"sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .* - fuse\..*/\1/p' /proc/self/mountinfo"
"""A shell command that prints the FUSE mounts: proc_pid_mountinfo(5)."""


def completion(arguments: Sequence[str]) -> str:
    """The script for the shell. Raises UsageError."""
    scripts = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    if len(arguments) != 1 or arguments[0] not in scripts:
        raise UsageError(f"usage: {PROGRAM} completion bash|zsh|fish")
    return scripts[arguments[0]]()


def _option_words() -> str:
    """Each option as it is typed: with an equals sign if it takes a value, and with its values if
    they are few."""
    words = []
    for name, takes_value in names():
        if name in VALUES_OF:
            words += [f"{name}={value}" for value in VALUES_OF[name]]
        else:
            words.append(f"{name}=" if takes_value else name)
    return " ".join(words)


def _bash() -> str:
    cases = "\n".join(
        f'        {name}) words="{" ".join(FLAGS[name])}" ;;' for name in COMMANDS if name in FLAGS
    )
    return f"""\
# bash completion for {PROGRAM}
_rootless_unionfs_mounts() {{
    {_MOUNTS}
}}
_rootless_unionfs() {{
    local line=${{COMP_LINE:0:COMP_POINT}} command=${{COMP_WORDS[1]}} words="" current before
    current=${{line##*[[:space:]]}}
    before=${{line%"$current"}}
    before=${{before%"${{before##*[![:space:]]}}"}}
    before=${{before##*[[:space:]]}}
    COMPREPLY=()
    case $before in
        -o)
            local done="" item=$current
            case $current in *,*) done=${{current%,*}},; item=${{current##*,}} ;; esac
            case $item in
                lowerdir=*|upperdir=*|workdir=*)
                    local path=${{item#*=}}
                    path=${{path##*:}}
                    COMPREPLY=($(compgen -d -- "$path"))
                    compopt -o nospace -o filenames
                    return ;;
            esac
            # Readline splits words at = and :, so that only what follows those is replaced.
            local prefix=$done
            case $item in *=*) prefix="$done${{item%%=*}}=" ;; esac
            local found
            for found in $(compgen -W "{_option_words()}" -- "$item"); do
                found=$done$found
                [[ $item == *=* ]] && found=${{found#"$prefix"}}
                COMPREPLY+=("$found")
            done
            compopt -o nospace
            return ;;
        --session) words="auto device pyfuse3" ;;
        --work|--lower|--plot) COMPREPLY=($(compgen -d -- "$current")); return ;;
        --json|--csv|compare) COMPREPLY=($(compgen -f -- "$current")); return ;;
        --scale) words="tiny small normal full" ;;
    esac
    [ -n "$words" ] || case $command in
{cases}
        *) words="{" ".join(FLAGS[""])}"
           [ "$COMP_CWORD" -gt 1 ] || words="$words {" ".join(COMMANDS)}" ;;
    esac
    case $command in stats|top|finish) words="$words $(_rootless_unionfs_mounts)" ;; esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    case $command in
        stats|top|bench|completion) ;;
        *) [ "${{current:0:1}}" = - ] || COMPREPLY+=($(compgen -d -- "$current")); compopt -o filenames ;;
    esac
}}
complete -F _rootless_unionfs {PROGRAM}
"""


def _zsh() -> str:
    cases = "\n".join(
        f"    ({name}) compadd -- {' '.join(FLAGS[name])} ;;" for name in COMMANDS if name in FLAGS
    )
    return f"""\
#compdef {PROGRAM}
case ${{words[CURRENT-1]}} in
    (-o)
        compset -P "*,"
        case $PREFIX in
            (lowerdir=*|upperdir=*|workdir=*) compset -P "*[=:]"; _files -/ ;;
            (*) compadd -S "" -- {_option_words()} ;;
        esac
        return ;;
    (--session) compadd -- auto device pyfuse3; return ;;
    (--work|--lower|--plot) _files -/; return ;;
    (--json|--csv|compare) _files; return ;;
    (--scale) compadd -- tiny small normal full; return ;;
esac
if (( CURRENT == 2 )); then
    compadd -- {" ".join(COMMANDS)}
fi
case ${{words[2]}} in
    (stats|top|finish) compadd -- $({_MOUNTS}) ;;
esac
case ${{words[2]}} in
{cases}
    (*) compadd -- {" ".join(FLAGS[""])}; _files -/ ;;
esac
"""


def _fish() -> str:
    lines = [f"# fish completion for {PROGRAM}"]
    for name, text in COMMANDS.items():
        lines.append(f"complete -c {PROGRAM} -n __fish_use_subcommand -a {name} -d '{text}'")
        for flag in FLAGS.get(name, ()):
            seen = f"-n '__fish_seen_subcommand_from {name}'"
            if flag.startswith("--"):
                lines.append(f"complete -c {PROGRAM} {seen} -l {flag[2:]}")
            else:
                lines.append(f"complete -c {PROGRAM} {seen} -f -a {flag}")
    for name in ("stats", "top", "finish"):
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        lines.append(f'complete -c {PROGRAM} {seen} -f -a "({_MOUNTS})"')
    lines.append(
        f"complete -c {PROGRAM} -n __fish_use_subcommand -s o -x "
        f"-a '(__fish_append , {_option_words()})' -d 'mount options'"
    )
    lines.append(
        f"complete -c {PROGRAM} -n __fish_use_subcommand -l session -x -a 'auto device pyfuse3'"
    )
    for short, long in (("f", ""), ("d", "debug"), ("V", "version"), ("h", "help")):
        flag = f"-s {short}" + (f" -l {long}" if long else "")
        lines.append(f"complete -c {PROGRAM} -n __fish_use_subcommand {flag}")
    return "\n".join(lines) + "\n"
