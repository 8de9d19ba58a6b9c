"""The process that has imported what most jobs need, and forks itself for each of them."""

import ctypes
import os
import selectors
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from m3ae.cli.warm.client import PASSED_ON
from m3ae.cli.warm.request import CODE, Request

PATIENCE_S = 5.0  # to read a request: the sender has it ready
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
CHANGED_HERE = (*PASSED_ON, signal.SIGINT, signal.SIGCHLD)
Job = tuple[Request, list[int]]


class Server:
    """Forks for each command that comes to ``address``, until the file ``held`` ends.

    A job's exit code goes back to its sender, signals come from there, and a job whose sender is gone is
    killed. When ``held`` ends (Snakemake is gone, however it went) no new job is taken.
    """

    def __init__(self, address: Path, held: int) -> None:
        self.address, self.held = address, held
        self.senders: dict[int, socket.socket] = {}
        self.waiting = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)
        self.woken, waker = socket.socketpair()
        self.waker = waker
        self.open = True

    def serve(self) -> Job | None:
        """None when all is done, and in each forked process the job that it has to do."""
        self.begin()
        while self.open or self.senders:
            for key, _ in self.waiting.select():
                react: Callable[[], Job | None] = key.data
                job = react()
                if job is not None:
                    return job
        self.address.unlink(missing_ok=True)
        return None

    def begin(self) -> None:
        """Listen, and be woken by every child that ends; Ctrl-C is for the jobs."""
        self.waker.setblocking(False)
        self.woken.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, lambda *_: None)
        self.listener.bind(str(self.address))
        self.listener.listen(64)
        self.waiting.register(self.listener, selectors.EVENT_READ, self.fork)
        self.waiting.register(self.held, selectors.EVENT_READ, self.close)
        self.waiting.register(self.woken, selectors.EVENT_READ, self.reap)

    def close(self) -> None:
        """Take no more jobs."""
        self.open = False
        self.waiting.unregister(self.held)
        self.waiting.unregister(self.listener)
        self.listener.close()

    def fork(self) -> Job | None:
        """Start the job that somebody asks for; in the new process, return it."""
        if not self.open:
            return None
        sender, _ = self.listener.accept()
        sender.settimeout(PATIENCE_S)
        try:
            request, streams = Request.receive(sender)
        except OSError:
            sender.close()
            return None
        pid = os.fork()
        if pid == 0:
            self.leave(sender)
            return request, streams
        for stream in streams:
            os.close(stream)
        self.senders[pid] = sender
        self.waiting.register(sender, selectors.EVENT_READ, lambda: self.pass_on(pid, sender))
        return None

    def leave(self, sender: socket.socket) -> None:
        """In a new process: end with the server; keep nothing of its open; signals do what they always do."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in CHANGED_HERE:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.waiting.close()
        for opened in (self.listener, self.woken, self.waker, sender, *self.senders.values()):
            opened.close()

    def pass_on(self, pid: int, sender: socket.socket) -> None:
        """Send the job the signals that its sender got; the last one if the sender is gone."""
        if pid not in self.senders:
            return
        try:
            numbers = sender.recv(64)
        except OSError:
            numbers = b""
        if not numbers:
            self.waiting.unregister(sender)
        for number in numbers or bytes([signal.SIGKILL]):
            os.kill(pid, number)  # not reaped yet, so the number is still this job's

    def reap(self) -> None:
        """Tell the senders of jobs that have ended how they ended."""
        self.woken.recv(4096)
        for pid in list(self.senders):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self.tell(self.senders.pop(pid), os.waitstatus_to_exitcode(status))

    def tell(self, sender: socket.socket, code: int) -> None:
        """Send an exit code; negative for a signal."""
        if sender in self.waiting.get_map():
            self.waiting.unregister(sender)
        with suppress(OSError):  # it was killed, and so was its job
            sender.sendall(CODE.pack(code))
        sender.close()
