"""Opens a page in headless Chromium and says how long its first paint took. Exit code 0: within the limit.

`python -m sophia.first_paint URL MILLISECONDS`; the page must put it into `data-first-paint-ms` of its root element.
The best of three visits counts: the first ones also pay for the browser's own start.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile

from sophia import programs

PAINT = re.compile(r'data-first-paint-ms="([\d.]+)"')


def visit(browser: str, url: str) -> float | None:
    """Milliseconds of one visit, or None when the page told none."""
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [
                browser,
                *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"),
                *(f"--user-data-dir={profile}", "--timeout=3000", "--dump-dom", url),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    found = PAINT.search(done.stdout)
    return float(found[1]) if found else None


def main(arguments: list[str]) -> int:
    """Exit code 0 within the limit, 1 beyond it, 2 when it could not be measured."""
    url, limit = arguments[0], float(arguments[1])
    browser = programs.find("chromium", "chromium-browser", "google-chrome", "chrome")
    visits = [visit(browser, url) for _ in range(3)]
    measured = [milliseconds for milliseconds in visits if milliseconds is not None]
    if not measured:
        print("first paint was not measured: the page told none")
        return 2
    print(f"first paint {min(measured):.1f} ms (visits: {visits}), limit {limit:g} ms")
    return 0 if min(measured) < limit else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
