"""Tests of the store: its verbs, on both implementations."""
