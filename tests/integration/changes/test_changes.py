"""`changes`: what a container did to the files of the host, or of its image."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("userns", "fuse")

FILES = {
    "lines": "".join(f"{number}\n" for number in range(100)),
    "gone": "gone\n",
    "removed/inner/file": "x\n",
    "moved/a": "a\n",
    "moved/inner/b": "b\n",
    "remade/old": "old\n",
    "remade/kept": "kept\n",
    "file to move": "c\n",
    "one": "1\n",
    "two": "2\n",
    "linked": "linked\n",
    "script": "#!/bin/sh\n",
    "same": "same\n",
}
SCRIPT = r"""
set -e
sed -i s/^50$/fifty/ lines
rm gone; rm -r removed
mv moved elsewhere; echo B > elsewhere/inner/b
rm -r remade; mkdir remade; echo kept again > remade/kept; echo new > remade/new
mv 'file to move' 'moved file'
mv one three; mv two one; mv three two
echo more >> linked
chmod +x script; touch -d 2001-01-01 script
printf 'bin\0y' > binary
ln -sfn there link
echo created > 'new file'; ln 'new file' 'new link'
truncate -s 10M sparse
mkdir -p new/empty; mkfifo pipe
printf 'x\n' > "$(printf 'na\nme')"; printf 'no newline' > unended
touch -r same times; cat same > same.new; touch -r times same.new; mv same.new same; rm times
"""


@pytest.fixture
def tree(tmp_path):
    place = tmp_path / "tree"
    for name, text in FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (place / "binary").write_bytes(b"bin\0x")
    (place / "link").symlink_to("here")
    os.link(place / "linked", place / "other link")
    return place


@pytest.fixture
def changed(rootless, tree):
    """A container that has run SCRIPT on the host's files. Returns what lists its changes of the tree."""
    options = ("--rootfs", "/", "--userns", "keep-id", "-w", str(tree), "--name", "one")
    rootless("run", *options, "sh", "-c", SCRIPT).ok()
    return lambda *words: rootless("changes", "one", str(tree), *words).ok().stdout


def test_changes_are_listed_with_what_happened(changed, tree):
    lines = changed().replace(f"{tree}/", "").splitlines()
    assert lines == [
        "changed  binary  (5B)",
        "moved    moved/ -> elsewhere/",
        "changed  elsewhere/inner/b  (2B)",
        "deleted  gone  (5B)",
        "changed  lines  (290B -> 293B)",
        "changed  link  (content)",
        "changed  linked  (7B -> 12B)",
        "moved    file to move -> moved file",
        'created  "na\\nme"  (2B)',
        "created  new/",
        "created  new/empty/",
        "created  new file  (8B)",
        f"created  new link  (hard link to {tree}/new file)".replace(f"{tree}/", ""),
        "moved    two -> one",
        "changed  other link  (7B -> 12B)",
        "created  pipe  (fifo)",
        "changed  remade/kept  (5B -> 11B)",
        "created  remade/new  (4B)",
        "deleted  remade/old  (4B)",
        "deleted  removed/",
        "changed  script  (mode 644 -> 755)",
        "created  sparse  (10.5MB, sparse, 0B allocated)",
        "moved    one -> two",
        "created  unended  (10B)",
    ]


@pytest.mark.parametrize("program", [["git", "apply"], ["patch", "-f", "-p1", "-s"]])
def test_diff_applied_to_a_copy_gives_the_text_files(changed, rootless, tree, tmp_path, program):
    if shutil.which(program[0]) is None:
        pytest.skip(f"needs {program[0]}")
    diff = changed("--diff").replace(str(tree)[1:] + "/", "")
    copy, inside = tmp_path / "copy", tmp_path / "inside"
    subprocess.run(["cp", "-a", tree, copy], check=True)
    result = subprocess.run(
        program, input=diff.encode(), cwd=copy, check=False, capture_output=True
    )
    assert result.returncode == 0, (result, diff)
    rootless("cp", f"one:{tree}", str(inside)).ok()
    special = {"binary", "sparse", "pipe"}
    assert _text_files(copy, special) == _text_files(inside, special)


