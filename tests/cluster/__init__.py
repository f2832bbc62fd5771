"""Clusters that somebody else runs: real nodes, a server on a port, and callers with a URL."""
