#!/usr/bin/env python3
"""The manifests of an inventory's plain services, from its platform file.

    python scripts/inventory-manifests.py deploy/inventory-29.yaml > deploy/kustomize/inventory-29/services.yaml

A service is plain when it runs as `python -m sophia.X` outside of regions, with its health on port http and no data.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from harness.model.platform import PlatformSpec, Service
from harness.spec.platform import load_platform

IDENTITY = {"SERVICE", "INSTANCE", "REGION", "RELEASE"}  # of every pod, from base/pods
MANIFEST = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels: {{app.kubernetes.io/name: {name}}}
spec:
  replicas: {replicas}
  selector:
    matchLabels: {{app.kubernetes.io/name: {name}}}
  template:
    metadata:
      labels: {{app.kubernetes.io/name: {name}}}
      annotations: {{prometheus.io/port: "{http}"}}
    spec:
      containers:
        - name: {name}
          image: sophia.local/sophia
          command: [python3, -m, {module}]
          env:
{env}
          ports:
{ports}
          readinessProbe:
            httpGet: {{path: {health}, port: http}}
            periodSeconds: 1
          livenessProbe:
            httpGet: {{path: {health}, port: http}}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          resources:
            requests: {{cpu: 10m, memory: 48Mi}}
            limits: {{memory: 256Mi}}
---
apiVersion: v1
kind: Service
metadata:
  name: {name}
  labels: {{app.kubernetes.io/name: {name}}}
spec:
  selector: {{app.kubernetes.io/name: {name}}}
  ports:
{fronts}
"""


def is_plain(service: Service) -> bool:
    """Whether the template above fits."""
    module = service.command[-1] if service.command[1:2] == ("-m",) else ""
    return module.startswith("sophia.") and module != "sophia.weaviate_node" and set(service.instances) == {""}


def manifest(spec: PlatformSpec, service: Service) -> str:
    """Deployment and Service."""
    ports = {each.name: each.ports for each in spec.services}

    def one(found: re.Match[str]) -> str:
        name, _, port = found[1].rpartition(".")
        return str(service.ports[port]) if name == "port" else f"{name}:{ports[name][port]}"

    values = {key: re.sub(r"\$\{([^}]*)\}", one, text) for key, text in service.env.items() if key not in IDENTITY}
    assert service.health is not None
    return MANIFEST.format(
        name=service.name,
        replicas=service.instances[""],
        module=service.command[-1],
        health=service.health.path,
        http=service.ports["http"],
        env="\n".join(f'            - {{name: {key}, value: "{text}"}}' for key, text in values.items()),
        ports="\n".join(f"            - {{name: {key}, containerPort: {port}}}" for key, port in service.ports.items()),
        fronts="\n".join(
            f"    - {{name: {key}, port: {port}, targetPort: {key}}}" for key, port in service.ports.items()
        ),
    )


def manifests(platform: Path) -> str:
    """All of them, in the platform file's order."""
    spec = load_platform(platform).value.spec
    head = f"# Made from deploy/{platform.name} by scripts/inventory-manifests.py.\n"
    return head + "---\n".join(manifest(spec, each) for each in spec.services if is_plain(each))


if __name__ == "__main__":
    sys.stdout.write(manifests(Path(sys.argv[1])))