def _text_files(place: Path, without: set[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in place.rglob("*"):
        name = str(path.relative_to(place))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file() and name not in without:
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


def test_binary_file_is_in_the_diff_by_size_and_digest(changed, tree):
    (line,) = [line for line in changed("--diff").splitlines() if "/binary" in line]
    assert line.startswith(f"# binary {str(tree)[1:]}/binary: 5 bytes sha256:")
    assert " -> 5 bytes sha256:" in line


def test_json_has_every_change_with_both_states(changed, tree):
    document = json.loads(changed("--json"))
    assert document["format"] == 1
    by_path = {each["path"]: each for each in document["changes"]}
    moved = by_path[f"{tree}/elsewhere"]
    assert (moved["kind"], moved["source"]) == ("moved", f"{tree}/moved")
    script = by_path[f"{tree}/script"]
    assert script["aspects"] == ["mode", "times"]
    assert (script["before"]["mode"], script["after"]["mode"]) == ("0644", "0755")
    assert by_path[f"{tree}/new link"]["link"] == f"{tree}/new file"
    assert by_path[f"{tree}/sparse"]["after"]["size"] == 10 << 20
    assert by_path[f"{tree}/link"]["after"]["target"] == "there"


def test_json_is_of_its_schema(changed, tree):
    schema = json.loads((Path(__file__).parents[3] / "docs" / "changes.schema.json").read_text())
    document = json.loads(changed("--json"))
    assert len(document["changes"]) > 20
    check_schema(document, schema, schema)
    with pytest.raises(AssertionError):
        check_schema(document | {"changes": [{"kind": "none", "path": "/"}]}, schema, schema)


def test_names_only_end_by_nul_with_z(changed, tree):
    names = changed("--name-only", "-z").split("\0")
    assert f"{tree}/na\nme" in names
    assert f'"{tree}/na\\nme"' in changed("--name-only").splitlines()


def test_stat_counts_lines(changed, tree):
    lines = changed("--stat").splitlines()
    assert lines[-1].endswith("13 insertions(+), 9 deletions(-)")
    assert any(line.split("|")[1].split() == ["2", "+-"] for line in lines if "/lines " in line)


def test_only_what_is_asked_for_is_listed(rootless, changed, tree):
    result = rootless("changes", "one", f"{tree}/remade", f"{tree}/moved", "--name-only").ok()
    names = result.stdout.replace(f"{tree}/", "").split()
    assert names == ["elsewhere", "remade/kept", "remade/new", "remade/old"]


@pytest.mark.needs("busybox")
@pytest.mark.parametrize(
    "driver", ["unionfs", pytest.param("overlay", marks=pytest.mark.needs("overlay"))]
)
def test_changes_of_an_image_are_against_the_image(rootless, busybox_image, driver):
    rootless("import", busybox_image, "box").ok()
    script = "echo new > /etc/new; echo more >> /etc/passwd; chmod 700 /tmp; rm /bin/vi"
    rootless("run", "--storage-driver", driver, "--name", "two", "box", "sh", "-c", script).ok()
    lines = rootless("changes", "two").ok().stdout.splitlines()
    assert [line.split("  (")[0] for line in lines] == [
        "deleted  /bin/vi",
        "created  /etc/new",
        "changed  /etc/passwd",
        "changed  /tmp/",
    ]
    assert "+more" in rootless("changes", "two", "/etc", "--diff").ok().stdout.splitlines()


def test_huge_files_with_holes_are_compared_and_shown_by_what_they_hold(rootless, tmp_path):
    for name in ("written", "touched"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 1 << 40)
    script = (
        f"cd {tmp_path}; printf x | dd of=written bs=1 seek=1000000 conv=notrunc; chmod 600 touched"
    )
    rootless("try", "--keep", "--name", "holes", "sh", "-c", script).ok()
    listed = rootless("changes", "holes").ok().stdout.splitlines()
    assert listed == [
        f"changed  {tmp_path}/touched  (mode 644 -> 600)",
        f"changed  {tmp_path}/written  (1.1TB)",
    ]
    shown = rootless("changes", "--diff", "holes").ok().stdout
    assert f"# binary {str(tmp_path)[1:]}/written: {1 << 40} bytes -> {1 << 40} bytes\n" in shown


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


def check_schema(value, schema, root):
    """As far as the schema goes: types, members that are required and known, enumerations and references."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    assert isinstance(value, TYPES[schema.get("type", type_of(value))]), (value, schema)
    assert value in schema.get("enum", [value]), (value, schema)
    assert value == schema.get("const", value), (value, schema)
    if isinstance(value, list):
        for each in value:
            check_schema(each, schema["items"], root)
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= value.keys(), (value, schema)
        other = schema.get("additionalProperties")
        for key, each in value.items():
            assert key in schema.get("properties", {}) or isinstance(other, dict), (key, schema)
            check_schema(each, schema.get("properties", {}).get(key, other), root)


def type_of(value):
    return next(name for name, known in TYPES.items() if isinstance(value, known))
