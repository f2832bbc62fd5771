"""Servers, nodes and callers that fail, each in the ways there are; on real processes."""
