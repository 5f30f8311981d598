"""The reference platform: small, honest services around a real Weaviate, PostgreSQL and Redis, to try the harness on."""
