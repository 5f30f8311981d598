"""Signed envelopes: DSSE 1.0 (github.com/secure-systems-lab/dsse) with Ed25519 keys of the user's.

A private key is read, used and forgotten: never written, never logged. Its file must be its owner's alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PASSPHRASE = "HARNESS_KEY_PASSPHRASE"  # noqa: S105 (the name of a variable)
MAX_BYTES = 64 * 1024
MAKE_KEY = "ssh-keygen -t ed25519 -f release-key"


class Refused(ValueError):
    """A signature, or what was signed, does not hold; the message says why."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-Authentication Encoding: the bytes that are signed, so that type and body cannot be mistaken."""
    name = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def envelope(payload_type: str, payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """The payload with its signature, as the JSON envelope of the specification."""
    value = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [
            {"keyid": key_id(key.public_key()), "sig": base64.b64encode(key.sign(pae(payload_type, payload))).decode()}
        ],
    }
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def opened(raw: bytes, payload_type: str, key: Ed25519PublicKey) -> bytes:
    """The payload of an envelope that this key signed. Raises Refused; what is not signed is never returned."""
    from cryptography.exceptions import InvalidSignature

    try:
        value = json.loads(raw)
        kind, payload = str(value["payloadType"]), _decoded(value["payload"])
        signatures = [_decoded(one["sig"]) for one in value["signatures"]]
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
        raise Refused("is no signed envelope") from None
    for signature in signatures:
        try:
            key.verify(signature, pae(kind, payload))
        except InvalidSignature:
            continue
        if kind != payload_type:
            raise Refused(f"is signed, but as {kind!r}, not as {payload_type!r}")
        return payload
    raise Refused(f"is not signed by key {key_id(key)}, or was changed since")


def _decoded(text: Any) -> bytes:
    """Standard or URL-safe base64: the specification wants both to be read."""
    return base64.b64decode(str(text).replace("-", "+").replace("_", "/"), validate=True)


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the raw public key, in hex: a name for people, nothing is decided by it."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def private_key(file: Path) -> Ed25519PrivateKey:
    """An Ed25519 key in PEM or OpenSSH form; HARNESS_KEY_PASSPHRASE opens it when it is locked. Raises BadInput."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = _read(file)
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise BadInput(f"others may read this private key (mode {mode:o})", file=file, fix=f"chmod 600 {file}")
    password = os.environ.get(PASSPHRASE, "").encode() or None
    load = serialization.load_ssh_private_key if b"OPENSSH" in raw else serialization.load_pem_private_key
    try:
        key = load(raw, password=password)
    except TypeError:
        fix = f"set {PASSPHRASE}" if password is None else f"unset {PASSPHRASE}: this key has no passphrase"
        raise BadInput("the passphrase is missing or not wanted", file=file, fix=fix) from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadInput(
            "no private key in PEM or OpenSSH form, or a wrong passphrase", file=file, fix=MAKE_KEY
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput("not an Ed25519 key", file=file, fix=MAKE_KEY)
    return key


def public_key(file: Path) -> Ed25519PublicKey:
    """An Ed25519 public key in PEM form or as a line of OpenSSH. Raises BadInput."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    raw = _read(file)
    if b"PRIVATE KEY" in raw:
        raise BadInput("this is a private key: a verifier needs the public one", file=file, fix=f"give {file}.pub")
    load = serialization.load_ssh_public_key if raw.startswith(b"ssh-") else serialization.load_pem_public_key
    try:
        key = load(raw)
    except (ValueError, UnsupportedAlgorithm):
        raise BadInput("no public key in PEM or OpenSSH form", file=file, fix="give the signer's .pub file") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput("not an Ed25519 key", file=file, fix="give the signer's .pub file")
    return key


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES)
    except OSError as error:
        raise BadInput(error.strerror or "cannot be read", file=file, fix="check the path of the key") from None
