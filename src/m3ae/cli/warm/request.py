"""What a command hands to the server: all that makes a process this one and not another."""

import json
import os
import socket
import struct
import sys
from dataclasses import asdict, dataclass

HEAD = struct.Struct("!I")
CODE = struct.Struct("!i")
STREAMS = (0, 1, 2)


@dataclass(frozen=True)
class Request:
    """A command as its shell started it; its standard streams travel beside it."""

    words: list[str]
    folder: str
    umask: int
    environment: dict[str, str]

    @classmethod
    def of_this_process(cls) -> "Request":
        """The command that this process was started for."""
        umask = os.umask(0)
        os.umask(umask)
        return cls(sys.argv, os.getcwd(), umask, dict(os.environ))

    def send(self, connection: socket.socket) -> None:
        """Send it, and this process's standard streams."""
        text = json.dumps(asdict(self)).encode()  # what is not UTF-8 travels escaped
        socket.send_fds(connection, [HEAD.pack(len(text))], STREAMS)
        connection.sendall(text)

    @classmethod
    def receive(cls, connection: socket.socket) -> tuple["Request", list[int]]:
        """The request and the sender's standard streams; OSError if the sender went away."""
        head, streams, _, _ = socket.recv_fds(connection, HEAD.size, len(STREAMS))
        if len(head) < HEAD.size or len(streams) < len(STREAMS):
            raise ConnectionError("expected a command and its three streams")
        with connection.makefile("rb") as file:
            text = file.read(HEAD.unpack(head)[0])
        return cls(**json.loads(text)), streams
