"""A dead man's switch: waits for its deadline, then does the calls that undo a fault, until all were taken.

It never gives up: an API server may be away for hours, and the fault stands for as long. It asks ever less often, and
reads its token anew each time, because the kubelet renews that. Ended (SIGTERM: the harness undid the fault itself) it
does nothing.
"""

from __future__ import annotations

import http.client
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
RETRY_S, MOST_S = 2.0, 30.0


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
        pause_s, told = RETRY_S, ""
        while True:
            try:
                call(one)
                break
            except (OSError, ValueError, http.client.HTTPException) as error:
                if told != (told := str(error)):  # hours of the same would fill the node's disk
                    print(json.dumps({"failed": told, "path": one["path"]}), flush=True)
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, MOST_S)
    print(json.dumps({"undone": len(calls)}), flush=True)
