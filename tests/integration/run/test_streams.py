"""Standard streams: apart, whole, with back-pressure, and ended when the other side ends."""

import os
import signal
import subprocess

import pytest

from tests.support.waiting import settled, wait_until

pytestmark = pytest.mark.needs("userns", "fuse")

SIZE = 256 << 20


def test_outputs_are_kept_apart(rootless):
    result = rootless("run", "--rm", "--rootfs", "/", "sh", "-c", "echo out; echo err >&2").ok()
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_input_ends_where_the_callers_ends(rootless):
    result = rootless("run", "--rm", "-i", "--rootfs", "/", "cat", stdin=b"hi\n").ok()
    assert result.stdout == "hi\n"


def test_input_is_empty_without_interactive(rootless):
    result = rootless("run", "--rm", "--rootfs", "/", "wc", "-c", stdin=b"hi\n").ok()
    assert result.stdout == "0\n"


def test_output_goes_on_after_the_input_has_ended(rootless):
    script = "cat > /dev/null; echo later"
    result = rootless("run", "--rm", "-i", "--rootfs", "/", "sh", "-c", script, stdin=b"x").ok()
    assert result.stdout == "later\n"


def test_large_input_arrives_whole(rootless):
    data = os.urandom(1 << 20) * 20
    result = rootless("run", "--rm", "-i", "--rootfs", "/", "sha256sum", stdin=data).ok()
    import hashlib

    assert result.stdout.split()[0] == hashlib.sha256(data).hexdigest()


def test_attach_connects_only_what_is_named(rootless):
    script = "echo out; echo err >&2"
    result = rootless("run", "--rm", "-a", "stderr", "--rootfs", "/", "sh", "-c", script).ok()
    assert (result.stdout, result.stderr) == ("", "err\n")


def test_container_has_no_terminal_of_the_callers(rootless):
    script = "test -t 0 || test -t 1 || test -t 2 || ! true < /dev/tty"
    assert rootless("run", "--rm", "--rootfs", "/", "sh", "-c", script).status == 0


def test_output_is_written_to_files_and_appended(rootless, tmp_path):
    path = tmp_path / "out"
    for mode in ("wb", "ab"):
        with path.open(mode) as file:
            process = rootless.popen("run", "--rm", "--rootfs", "/", "echo", mode, stdout=file)
            process.communicate(timeout=120)
    assert path.read_text() == "wb\nab\n"


def resident_kilobytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    return 0


@pytest.mark.slow
def test_large_output_arrives_whole_without_growth(rootless):
    # The log holds a letter as one byte, and a zero as six.
    script = f"head -c {SIZE} /dev/zero | tr '\\0' x"
    process = rootless.popen("run", "--rm", "--rootfs", "/", "sh", "-c", script)
    count, before, most = 0, 0, 0
    while piece := os.read(process.stdout.fileno(), 1 << 20):
        count += len(piece)
        if count % (16 << 20) < len(piece):
            now = resident_kilobytes(process.pid)
            before = before or now
            most = max(most, now)
    assert process.wait(120) == 0
    assert count == SIZE
    assert most - before < 4096
    process.communicate()


def test_slow_reader_slows_the_writer_down(rootless, tmp_path):
    script = "i=0; while echo 0123456789abcdef; do i=$((i+1)); echo $i > /data/n; done"
    process = rootless.popen(
        "run", "--rm", "-v", f"{tmp_path}:/data", "--rootfs", "/", "sh", "-c", script
    )
    written = tmp_path / "n"
    wait_until(written.exists)
    # Three pipes of 64 KiB and what the monitor has read at once hold it all. The file is empty for a
    # moment each time that it is written.
    assert int(settled(written.read_text) or 0) * 17 < 5 * 65536
    process.terminate()
    process.communicate(timeout=120)


def test_reader_that_goes_away_ends_the_writer(rootless):
    process = rootless.popen("run", "--rm", "--rootfs", "/", "yes", stdin=subprocess.DEVNULL)
    assert os.read(process.stdout.fileno(), 2) == b"y\n"
    process.stdout.close()
    assert process.wait(120) == 128 + signal.SIGPIPE or process.returncode == 1
    process.stderr.close()


def test_output_that_cannot_be_written_is_one_clear_line(rootless):
    with open("/dev/full", "wb") as full:
        process = rootless.popen("run", "--rm", "--rootfs", "/", "yes", stdout=full)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err == b"rootless: cannot forward the output of the container: no space left on device\n"


def test_closed_streams_are_as_good_as_empty(rootless):
    process = rootless.popen(
        *("run", "--rm", "-i", "--rootfs", "/", "sh", "-c", "cat; echo x; exit 3"),
        preexec_fn=lambda: os.closerange(0, 3),
    )
    process.communicate(timeout=120)
    assert process.returncode == 3
