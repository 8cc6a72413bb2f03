# Sourced by the other scripts: which account the suite and the demo run as, and a tree which that account can read.

TEST_ACCOUNT=rootless-test   # with subordinate ids
NOSUB_ACCOUNT=rootless-nosub # without

tester() { # the ordinary account: the caller, or, for root, the test account
    if [ "$(id -u)" = 0 ]; then echo "$TEST_ACCOUNT"; else id -un; fi
}

reachable_tree() { # print a directory that holds this tree and that the ordinary account can read
    local here export
    here=$(pwd -P)
    if [ "$(id -u)" != 0 ]; then
        echo "$here"
        return
    fi
    if setpriv --reuid="$TEST_ACCOUNT" --regid="$TEST_ACCOUNT" --init-groups sh -c \
        'cd "$1" 2>/dev/null && [ -r . ] && [ -z "$(find . -name .git -prune -o -name .venv -prune -o ! -readable -print -quit 2>&1)" ]' \
        sh "$here" 2>/dev/null; then
        echo "$here"
        return
    fi
    # A clone beneath /root, or made with a strict umask: a copy that everyone may read, in a place that only root writes.
    export=/var/lib/rootless-test/$(printf %s "$here" | cksum | cut -d' ' -f1)
    mkdir -p "$export"
    # Made again only when a file has changed: what runs in it keeps it, and its compiled modules.
    (
        flock 9
        stamp=$(find . \( -name .git -o -name .venv -o -name __pycache__ -o -name '.*_cache' \) -prune -o ! -type d -printf '%P %m %s %T@ %l\n' | sort)
        [ "$stamp" != "$(cat "$export.stamp" 2>/dev/null)" ] || exit 0
        rm -f "$export.stamp"
        find "$export" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} + &&
            tar -C "$here" --exclude=./.git --exclude=./.venv --exclude='__pycache__' --exclude='./.*_cache' -cf - . |
            tar -C "$export" --no-same-owner --mode=u+rwX,go=rX -xf - &&
            printf '%s\n' "$stamp" >"$export.stamp"
    ) 9>"$export.lock" || return
    chmod 755 /var/lib/rootless-test "$export"
    echo "$export"
}
