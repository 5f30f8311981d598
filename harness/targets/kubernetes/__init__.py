"""The kubernetes target: a platform on a real cluster."""
