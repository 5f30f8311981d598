"""How `requests`, which brings authorities of its own, trusts whom the rest of a run trusts."""

from __future__ import annotations

from typing import Any

from requests.adapters import HTTPAdapter

from harness import tls


class TrustingAdapter(HTTPAdapter):
    """Verifies https addresses by `harness.tls`."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=tls.trusted(), **options)
