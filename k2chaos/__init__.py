"""Chaos engineering for streaming data pipelines."""
