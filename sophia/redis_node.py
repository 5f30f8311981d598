"""Runs one Redis as a cache (nothing on disk), with a health page and metrics beside it.

Environment: PORT (Redis), HTTP_PORT (health and metrics), MEMORY (limit, default 64mb).
"""

from __future__ import annotations

import socket
import sys
from signal import SIGTERM

from sophia import child, programs, settings

METRICS = {
    "used_memory": "redis_memory_used_bytes",
    "connected_clients": "redis_connected_clients",
    "keyspace_hits": "redis_keyspace_hits_total",
    "keyspace_misses": "redis_keyspace_misses_total",
}


def ask(port: int, command: str) -> str:
    """The answer of Redis to one inline command, its first 64 KiB; raises OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
        connection.sendall(f"{command}\r\nQUIT\r\n".encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received.decode(errors="replace")


def main() -> int:
    """Until Redis ends or the launcher is asked to."""
    stopping = child.Stopping()
    port = settings.integer("PORT")
    redis = child.start(
        [
            programs.find("redis-server"),
            *("--port", str(port), "--bind", settings.host(), "--save", "", "--appendonly", "no"),
            *("--protected-mode", "no"),  # who may reach it is for HOST and the network to say
            *("--maxmemory", settings.text("MEMORY", "64mb"), "--maxmemory-policy", "allkeys-lru"),
        ]
    )

    def health() -> tuple[int, str, bytes]:
        try:
            alive = ask(port, "PING").startswith("+PONG")
        except OSError:
            alive = False
        return (
            (200, "application/json", b'{"status":"ok"}') if alive else (503, "application/json", b'{"status":"down"}')
        )

    def metrics() -> tuple[int, str, bytes]:
        try:
            pairs = dict(line.split(":", 1) for line in ask(port, "INFO").splitlines() if ":" in line)
        except OSError:
            pairs = {}
        lines = [f"redis_up {int(bool(pairs))}"]
        lines += [f"{metric} {pairs[key]}" for key, metric in METRICS.items() if key in pairs]
        return 200, "text/plain; version=0.0.4", ("\n".join(lines) + "\n").encode()

    child.serve_pages(settings.integer("HTTP_PORT"), {"/health": health, "/metrics": metrics})
    while redis.poll() is None and not stopping:
        stopping.wait(0.5)
    return 0 if stopping and child.stop(redis, SIGTERM, 4.0) is not None else child.exit_code(redis.wait())


if __name__ == "__main__":
    sys.exit(main())
