"""A TCP proxy between the platform and a store, which does to connections what networks and stores do.

It runs in a process of its own: the stores' clients may hold this one's interpreter while they wait for an answer.
"""

import multiprocessing
import random
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

_FORKED = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Answer:
    """The client gets these bytes, and the connection ends; the server does not hear of it."""

    data: bytes = b""


@dataclass(frozen=True)
class Cut:
    """The server gets the request; of its answer the client gets the bytes up to there, then the connection ends."""

    upto: int = 0
    reset: bool = False


@dataclass(frozen=True)
class Stall:
    """The request is passed on after so many seconds."""

    seconds: float


Fault = Answer | Cut | Stall


@dataclass(frozen=True)
class Rule:
    """Which requests meet with a fault.

    Attributes:
        about: what the piece begins with that a client sends, a pattern.
        share: of these so many, by chance.
        most: at most so many.
        after: only once something with this pattern in it has been sent on the connection.
    """

    fault: Fault
    about: bytes
    share: float = 1
    most: int = 1000
    seed: int = 0
    after: bytes = b""


@dataclass
class _Connection:
    client: socket.socket
    server: socket.socket
    cut: Cut | None = None
    ready: bool = False

    def end(self, *, reset: bool = False) -> None:
        with suppress(OSError):
            if reset:
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # A socket that another thread reads from is closed only once that thread has been woken.
                self.client.shutdown(socket.SHUT_RD)
                self.client.close()
            else:
                self.client.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)


class _Proxy:
    def __init__(self, target: tuple[str, int], rule: Rule, done: Any) -> None:
        self._target, self._rule, self._done = target, rule, done
        self._random, self._lock = random.Random(rule.seed), threading.Lock()  # noqa: S311

    def serve(self, listener: socket.socket) -> None:
        while True:
            client, _ = listener.accept()
            try:
                connection = _Connection(client, socket.create_connection(self._target))
            except OSError:  # the server is away
                client.close()
                continue
            for pump in (self._requests, self._answers):
                threading.Thread(target=pump, args=(connection,), daemon=True).start()

    def _requests(self, connection: _Connection) -> None:
        with suppress(OSError):
            while data := connection.client.recv(65536):
                fault = self._judge(connection, data)
                if isinstance(fault, Answer):
                    connection.client.sendall(fault.data)
                    break
                if isinstance(fault, Stall):
                    threading.Event().wait(fault.seconds)
                connection.cut = fault if isinstance(fault, Cut) else connection.cut
                connection.server.sendall(data)
        connection.end()

    def _answers(self, connection: _Connection) -> None:
        with suppress(OSError):
            while data := connection.server.recv(65536):
                cut = connection.cut
                connection.client.sendall(data if cut is None else data[: cut.upto])
                if cut:
                    connection.end(reset=cut.reset)
                    break
        connection.end()

    def _judge(self, connection: _Connection, data: bytes) -> Fault | None:
        rule = self._rule
        connection.ready |= re.search(rule.after, data) is not None
        if not connection.ready or not re.match(rule.about, data):
            return None
        with self._lock:
            if self._random.random() >= rule.share or self._done.value >= rule.most:
                return None
            self._done.value += 1
        return rule.fault


@dataclass(frozen=True)
class Address:
    """Where the proxy listens, and how many faults there have been."""

    port: int
    done: Any

    @property
    def faults(self) -> int:
        return self.done.value


def _run(target: tuple[str, int], rule: Rule, done: Any, caller: Any) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    caller.send(listener.getsockname()[1])
    threading.Thread(target=_Proxy(target, rule, done).serve, args=(listener,), daemon=True).start()
    caller.poll(None)  # until the caller's end is closed, by it or by its death


@contextmanager
def proxy(target: tuple[str, int], rule: Rule) -> Iterator[Address]:
    """Put a proxy in front of a server, for as long as the block lasts."""
    done, (here, there) = _FORKED.Value("i", 0), _FORKED.Pipe()
    process = _FORKED.Process(target=_run, args=(target, rule, done, there))
    process.start()
    there.close()
    with here:
        yield Address(here.recv(), done)
    process.join()
