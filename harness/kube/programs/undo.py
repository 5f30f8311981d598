"""A dead man's switch: waits for its deadline, then does the calls that undo a fault, until all were taken.

Ended before its deadline (SIGTERM: the harness undid the fault itself) it does nothing.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
RETRY_S = 2.0


def call(one: dict[str, str]) -> None:
    """One call of the API, as this pod's own account. What is not there any more needs no undoing."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = Path(f"{MOUNTED}/token").read_text().strip()
    request = urllib.request.Request(
        f"https://{host}:{port}{one['path']}",
        data=one["body"].encode() if one.get("body") else None,
        method=one["method"],
        headers={"Authorization": f"Bearer {token}", "Content-Type": one.get("type", "application/merge-patch+json")},
    )
    context = ssl.create_default_context(cafile=f"{MOUNTED}/ca.crt")
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
            answer.read()
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


def main(argv: list[str]) -> None:
    """SECONDS CALLS"""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(json.dumps({"ready": True}), flush=True)
    time.sleep(float(argv[0]))
    calls = json.loads(argv[1])
    for one in calls:
        while True:
            try:
                call(one)
                break
            except (OSError, ValueError) as error:  # the API server may be away: it comes back
                print(json.dumps({"failed": str(error), "path": one["path"]}), flush=True)
                time.sleep(RETRY_S)
    print(json.dumps({"undone": len(calls)}), flush=True)
