"""The log driver k8s-file: output in the format of the Kubernetes CRI. Pure.

A line is `TIME STREAM TAG CONTENT`; TAG is F for the end of a line, and P for a part before it
(kubernetes/design-proposals, kubelet-cri-logging). Parts are written as soon as they come, as conmon
does.
"""

from __future__ import annotations


class K8sEntries:
    """Makes the lines of one stream."""

    def __init__(self, stream: str) -> None:
        self._stream = stream.encode()

    def add(self, data: bytes, time: bytes) -> bytes:
        """The lines of `data`. `time` is in the form of RFC 3339."""
        full = b"%b %b F " % (time, self._stream)
        end = data.rfind(b"\n") + 1
        lines, part = data[:end], data[end:]
        entries = full + lines.replace(b"\n", b"\n" + full)[: -len(full)] if lines else b""
        if part:
            entries += b"%b %b P %b\n" % (time, self._stream, part)
        return entries

    def end(self, time: bytes) -> bytes:  # noqa: ARG002 - as of JsonEntries
        """Nothing: parts have been written."""
        return b""
