"""`attach`: a further client of a container that runs, connected to its standard streams."""

from __future__ import annotations

from rootless.supervisor.client import MonitorClient
from rootless.supervisor.foreground import Attachment, Foreground, Forwarding, Outcome, forwarded
from rootless.supervisor.protocol import Kind


def attach(directory: str, attachment: Attachment, *, terminal: bool) -> Outcome:
    """Relay until the container has ended or the user has detached.

    `directory` is where the monitor's socket lies. Raises NotFoundError if there is no monitor, and
    RootlessError if it refuses.
    """
    client = MonitorClient.connect(directory)
    try:
        with Forwarding(client.signal, forwarded(attachment, terminal=terminal)):
            running = client.receive_until(Kind.RUNNING, Kind.EXITED)
            if running.kind is Kind.EXITED:
                fields = running.fields
                return Outcome(int(fields["status"]), bool(fields["out_of_memory"]))
            client.attach(attachment.numbers())
            return Foreground(client, attachment).run(int(running.fields["pid"]))
    finally:
        client.close()
