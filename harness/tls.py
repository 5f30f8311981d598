"""Whom to believe: one answer for every https address of a run. Certificates are always verified.

Trusted is what this machine trusts; `SSL_CERT_FILE` names the certificates of a private authority, for the load and the
beacon as for whatever else asks.
"""

from __future__ import annotations

import socket
import ssl
import time
from urllib.parse import urlsplit

WITHIN_S = 5.0
LEFT_S = 86_400.0  # a certificate that ends in mid-run ends the run


def trusted() -> ssl.SSLContext:
    """A context for clients: TLS 1.2 or later, chain and host name verified."""
    return ssl.create_default_context()


def distrusted(url: str) -> str:
    """Why the certificate at an https address is not to be relied on; "" when it is."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        with (
            socket.create_connection((host, parts.port or 443), WITHIN_S) as connection,
            trusted().wrap_socket(connection, server_hostname=host) as session,
        ):
            ends = str((session.getpeercert() or {}).get("notAfter", ""))
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not believed: {error.verify_message}"
    except OSError as error:
        return f"no TLS there: {error}"
    left = ssl.cert_time_to_seconds(ends) - time.time()
    return "" if left > LEFT_S else f"its certificate ends in {left / 3600:.1f} h ({ends})"
