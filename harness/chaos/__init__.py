"""Glue to Chaos Toolkit: what its experiments call, how it is run as a child, how its journal is read."""
