"""The report in a real browser: no error on its console, no request beyond itself, something to see in every medium.

The browser's only way out is a proxy of ours, which answers for the report and remembers every other request.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.render.html import html
from harness.testing.sample_run import KINDS, Kind, sample

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.timeout(180),
]

HOST = "report.test"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--no-pings",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)


@dataclass
class Seen:
    """What the browser asked for, and what it said on its console."""

    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    output: Path = Path()

    @property
    def elsewhere(self) -> list[str]:
        """Requests for anything but the report itself, without those by which the browser keeps itself up to date."""
        own = re.compile(r"(CONNECT |GET http://)([\w-]+\.)*(google|googleapis|gstatic|gvt1)\.com[:/].*")
        return [it for it in self.requests if it != f"GET http://{HOST}/report.html" and not own.fullmatch(it)]


@contextmanager
def _proxy(page: bytes, seen: Seen) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.requests.append(f"GET {self.path}")
            found = self.path == f"http://{HOST}/report.html"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            if found:
                self.wfile.write(page)

        def do_CONNECT(self) -> None:
            seen.requests.append(f"CONNECT {self.path}")
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def _browse(page: bytes, folder: Path, *options: str, output: str = "shot.png") -> Seen:
    """Opens the page once and writes a screenshot or a PDF."""
    assert CHROMIUM
    seen = Seen(output=folder / output)
    how = f"--print-to-pdf={seen.output}" if output.endswith(".pdf") else f"--screenshot={seen.output}"
    with _proxy(page, seen) as port:
        done = subprocess.run(
            [
                CHROMIUM,
                *FLAGS,
                f"--user-data-dir={folder / 'profile'}",
                f"--proxy-server=127.0.0.1:{port}",
                "--proxy-bypass-list=<-loopback>",
                how,
                *options,
                f"http://{HOST}/report.html",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    seen.console = re.findall(r"CONSOLE[^\]]*\] (.*)", done.stderr)
    assert f"GET http://{HOST}/report.html" in seen.requests, done.stderr
    assert seen.output.exists(), done.stderr
    return seen


def _page(kind: Kind) -> bytes:
    return html(*sample(kind))


def _pixels(png: Path) -> tuple[int, int, bytes]:
    """Width, height and the unfiltered rows of an 8-bit RGB or RGBA picture, as RGB of every fourth pixel."""
    data, at, body, width, height, depth = png.read_bytes(), 8, b"", 0, 0, 3
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack(">IIBB", chunk[:10])
            depth = {2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            body += chunk
        at += 12 + size
    raw, row, rows = zlib.decompress(body), width * depth, []
    before = bytearray(row)
    for line in range(height):
        start = line * (row + 1)
        now = bytearray(raw[start + 1 : start + 1 + row])
        _unfilter(raw[start], now, before, depth)
        rows.append(b"".join(bytes(now[i : i + 3]) for i in range(0, row, depth * 4)))
        before = now
    return width, height, b"".join(rows)


def _unfilter(kind: int, now: bytearray, before: bytearray, depth: int) -> None:
    """https://www.w3.org/TR/png-3/#9Filters"""
    for i in range(len(now)):
        left, up, corner = now[i - depth] if i >= depth else 0, before[i], before[i - depth] if i >= depth else 0
        if kind == 1:
            now[i] = now[i] + left & 255
        elif kind == 2:
            now[i] = now[i] + up & 255
        elif kind == 3:
            now[i] = now[i] + (left + up) // 2 & 255
        elif kind == 4:
            guess = left + up - corner
            near = min((left, up, corner), key=lambda value: abs(guess - value))
            now[i] = now[i] + near & 255


