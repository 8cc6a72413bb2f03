"""The machine code is what its source says; what it writes is read."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from rootless.runtime import holder
from rootless.runtime.handshake import Failure, MessageKind, decode
from rootless.runtime.trampoline import CODE, CODE_OFFSET
from rootless.supervisor.standby import waiter

SCRIPTS = Path(__file__).parents[4] / "scripts"
PROGRAMS = {"trampoline": CODE, "holder": holder.CODE, "waiter": waiter.CODE}
each = pytest.mark.parametrize(("name", "codes"), PROGRAMS.items(), ids=PROGRAMS)


@each
def test_every_code_has_a_source(name, codes):
    assert {path.stem for path in (SCRIPTS / name).glob("*.s")} == codes.keys()


@each
@pytest.mark.skipif(shutil.which("as") is None, reason="no assembler")
def test_code_is_what_the_source_of_this_machine_says(name, codes, tmp_path):
    machine = os.uname().machine
    made, linked, raw = (tmp_path / name for name in ("t.o", "t", "t.bin"))
    for command in (
        ["as", SCRIPTS / name / f"{machine}.s", "-o", made],
        ["ld", "-Ttext", "0", "-e", "start", "-o", linked, made],
        ["objcopy", "-O", "binary", "-j", ".text", linked, raw],
    ):
        subprocess.run(command, check=True, capture_output=True)
    code = raw.read_bytes()[CODE_OFFSET:].rstrip(b"\0")
    assert code == codes[machine].rstrip(b"\0")


def test_failure_of_the_trampoline_is_a_message():
    message = decode(struct.pack("=I", 123) + b"/caf\xe9", None)
    assert message.kind is MessageKind.FAILED
    assert message.failure == Failure("exec", "exec", 123, "/caf\udce9")
