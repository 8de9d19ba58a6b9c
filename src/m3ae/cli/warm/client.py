"""The command ``m3ae`` when a warm server is there: it hands itself over, and stands for the job."""

import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType

from m3ae.cli.warm.request import CODE, Request

ADDRESS = "M3AE_WARM"
# Ctrl-C is not among them: the terminal sends it to the job too
PASSED_ON = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


def handed_over() -> int | None:
    """Let the server named by M3AE_WARM run this command, and return its exit code.

    None where no server is, or no longer: the command is to be run here. Ranks of one training are left
    to torchrun, which watches its own processes. Whoever kills this process kills the job.
    """
    address = os.environ.get(ADDRESS)
    if not address or "RANK" in os.environ:
        return None
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(address)
        except OSError:
            return None
        pass_signals_on(server)
        code = exit_code(server)
    return code if code >= 0 else end_by(-code)


def exit_code(server: socket.socket) -> int:
    """Hand this command over, and wait for its end; negative if a signal ended it."""
    answer = b""
    with suppress(ConnectionError):
        Request.of_this_process().send(server)
        with server.makefile("rb") as file:
            answer = file.read(CODE.size)
    if not answer:
        print("m3ae: error: the process that starts jobs was killed; run this again", file=sys.stderr)
        return 1
    return CODE.unpack(answer)[0]


def pass_signals_on(server: socket.socket) -> None:
    """Send the job what this process is sent."""

    def send(number: int, _frame: FrameType | None) -> None:
        server.send(bytes([number]))

    for number in PASSED_ON:
        signal.signal(number, send)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_by(number: int) -> int:
    """End as the job ended, by a signal: a shell says 128 more than its number."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number
