"""A connection to an API server: requests, answers, and refusals in words. TLS is always verified."""

from __future__ import annotations

import json
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlencode, urlsplit

from harness import effort
from harness.errors import BadInput, TargetError
from harness.targets.probe import Answer

TIMEOUT_S, CONNECT_S, POOLED = 30.0, 5.0, 16
MERGE, JSON, APPLY = "application/merge-patch+json", "application/json", "application/apply-patch+yaml"
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Manifest = dict[str, Any]


class ApiError(TargetError):
    """The API server refused (`status` is HTTP's), or it was not reached (0). `causes` are its own words, if any."""

    def __init__(self, text: str, status: int = 0, reason: str = "", causes: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.status, self.reason, self.causes = status, reason, tuple(causes)

    @property
    def passing(self) -> bool:
        """Whether it is worth asking again: the API server was away, or had too much to do."""
        return self.status in (0, 429) or self.status >= 500


class Connection:
    """One API server with one set of credentials; safe for several threads. Every failure is an ApiError.

    Nothing is tried again but a GET that did not get through; one that got no answer in its time did.
    """

    def __init__(self, context: str, configuration: Any, tls: ssl.SSLContext) -> None:
        import urllib3

        self.context, self.server = context, str(configuration.host)
        self._configuration, self._tls = configuration, tls
        named = {"server_hostname": configuration.tls_server_name} if configuration.tls_server_name else {}
        options: dict[str, Any] = {"ssl_context": tls, "maxsize": POOLED, **named}
        if configuration.proxy:
            self._pool: Any = urllib3.ProxyManager(configuration.proxy, **options)
        else:
            self._pool = urllib3.PoolManager(**options)

    def json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        body: Manifest | None = None,
        content_type: str = JSON,
    ) -> Manifest:
        whole = f"{path}?{urlencode(query)}" if query else path
        data = None if body is None else json.dumps(body)
        headers = {"Accept": JSON, **({"Content-Type": content_type} if data else {})}
        answer = self.send(method, whole, data, headers, TIMEOUT_S, again=method == "GET")
        if not 200 <= answer.status < 300:
            raise self.refusal(method, path, answer)
        try:
            return dict(json.loads(answer.text))
        except ValueError:
            raise ApiError(f"{method} {path}: the answer is no JSON: {answer.text[:200]!r}", answer.status) from None

    def send(
        self, method: str, path: str, body: str | bytes | None, headers: dict[str, str], timeout_s: float, again: bool
    ) -> Answer:
        import urllib3

        effort.called(method)
        try:
            answer = self._pool.request(
                method,
                self.server + path,
                body=body,
                headers={**headers, **self.authorization()},
                timeout=urllib3.Timeout(connect=min(CONNECT_S, timeout_s), read=timeout_s),
                retries=_again() if again else False,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(
                f"{self.server} of context {self.context!r} does not answer {method} {path.split('?')[0]}: {error}\n"
                "  fix: see whether the cluster runs and can be reached from here"
            ) from None
        seen = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, seen, answer.data.decode(errors="replace"))

    def websocket(self, path: str, protocol: str, timeout_s: float) -> Any:
        """An open WebSocket at a path, with one subprotocol of Kubernetes'."""
        import websocket

        effort.called("WebSocket")
        address = urlsplit(self.server)
        name = self._configuration.tls_server_name or address.hostname
        made = websocket.WebSocket(sslopt={"context": self._tls, "server_hostname": name})
        via = urlsplit(self._configuration.proxy or "")
        options = {"http_proxy_host": via.hostname, "http_proxy_port": via.port} if via.hostname else {}
        headers = [f"{key}: {value}" for key, value in self.authorization().items()]
        try:
            made.connect(
                self.server.replace("http", "ws", 1) + path,  # http → ws, https → wss
                header=headers,
                subprotocols=[protocol],
                timeout=timeout_s,
                suppress_origin=True,
                **options,
            )
        except websocket.WebSocketBadStatusException as error:
            body = (error.resp_body or b"").decode(errors="replace")
            answer = Answer(error.status_code, {"content-type": JSON}, body)
            raise self.refusal("GET", path, answer) from None
        except (websocket.WebSocketException, OSError) as error:
            raise ApiError(f"{self.server} of context {self.context!r}: {path.split('?')[0]}: {error}") from None
        return made

    def authorization(self) -> dict[str, str]:
        token = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return {"authorization": str(token)} if token else {}

    def refusal(self, method: str, path: str, answer: Answer) -> ApiError:
        """The API server's own words, with what helps."""
        said: Any = {}
        if "json" in answer.headers.get("content-type", ""):
            try:
                said = json.loads(answer.text)
            except ValueError:
                said = {}
        said = said if isinstance(said, dict) else {}
        causes = [
            ": ".join(part for part in (cause.get("field", ""), cause.get("message", "")) if part)
            for cause in (said.get("details") or {}).get("causes") or []
        ]
        fixes = {
            401: f"renew the credentials of context {self.context!r}",
            403: "give this identity the right; `harness rbac SCENARIO` writes the Role that a run needs",
        }
        fix = f"\n  fix: {fixes[answer.status]}" if answer.status in fixes else ""
        words = said.get("message") or answer.text[:300] or f"HTTP status {answer.status}"
        return ApiError(f"{method} {path.split('?')[0]}: {words}{fix}", answer.status, said.get("reason", ""), causes)


@cache
def _again() -> Any:
    """How a GET is tried again: unless it was taken and not answered, or silence would be waited for thrice."""
    import urllib3

    class Again(urllib3.Retry):
        def increment(  # type: ignore[override]
            self, method: Any = None, url: Any = None, response: Any = None, error: Any = None, **more: Any
        ) -> Any:
            if isinstance(error, urllib3.exceptions.ReadTimeoutError):
                raise error
            return super().increment(method, url, response, error, **more)

    return Again(2, redirect=0, status=0, backoff_factor=0.1, raise_on_redirect=False)


def opened(kubeconfig: str, context: str) -> Connection:
    """The connection of a context; nothing is asked yet. An empty `kubeconfig` is $KUBECONFIG, else ~/.kube/config.

    Raises BadInput for what cannot be used.
    """
    from kubernetes import config
    from kubernetes.client import Configuration

    if not context:
        raise BadInput("no context is named", fix="name one: the current context of a kubeconfig is never taken")
    chosen = Configuration()
    # The loader writes keys to files: they are read from there, and gone before anything can be killed.
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        try:
            config.load_kube_config(kubeconfig or None, context, chosen, persist_config=False, temp_file_path=folder)
            _check_tls(context, chosen)
            tls = ssl.create_default_context(cafile=chosen.ssl_ca_cert)
            if chosen.cert_file:
                tls.load_cert_chain(chosen.cert_file, chosen.key_file)
        except (config.ConfigException, OSError, KeyError, ValueError) as error:
            raise BadInput(
                f"{kubeconfig or 'the default kubeconfig'} gives no context {context!r} that can be used: {error}",
                fix="`kubectl config get-contexts`",
            ) from None
    return Connection(context, chosen, tls)


def _check_tls(context: str, chosen: Any) -> None:
    address = urlsplit(chosen.host)
    if not chosen.verify_ssl or (address.scheme != "https" and address.hostname not in LOOPBACK):
        raise BadInput(
            f"context {context!r} talks to {chosen.host} without verified TLS",
            fix="give the kubeconfig a certificate-authority, without insecure-skip-tls-verify",
        )
