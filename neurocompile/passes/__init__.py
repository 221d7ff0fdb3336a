"""Rewrites of the graph, a file each."""
