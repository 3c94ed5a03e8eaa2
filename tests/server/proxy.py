"""LossyProxy: stands between a client and a server, and loses replies on demand."""

import random
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

__all__ = ["LossyProxy"]


@dataclass
class _Loss:
    """A loss that was ordered."""

    word: bytes
    after: Callable[[], object]
    arrives: bool = True


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
        self._losses: list[_Loss] = []
        self._sockets: list[socket.socket] = []
        self._share = 0.0
        self._random = random.Random()
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

    def lose_reply_to(self, word: bytes, *, after: Callable[[], object] = int) -> None:
        """
        Lose the reply to the next request that contains the word, after something was done
        between the server's reply and its loss.
        """
        self._losses.append(_Loss(word, after))

    def lose_request(self, word: bytes) -> None:
        """Lose the next request that contains the word, on its way to the server."""
        self._losses.append(_Loss(word, int, arrives=False))

    def lose_share(self, share: float, *, seed: int) -> None:
        """Lose so many of all replies, at random."""
        self._share, self._random = share, random.Random(seed)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            lost: list[_Loss] = []
            threading.Thread(target=self._up, args=(client, server, lost), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server, lost), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, lost: list[_Loss]) -> None:
        with suppress(OSError):
            while request := client.recv(1 << 20):
                if self._losses and self._losses[0].word in request:
                    loss = self._losses.pop(0)
                    if not loss.arrives:
                        self.lost += 1
                        break
                    lost.append(loss)
                elif self._random.random() < self._share:
                    lost.append(_Loss(b"", int))
                server.sendall(request)
        # Both ends: a thread that waits for the other end is not woken by closing this one.
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _down(self, client: socket.socket, server: socket.socket, lost: list[_Loss]) -> None:
        with suppress(OSError):
            while reply := server.recv(1 << 20):
                if lost:
                    self.lost += 1
                    lost[0].after()
                    break
                client.sendall(reply)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
