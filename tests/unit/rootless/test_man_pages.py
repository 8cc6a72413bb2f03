"""Manual pages hold what the command tables say, and groff reads them without a complaint."""

import shutil
import subprocess
import sys

import pytest

from rootless.cli.help.man_pages import pages
from rootless.cli.index import every_command


def test_every_command_has_a_page_with_its_options():
    written = pages()
    assert {"rootless.1", "rootless-run.1", "rootless-image-prune.1"} <= set(written)
    for path, command in every_command():
        text = written[f"rootless-{path.replace(' ', '-')}.1"]
        assert text.startswith(".TH ")
        for option in command.options:
            shown = "\\fB\\-\\-" + option.long.replace("-", "\\-") + "\\fR"
            assert (shown in text) is not option.hidden, option.long


def test_module_writes_the_pages_to_a_directory(tmp_path):
    target = tmp_path / "man1"
    command = [sys.executable, "-m", "rootless.cli.help.man_pages", str(target)]
    subprocess.run(command, check=True, timeout=120)
    assert {page.name for page in target.iterdir()} == set(pages())


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_reads_every_page_without_a_warning(tmp_path):
    for name, text in pages().items():
        command = ["groff", "-man", "-Tutf8", "-ww"]
        done = subprocess.run(
            command, check=False, input=text.encode(), capture_output=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, b""), name
