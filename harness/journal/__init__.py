"""The record of a run: append-only events, and where everything lies in a run's folder."""