def _brightness(png: Path) -> float:
    pixels = _pixels(png)[2]
    return sum(pixels) / len(pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_it_asks_for_nothing_and_complains_of_nothing(kind: Kind, tmp_path: Path) -> None:
    seen = _browse(_page(kind), tmp_path, "--window-size=1200,2000")
    assert seen.elsewhere == []
    assert seen.console == []


def test_a_page_that_fetches_or_errs_would_be_found(tmp_path: Path) -> None:
    leaky = b"<!doctype html><p>hello<img src='http://leak.test/pixel.png'><script>console.error('broken')</script>"
    seen = _browse(leaky, tmp_path)
    assert "GET http://leak.test/pixel.png" in seen.elsewhere
    assert any("broken" in line for line in seen.console)


def test_the_policy_stops_what_slips_in(tmp_path: Path) -> None:
    """Even were something not escaped: no script runs, nothing is fetched, and the browser says so."""
    evil = _page("pass").replace(
        b"</main>",
        b"<script>document.title='x'</script><img src='http://leak.test/a.png'><p style='color:red'>x</p></main>",
    )
    seen = _browse(evil, tmp_path)
    assert seen.elsewhere == []
    assert len([line for line in seen.console if "Content Security Policy" in line]) >= 3


def test_dark_where_dark_is_wished(tmp_path: Path) -> None:
    (tmp_path / "dark").mkdir()
    light = _browse(_page("fail"), tmp_path, "--window-size=800,600")
    dark = _browse(_page("fail"), tmp_path / "dark", "--window-size=800,600", "--blink-settings=preferredColorScheme=0")
    assert _brightness(light.output) > 200
    assert _brightness(dark.output) < 70
    assert dark.console == []


def test_on_paper_it_is_light_and_has_few_pages(tmp_path: Path) -> None:
    seen = _browse(
        _page("pass"),
        tmp_path,
        "--no-pdf-header-footer",
        "--blink-settings=preferredColorScheme=0",
        output="report.pdf",
    )
    pages = len(re.findall(rb"/Type\s*/Page\b", seen.output.read_bytes()))
    assert 3 <= pages <= 9
    if shutil.which("pdftoppm"):
        subprocess.run(
            ["pdftoppm", "-r", "40", "-f", "1", "-l", "1", "-png", "report.pdf", "page"],
            cwd=tmp_path,
            check=True,
            timeout=60,
        )
        assert _brightness(next(tmp_path.glob("page*.png"))) > 220


def _probed(page: bytes, script: bytes, width: int, folder: Path) -> list[str]:
    """What a script of the test's says on the console of a page `width` pixels wide; the policy is taken out for it."""
    probe = b"<script>addEventListener('load', () => {" + script + b"})</script></body>"
    page = re.sub(rb"<meta http-equiv=[^>]*>", b"", page).replace(b"</body>", probe)
    frame = (
        b"<!doctype html><style>*{margin:0;border:0}</style><iframe width='%d' height='4000' srcdoc=\"%s\"></iframe>"
        % (width, page.replace(b"&", b"&amp;").replace(b'"', b"&quot;"))
    )  # a headless window is never narrower than 500 pixels; a frame can be
    return _browse(frame, folder, "--window-size=1100,1200").console


STICKS_OUT = b"""
      const width = document.documentElement.clientWidth
      const own = '.scroll,.skip,.hidden,.defs,thead'
      const wide = [...document.querySelectorAll('body *:not(svg *)')]
        .filter(it => it.getBoundingClientRect().right > width + 1 && !it.closest(own))
      console.error('WIDE', width, wide.map(it => it.tagName + '.' + it.className).join(' '))
"""


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_sticks_out_on_a_narrow_screen(width: int, tmp_path: Path) -> None:
    said = [line for line in _probed(_page("inconclusive"), STICKS_OUT, width, tmp_path) if "WIDE" in line]
    assert said
    assert re.search(rf"WIDE {width} *\"", said[0]), said


# Words of a drawing that leave it or lie on each other; drawings of a fixed size, so one width of the page tells all.
CROWDED = b"""
  const shown = it => it.getBoundingClientRect().width > 0
  const drawings = [...document.querySelectorAll('svg[role=img]')].filter(shown)
  const found = drawings.flatMap(svg => {
    const box = svg.viewBox.baseVal
    const texts = [...svg.querySelectorAll('text')].map(it => [it.textContent, it.getBBox()])
    const out = texts.filter(([, b]) => b.x < -1 || b.x + b.width > box.width + 1 || b.y < -1 || b.y + b.height > box.height + 1)
    const meet = ([, a], [, b]) => a.x < b.x + b.width - 0.5 && b.x < a.x + a.width - 0.5 && a.y < b.y + b.height - 4 && b.y < a.y + a.height - 4
    const on = texts.filter((a, i) => texts.some((b, j) => j < i && meet(a, b)))
    return [...out.map(([text]) => 'OUT ' + text), ...on.map(([text]) => 'ON ' + text)]
  })
  const mute = drawings.filter(it => !(it.getAttribute('aria-label') || '').trim())
  const cut = [...document.querySelectorAll('td,th,dd,.chip')].filter(it => shown(it) && it.scrollWidth > it.clientWidth + 1 && getComputedStyle(it).display !== 'inline')
  console.error('DRAWN', drawings.length, 'MUTE', mute.length, 'CUT', cut.map(it => it.textContent).join('|'), 'CROWDED', found.join('|') || 'none')
"""  # noqa: E501


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [390, 1024])
def test_words_are_whole_and_apart_and_nothing_sticks_out(width: int, kind: Kind, tmp_path: Path) -> None:
    console = _probed(_page(kind), b"{" + STICKS_OUT + b"}" + CROWDED, width, tmp_path)
    said = [line for line in console if "DRAWN" in line]
    assert said
    assert any(re.search(rf"WIDE {width} *\"", line) for line in console), console
    assert re.search(r'DRAWN \d\d? MUTE 0 CUT +CROWDED none"', said[0]), said


def test_words_on_each_other_would_be_found(tmp_path: Path) -> None:
    bad = b"""<!doctype html><body><svg role="img" viewBox="0 0 50 20" width="50"><text x="2" y="15">one</text>
      <text x="6" y="15">two, and out of it</text></svg></body>"""
    said = [line for line in _probed(bad, CROWDED, 390, tmp_path) if "DRAWN" in line]
    assert "MUTE 1" in said[0]
    assert "OUT two" in said[0]
    assert "ON two" in said[0]
