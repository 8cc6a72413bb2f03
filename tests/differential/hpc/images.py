"""What the lines are run on: a directory with images of every kind, made of busybox, and files to bind."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.sif import Part, write_sif

_SCRIPTS = ".singularity.d"
_TOOL: Mapping[str, str] = {
    f"{_SCRIPTS}/env/10-docker2singularity.sh": (
        'export PATH="/opt/tool:/bin"\nexport FROM_10="${FROM_10:-"ten"}"\n'
        'NOT_EXPORTED=1\nof_image() { echo function; }\nORDER="${ORDER}10 "\n'
    ),
    f"{_SCRIPTS}/env/90-environment.sh": 'export FROM_90=ninety\nORDER="${ORDER}90 "\n',
    f"{_SCRIPTS}/env/91-environment.sh": 'export FROM_91="$FROM_90 one"\nORDER="${ORDER}91 "\n',
    f"{_SCRIPTS}/env/95-apps.sh": (
        'app="/scif/apps/${SINGULARITY_APPNAME:-none}"\nif [ -d "$app/scif" ]; then\n'
        'for each in "$app"/scif/env/*.sh; do . "$each"; done\nPATH="$app/bin:$PATH"\nfi\n'
    ),
    f"{_SCRIPTS}/env/99-base.sh": 'export FROM_99=last\nORDER="${ORDER}99"\nexport ORDER\n',
    f"{_SCRIPTS}/env/README": "export FROM_99=readme\n",
    f"{_SCRIPTS}/runscript": '#!/bin/sh\necho "run: $#: $* $FROM_10"\n',
    f"{_SCRIPTS}/startscript": "#!/bin/sh\necho started\n",
    f"{_SCRIPTS}/test": '#!/bin/sh\necho "test: $FROM_90"\n',
    f"{_SCRIPTS}/runscript.help": "How to use it.\n",
    f"{_SCRIPTS}/Singularity": "bootstrap: docker\nfrom: busybox\n",
    f"{_SCRIPTS}/labels.json": '{"version": "1", "who": "me"}\n',
    "scif/apps/foo/scif/env/90-environment.sh": "export FOO_APP=foo\n",
    "scif/apps/foo/scif/runscript": '#!/bin/sh\necho "app: $* $FOO_APP"\n',
    "scif/apps/foo/scif/runscript.help": "How to use foo.\n",
    "scif/apps/foo/scif/labels.json": '{"app": "foo"}\n',
    "scif/apps/foo/bin/foo-tool": "#!/bin/sh\necho tool of foo\n",
    "of-tool": "of the tool\n",
    "removed": "",
    "etc/mode": "",
}
_EXECUTED = {"runscript", "startscript", "test", "foo-tool"}
_EXT3_KIB = 8192


def make_images(directory: Path, busybox: Path) -> None:
    """Make them in a directory that is new."""
    directory.mkdir(parents=True)
    plain = _tree(directory / "plain", busybox, {})
    (plain / "bad-interpreter").write_text("#!/no/such/program\n")
    (plain / "no-line").write_text("echo without a first line\n")
    for name in ("bad-interpreter", "no-line"):
        (plain / name).chmod(0o755)
    tree = _tree(directory / "tree", busybox, _TOOL)
    (tree / "target-inside").mkdir()
    (tree / "link-inside").symlink_to("target-inside")
    failing = {
        f"{_SCRIPTS}/{name}": f"#!/bin/sh\necho {name}\nexit 3\n" for name in ("runscript", "test")
    }
    _tree(directory / "failing", busybox, failing)
    for name, source in (("tool", "tree"), ("bare", "plain"), ("failing", "failing")):
        _sif(directory, source, name)
    for name in ("d1", "d2", "layer", "layer2", "empty-directory", "with:colon", "with,comma"):
        (directory / name).mkdir()
    for name, text in (("d1", "one"), ("d2", "two"), ("with:colon", "co"), ("with,comma", "cm")):
        (directory / name / "f").write_text(f"{text}\n")
    (directory / "link").symlink_to("d1")
    (directory / "empty.sif").touch()
    (directory / "text.sif").write_text("no image\n" * 100)
    (directory / "truncated.sif").write_bytes((directory / "tool.sif").read_bytes()[:40000])
    (directory / "env.list").write_text(
        "# comment\nONE=1\nTWO=two\n\nQUOTED=\"q q\"\nexport EXPORTED=yes\nSINGLE='s s'\n"
    )
    (directory / "env2.list").write_text("TWO=2\n")
    _ext3(directory / "image.ext3")


def _tree(root: Path, busybox: Path, files: Mapping[str, str]) -> Path:
    root.mkdir()
    subprocess.run(["tar", "-xf", busybox, "-C", root], check=True)
    for name in ("mnt", "opt", "var/tmp"):
        (root / name).mkdir()
    for name in ("hosts", "resolv.conf", "localtime"):
        (root / "etc" / name).touch()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.name in _EXECUTED:
            path.chmod(0o755)
    return root


def _sif(directory: Path, source: str, name: str) -> None:
    squashfs = directory / f"{name}.sqfs"
    options = ("-quiet", "-no-progress", "-all-root")
    subprocess.run(
        ["mksquashfs", directory / source, squashfs, *options],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    write_sif(directory / f"{name}.sif", [Part(squashfs.read_bytes())])
    (directory / f"{name}.sif").chmod(0o755)


def _ext3(path: Path) -> None:
    """An image to write to, as `apptainer overlay create` makes one."""
    parts = path.with_suffix(".parts")
    for name in ("upper", "work"):
        (parts / name).mkdir(parents=True)
    path.touch()
    program = shutil.which("mkfs.ext3", path="/usr/sbin:/sbin:/usr/bin") or "mkfs.ext3"
    subprocess.run(
        [program, "-q", "-F", "-d", parts, path, str(_EXT3_KIB)],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    shutil.rmtree(parts)
