"""LossyProxy: stands between a client and a server, and loses replies on demand."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

__all__ = ["LossyProxy"]


class LossyProxy:
    """
    Passes everything on, except the replies that it was asked to lose.

    A lost reply is one whose request reached the server: the connection to the client is closed in
    its place, as when the network fails after the server did its work.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._losses: list[bytes] = []
        self._sockets: list[socket.socket] = []
        self.lost = 0
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for one in (self._listener, *self._sockets):
            one.close()

    def lose_reply_to(self, word: bytes, *, times: int = 1) -> None:
        """Lose the reply to the next requests that contain the word."""
        self._losses += [word] * times

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            losing = threading.Event()
            threading.Thread(target=self._up, args=(client, server, losing), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server, losing), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with suppress(OSError):
            while request := client.recv(65536):
                if self._losses and self._losses[0] in request:
                    self._losses.pop(0)
                    losing.set()
                server.sendall(request)

    def _down(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with suppress(OSError):
            while reply := server.recv(65536):
                if losing.is_set():
                    self.lost += 1
                    break
                client.sendall(reply)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
