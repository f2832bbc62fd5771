"""Pure policy: data and `now` in, decisions out. No clock, no network, no threads."""
