"""Programs that run in pods of the harness: standard library only, each file whole in itself or on top of `node`.

They travel as text, so that any image with Python 3 will do. The first of a text has its `main`.
"""

from __future__ import annotations

import re
from pathlib import Path

TAIL = "\nimport sys\nmain(sys.argv[1:])\n"
OURS = re.compile(r"^(from harness\.|from __future__ ).*\n", re.MULTILINE)


def source(*names: str) -> str:
    """The named programs as one text; what they import from each other is in it already."""
    texts = (Path(__file__).with_name(f"{name}.py").read_text() for name in names)
    return "from __future__ import annotations\n" + "\n".join(OURS.sub("", text) for text in texts) + TAIL
