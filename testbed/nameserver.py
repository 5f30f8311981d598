"""Docker's name server on the bed: it knows no name, and says so at once."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

# Of a range that is for documentation: nobody's network, and in no pool that Docker takes networks from.
ADDRESS = "192.0.2.53"
PORT = 53
# The machine's own name server cannot be reached from there, and whoever asks for a name that docker does not know
# would wait 20 s for it: a pull of an image that does not exist took 50.
COREFILE = f""". {{
  bind {ADDRESS}
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""
QUERY = struct.pack(">6H", 0x7462, 0x0100, 1, 0, 0, 0) + b"\7nothing\7invalid\0" + struct.pack(">2H", 1, 1)
IS_REPLY, RCODE, NXDOMAIN = 0x8000, 0x000F, 3


def answers(address: str = ADDRESS, port: int = PORT, within_s: float = 1.0) -> bool:
    """Whether it says that a name does not exist, asked from the calling thread's network namespace."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(within_s)
        asking.connect((address, port))
        asking.send(QUERY)
        reply = asking.recv(512)
        if len(reply) >= 12 and reply[:2] == QUERY[:2]:
            (flags,) = struct.unpack(">H", reply[2:4])
            return bool(flags & IS_REPLY) and flags & RCODE == NXDOMAIN
    return False
