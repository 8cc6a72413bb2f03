"""The legal orders of the monitor's protocol: every message in every state."""

import pytest

from rootless.supervisor.protocol import (
    ClientState,
    Kind,
    MonitorState,
    ProtocolError,
    after_client,
    after_monitor,
    refusal,
)

ANYTIME = {
    Kind.START,
    Kind.SIGNAL,
    Kind.KILL,
    Kind.STOP,
    Kind.PAUSE,
    Kind.UNPAUSE,
    Kind.UPDATE,
    Kind.CHECK,
    Kind.LISTENER,
    Kind.CONNECT,
    Kind.DISCONNECT,
    Kind.RENAME,
    Kind.JOIN,
    Kind.UPGRADE,
}
OF_CLIENTS = {Kind.HELLO, Kind.ATTACH, Kind.DETACH} | ANYTIME

CLIENT = {
    ClientState.CONNECTED: {Kind.HELLO},
    ClientState.GREETED: ANYTIME | {Kind.ATTACH},
    ClientState.ATTACHED: ANYTIME | {Kind.DETACH},
}
ANSWERS = {Kind.ATTACHED, Kind.DETACHED, Kind.DONE, Kind.NOTICE, Kind.STOPPED, Kind.REFUSED}
MONITOR = {
    MonitorState.CONNECTED: {Kind.WELCOME, Kind.REFUSED, Kind.FAILED},
    MonitorState.CREATING: ANSWERS | {Kind.READY, Kind.FAILED, Kind.EXITED},
    MonitorState.READY: ANSWERS | {Kind.RUNNING, Kind.FAILED, Kind.EXITED},
    MonitorState.RUNNING: ANSWERS | {Kind.READY, Kind.FAILED, Kind.EXITED},
    MonitorState.RESTARTING: set(),
    MonitorState.ENDED: set(),
}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("state", list(ClientState))
def test_client_may_send_what_its_state_allows_and_nothing_else(state, kind):
    if kind in CLIENT[state]:
        assert after_client(state, kind) in ClientState
    else:
        with pytest.raises(
            ProtocolError, match=f"{kind.value} from a client that is {state.value}"
        ):
            after_client(state, kind)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("state", list(MonitorState))
def test_monitor_may_send_what_its_state_allows_and_nothing_else(state, kind):
    if kind in MONITOR[state]:
        assert after_monitor(state, kind) in MonitorState
    else:
        with pytest.raises(ProtocolError, match=f"{kind.value} from a monitor that is"):
            after_monitor(state, kind)


def states_after(start, kinds, step):
    for kind in kinds:
        start = step(start, kind)
    return start


def test_run_sends_its_requests_at_once():
    sent = [Kind.HELLO, Kind.ATTACH, Kind.START, Kind.SIGNAL, Kind.DETACH]
    assert states_after(ClientState.CONNECTED, sent, after_client) is ClientState.GREETED


def test_late_client_is_brought_up_to_date():
    sent = [Kind.WELCOME, Kind.READY, Kind.RUNNING, Kind.ATTACHED, Kind.NOTICE, Kind.EXITED]
    assert states_after(MonitorState.CONNECTED, sent, after_monitor) is MonitorState.ENDED


def test_client_that_wants_a_restart_sees_the_next_run():
    sent = [Kind.WELCOME, Kind.READY, Kind.RUNNING, Kind.READY, Kind.RUNNING, Kind.DONE]
    assert states_after(MonitorState.CONNECTED, sent, after_monitor) is MonitorState.RUNNING


@pytest.mark.parametrize(
    ("kind", "state", "reason"),
    [
        (Kind.START, MonitorState.READY, None),
        (Kind.START, MonitorState.RUNNING, "the container has been started already"),
        (Kind.SIGNAL, MonitorState.READY, "signal: the container is ready"),
        (Kind.SIGNAL, MonitorState.RUNNING, None),
        (Kind.SIGNAL, MonitorState.RESTARTING, None),
        (Kind.ATTACH, MonitorState.READY, None),
        (Kind.ATTACH, MonitorState.RUNNING, None),
    ],
)
def test_request_at_the_wrong_time_has_a_reason(kind, state, reason):
    assert refusal(kind, state) == reason


def test_every_request_but_hello_has_its_time():
    for kind in OF_CLIENTS - {Kind.HELLO}:
        assert any(refusal(kind, state) is None for state in MonitorState)
