"""A real multi-node Kubernetes on one Linux machine, from package registries only: what the end-to-end tests run on.

`bare` is the same programs as in any cluster, in network namespaces; `kind` is the real kind binary with a node image
of our own. Guide: docs/guides/testbed.md.
"""
