"""Tests of the caller's side: windows, callbacks, futures, and the registry of sessions."""
