"""The shell of a container that records typed commands.

bash records by its own means: a start-up file (--rcfile) sets PROMPT_COMMAND, which is executed after each
command and finds it in the history. Other shells have no such hook. There a loop reads lines from the terminal and
evaluates them (`eval`) in one shell, so that directory, variables and functions last from line to line as they do
at a prompt. `sh -n` tells whether a line needs another one.

Both write records to the file `log` of a directory that is mounted at `PLACE`: see `rootless.recording.log`.
"""

from __future__ import annotations

import os

from rootless.errors import UsageError

PLACE = "/run/rootless-recording"
_BASHRC, _LOOP, LOG = "bashrc", "loop", "log"
_SHELLS = frozenset({"sh", "dash", "ash", "ksh", "mksh"})
_INTERACTIVE = frozenset({"-i", "-l", "--login"})

_RECORD = """__record() {
    printf '%s\\0%s\\0%s\\0%s\\0%s\\0' "$1" "$PWD" "$(umask)" "$2" "$(__variables)"
    cat /proc/self/environ
    printf '\\0'
}
"""

_BASHRC_TEXT = (
    """[ -f ~/.bashrc ] && . ~/.bashrc
unalias -a
HISTCONTROL= HISTIGNORE= HISTFILE= HISTSIZE=100000
unset HISTTIMEFORMAT
shopt -s cmdhist lithist
__variables() { (set -o posix; set); }
"""
    + _RECORD
    + """__typed() {
    local __status=$? __pattern='^ *([0-9]+)[* ] (.*)$'
    [[ $(history 1) =~ $__pattern ]] || return
    [[ ${BASH_REMATCH[1]} == "$__last" ]] && return
    __last=${BASH_REMATCH[1]}
    __record $__status "${BASH_REMATCH[2]}" >> """
    + f"{PLACE}/{LOG}"
    + """
}
__record bash '' >> """
    + f"{PLACE}/{LOG}"
    + """
PROMPT_COMMAND=__typed
"""
)

_LOOP_TEXT = (
    """__shell=$1 __log="""
    f"{PLACE}/{LOG}"
    """
shift
__variables() { set; }
"""
    + _RECORD
    + """__needs_more() {
    case $1 in
        *\\\\) return 0 ;;
        *'<<<'*) ;;
        *'<<'*)
            __end=${1##*<<} __end=${__end#-} __end=${__end# }
            __end=${__end%%[!A-Za-z_0-9\\'\\"]*}
            __end=$(printf %s "$__end" | tr -d \\'\\")
            case $__end in
                ''|[0-9]*) ;;
                *)
                    case $1 in
                        *'\n'"$__end"|*'\n'*'\t'"$__end") ;;
                        *) return 0 ;;
                    esac ;;
            esac ;;
    esac
    __problem=$("$__shell" -n -c "$1" 2>&1) && return 1
    case $__problem in
        *'end of file'*|*'nterminated'*|*'EOF in'*) return 0 ;;
    esac
    return 1
}
__finish() {
    case $__text in *exit*) return ;; esac
    [ -n "$__text" ] || return
    __record 2 "$__text" >> "$__log"
    # An error has ended the shell that an interactive one goes on after.
    exec "$__shell" """
    + f"{PLACE}/{_LOOP}"
    + """ "$__shell"
}
# That of the image: shells set one of their own.
__prompt=$(cat /proc/self/environ | tr '\\0' '\\n' | sed -n s/^PS1=//p)
__record start '' >> "$__log"
trap '__interrupted=1' INT
trap __finish EXIT
while :; do
    __text= __interrupted=
    printf '%s' "${__prompt:-$PWD # }"
    if ! IFS= read -r __text; then
        __text=
        echo
        [ -n "$__interrupted" ] && continue
        break
    fi
    while [ -n "$__text" ] && __needs_more "$__text"; do
        printf '> '
        IFS= read -r __line || break
        __text="$__text
$__line"
    done
    [ -n "$__text" ] || continue
    if "$__shell" -n -c "$__text"; then
        eval "$__text"
        __status=$?
    else
        __status=2
    fi
    __record "$__status" "$__text" >> "$__log"
done
"""
)


def make_recording(directory: str) -> None:
    """Write what the shell needs to an empty directory. Raises OSError."""
    os.chmod(directory, 0o755)
    for name, text, mode in (
        (_BASHRC, _BASHRC_TEXT, 0o644),
        (_LOOP, _LOOP_TEXT, 0o644),
        # Another user of the container than the caller writes to it.
        (LOG, "", 0o666),
    ):
        path = f"{directory}/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)


def recorded_arguments(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments of a shell that records. Raises UsageError for what is no shell at a prompt."""
    program, *rest = arguments
    name = program.rpartition("/")[2]
    if _INTERACTIVE.issuperset(rest):
        if name == "bash":
            return program, "--rcfile", f"{PLACE}/{_BASHRC}", "-i"
        if name in _SHELLS:
            return program, f"{PLACE}/{_LOOP}", program
    raise UsageError(
        f"what is typed into {' '.join(arguments)} cannot be recorded",
        hint="name a shell after the image: sh or bash",
    )


def plain_arguments(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """What `recorded_arguments` was given: those of any other program stay as they are."""
    if any(each.startswith(f"{PLACE}/") for each in arguments[1:]):
        return arguments[:1]
    return arguments
