"""A kernel timer on CLOCK_MONOTONIC as a file descriptor: wakes at a nanosecond, where event loops round to 1 ms.

Linux only. `os.timerfd_create` would do from Python 3.13 on.
"""

from __future__ import annotations

import ctypes
import os
import struct

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1


class TimerFd:
    """Readable once the time set has come; setting a new time clears the last expiry, so it is never read."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = ctypes.create_string_buffer(32)
        self._settime = libc.timerfd_settime
        self._settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p]

    def set(self, at_ns: int) -> None:
        """Monotonic nanoseconds; a time gone by fires at once."""
        seconds, rest = divmod(max(at_ns, 1), 1_000_000_000)  # 0 would disarm it
        struct.pack_into("qqqq", self._spec, 0, 0, 0, seconds, rest)
        self._settime(self.fd, _ABSOLUTE, self._spec, None)

    def disarm(self) -> None:
        struct.pack_into("qqqq", self._spec, 0, 0, 0, 0, 0)
        self._settime(self.fd, _ABSOLUTE, self._spec, None)

    def close(self) -> None:
        os.close(self.fd)
