"""The log of a container: writes its output in the format of its log driver. Loaded at the first output."""

from __future__ import annotations

import errno
import time

from rootless.containers.timestamps import timestamp
from rootless.logs.rotated_file import LogFile
from rootless.spec.options import LogDriver
from rootless.supervisor.engine_log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.containers.launch_description import OutputLog
    from rootless.containers.record import ContainerRecord
    from rootless.logs.json_file import JsonEntries
    from rootless.logs.k8s_file import K8sEntries

STREAMS = {1: "stdout", 2: "stderr"}


class ContainerLog:
    """Writes both outputs. The first of errors in a row is written to the engine's log, and the entries are
    lost: as in Docker, the container goes on.
    """

    def __init__(self, settings: OutputLog, record: ContainerRecord) -> None:
        self._settings = settings
        self._record = record
        self._file: LogFile | None = None
        self._failed = False
        _keep_memory()
        self._entries = {number: self._formatter(name) for number, name in STREAMS.items()}

    def _formatter(self, stream: str) -> JsonEntries | K8sEntries:
        if self._settings.driver is LogDriver.K8S_FILE:
            from rootless.logs.k8s_file import K8sEntries

            return K8sEntries(stream)
        from rootless.light_json import dumps
        from rootless.logs.json_file import JsonEntries

        attributes = dict(self._settings.attributes)
        if self._settings.tag:
            attributes["tag"] = rendered_tag(self._settings.tag, self._record)
        return JsonEntries(stream, dumps(attributes, ascii_only=False) if attributes else b"")

    def add(self, number: int, data: bytes) -> None:
        """Log what stream `number` has given."""
        self._write(self._entries[number].add(data, self._time()))

    def close(self) -> None:
        """Log lines that have no end, and close the file; the next `add` opens it again."""
        for each in self._entries.values():
            self._write(each.end(self._time()))
        self._close_file()

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                # On NFS a full disk is reported here too, or here alone.
                log(f"closing the log: {error}")

    def _time(self) -> bytes:
        moment = timestamp(time.time_ns())
        if self._settings.driver is LogDriver.K8S_FILE:
            return f"{moment[:-1]}+00:00".encode()
        # Go's RFC3339Nano has no zeros at the end of the fraction.
        return f"{moment[:-1].rstrip('0').rstrip('.')}Z".encode()

    def _write(self, entries: bytes) -> None:
        if not entries:
            return
        try:
            if self._file is None:
                settings = self._settings
                self._file = LogFile(
                    settings.path,
                    limit=settings.max_size,
                    files=settings.max_file,
                    compress=settings.compress,
                )
            self._file.write(entries)
            self._failed = False
        except OSError as error:
            self._close_file()  # opened again, it ends an entry that is written in part
            if not self._failed:
                self._failed = True
                log(f"writing the container's log: {error.strerror or errno.errorcode}")


def rendered_tag(template: str, record: ContainerRecord) -> str:
    """The log option `tag`, as Docker renders it (loggerutils.ParseLogTag)."""
    if "{{" not in template:
        return template
    from rootless.gotemplate import Struct, TemplateError, parse

    image = record.image_id.removeprefix("sha256:")
    fields = {
        "ID": record.id[:12],
        "FullID": record.id,
        "Name": record.name,
        "ImageName": record.image,
        "ImageID": image[:12],
        "ImageFullID": image,
        "DaemonName": "rootless",
    }
    try:
        return parse(template, name="log-tag").render(Struct("Info", fields))
    except TemplateError as error:
        log(f"the log option tag: {error}")
        return ""


def _keep_memory() -> None:
    """Make the C library keep up to 8 MiB of freed memory instead of returning each buffer to the kernel,
    which would have to clear it again for the next: a block that is freed raises its thresholds
    (mallopt(3), M_MMAP_THRESHOLD, "dynamic"). Without it, half of the time of a busy log goes to page faults.
    """
    bytes(4 << 20)
