"""Tests of the pure policies."""
