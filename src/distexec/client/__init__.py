"""The caller's side of the ring: window, dispatcher, collector, session."""
