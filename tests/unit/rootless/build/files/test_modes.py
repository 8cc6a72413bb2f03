"""The value of --chmod, beside chmod(1)."""

import subprocess

import pytest

from rootless.build.errors import BuildError
from rootless.build.files.modes import ModeChange

MODES = [
    *("755", "0644", "4755", "u=rwX,go=rX", "a+x,o-r", "g=u", "+x", "u+s", "g+s", "o=", "+t"),
    *("u=rw,g=r,o=", "a-w", "go-rwx", "u+x,g-x", "o=g", "ug+rw", "u-s,g-s", "=r"),
]


@pytest.mark.parametrize("text", MODES)
@pytest.mark.parametrize("start", [0o600, 0o644, 0o755, 0o6711, 0o000])
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_it_is_what_chmod_does(tmp_path, text, start, kind):
    path = tmp_path / "x"
    path.mkdir() if kind == "directory" else path.write_text("")
    path.chmod(start)
    before = path.stat().st_mode
    # chmod(1) keeps the set-id bits of a directory where a number does not name them; BuildKit sets all.
    argv = ["chmod", *(["--"] if text.startswith("-") else []), text, str(path)]
    subprocess.run(argv, check=True, timeout=120, umask=0)
    if kind == "directory" and (text.isdigit() or "=" in text) and before & 0o6000:
        return
    assert ModeChange(text).apply(before) == path.stat().st_mode


@pytest.mark.parametrize("text", ["", "rwx", "u=rwz", "888", "u=r,", "x+y", "1234567"])
def test_anything_else_is_refused(text):
    with pytest.raises(BuildError, match="invalid chmod parameter"):
        ModeChange(text)
