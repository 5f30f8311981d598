"""Opens a page in headless Chromium and says how long its first paint took. Exit code 0: within the limit.

`python -m sophia.first_paint URL MILLISECONDS`. One browser makes 21 visits over some seconds, told over its debugging
protocol. The first also pays for the browser's own start and is only shown; the median of all others, none of which may
be missing, is held against the limit.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

from websockets.sync.client import ClientConnection, connect

from sophia import child, programs

VISITS = 21
PAUSE_S = 0.15  # so that one busy moment of this machine does not decide
PAINT = """
new Promise(resolve => {
  const told = () => performance.getEntriesByName("first-paint")[0];
  const look = () => told() ? resolve(told().startTime) : setTimeout(look, 10);
  look();
  setTimeout(() => resolve(-1), 3000);
})
"""


def debugger(profile: Path, within: float = 30.0) -> str:
    """The address of the browser's only page, as soon as the browser tells it; raises TimeoutError."""
    deadline = time.monotonic() + within
    port = profile / "DevToolsActivePort"
    while time.monotonic() < deadline:
        try:
            url = f"http://127.0.0.1:{port.read_text().splitlines()[0]}/json/list"
            with urllib.request.urlopen(url, timeout=2) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        except (OSError, IndexError, ValueError):
            pass
        time.sleep(0.05)
    raise TimeoutError("the browser did not start")


def visit(page: ClientConnection, ids: itertools.count[int], url: str) -> float | None:
    """Milliseconds to the first paint of one visit, or None when there was none."""

    def call(method: str, **parameters: Any) -> Any:
        number = next(ids)
        page.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(page.recv(timeout=10))
            if told.get("id") == number:
                return told["result"]

    call("Page.navigate", url=url)
    painted = call("Runtime.evaluate", expression=PAINT, awaitPromise=True, returnByValue=True)
    milliseconds = float(painted["result"].get("value", -1))
    return milliseconds if milliseconds >= 0 else None


def visits(browser: str, url: str) -> list[float | None]:
    """Milliseconds of each visit; None: it did not paint."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"),
            *("--disable-background-networking", f"--user-data-dir={profile}", "--remote-debugging-port=0"),
            "about:blank",
        ]
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=child.die_with_parent,
        )
        try:
            with connect(debugger(Path(profile)), max_size=None) as page:
                ids = itertools.count(1)
                found = []
                for _ in range(VISITS):
                    found.append(visit(page, ids, url))
                    time.sleep(PAUSE_S)
                return found
        finally:
            running.terminate()
            running.wait(10)


def main(arguments: list[str]) -> int:
    """Exit code 0 within the limit, 1 beyond it, 2 when it could not be measured."""
    url, limit = arguments[0], float(arguments[1])
    browser = programs.find("chromium", "chromium-browser", "google-chrome", "chrome")
    measured = visits(browser, url)
    told = ", ".join("none" if each is None else f"{each:.1f}" for each in measured)
    painted = [milliseconds for milliseconds in measured[1:] if milliseconds is not None]
    if len(painted) < VISITS - 1:
        print(f"first paint was not measured: not every visit painted ({told})")
        return 2
    typical = median(painted)
    print(f"first paint {typical:.1f} ms (median of all visits but the first: {told}), limit {limit:g} ms")
    return 0 if typical < limit else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
