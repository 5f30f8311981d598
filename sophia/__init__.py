"""The reference platform: small, honest services around real parts, to try the harness on."""
