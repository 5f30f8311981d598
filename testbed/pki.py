"""Certificates of one CA, and kubeconfigs with bearer tokens, for the bare bed."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path

from testbed.state import run

DAYS = "30"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def make_certificates(folder: Path, api_address: str, service_address: str) -> None:
    """Writes NAME.crt and NAME.key of the CA, the API server and its clients, and the key pair of service accounts."""
    folder.mkdir(mode=0o700)
    ca = folder / "ca"
    run(
        "openssl",
        "req",
        "-x509",
        *_KEY,
        "-days",
        DAYS,
        "-subj",
        "/CN=testbed",
        "-keyout",
        f"{ca}.key",
        "-out",
        f"{ca}.crt",
    )
    names = [
        "localhost",
        *("kubernetes" + end for end in ("", ".default", ".default.svc", ".default.svc.cluster.local")),
    ]
    addresses = ["127.0.0.1", api_address, service_address]
    alternatives = ",".join([*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)])
    _certificate(folder, "apiserver", "/CN=kube-apiserver", f"subjectAltName={alternatives}")
    client = "extendedKeyUsage=clientAuth"
    _certificate(folder, "kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client", client)
    _certificate(folder, "front-proxy", "/CN=front-proxy", client)
    run("openssl", "genrsa", "-out", folder / "sa.key", "2048")
    run("openssl", "rsa", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub")


def _certificate(folder: Path, name: str, subject: str, extension: str) -> None:
    key, request, extensions = folder / f"{name}.key", folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(extension)
    run("openssl", "req", *_KEY, "-subj", subject, "-keyout", key, "-out", request)
    ca = ("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial")
    run(
        "openssl",
        "x509",
        "-req",
        "-in",
        request,
        *ca,
        "-days",
        DAYS,
        "-out",
        folder / f"{name}.crt",
        "-extfile",
        extensions,
    )


class Tokens:
    """The API server's file of bearer tokens: who a token is, and of which groups."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.touch(mode=0o600)

    def add(self, user: str, groups: str = "") -> str:
        token = secrets.token_hex(16)
        with self.file.open("a") as out:
            out.write(f'{token},{user},{user},"{groups}"\n')
        return token


def write_kubeconfig(path: Path, server: str, ca: Path, token: str) -> None:
    """A kubeconfig that needs no other file, with the one context `bare`. JSON is YAML."""
    authority = base64.b64encode(ca.read_bytes()).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bare", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "bare", "user": {"token": token}}],
        "contexts": [{"name": "bare", "context": {"cluster": "bare", "user": "bare"}}],
        "current-context": "bare",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1) + "\n")
