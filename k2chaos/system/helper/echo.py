"""Give back what is sent to a TCP port of this network namespace; argument: the port."""

import socket
import sys
import threading

PATIENCE_SECONDS = 10.0
"""After so long a silence it is over: the end of a connection may have got lost."""


def give_back(one: socket.socket) -> None:
    """Until *one* is closed."""
    one.settimeout(PATIENCE_SECONDS)
    with one:
        try:
            while said := one.recv(1024):
                one.sendall(said)
        except OSError:
            return


with socket.create_server(("", int(sys.argv[1]))) as listening:
    while True:
        accepted, _ = listening.accept()
        threading.Thread(target=give_back, args=(accepted,), daemon=True).start()
