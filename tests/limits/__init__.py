"""Time limits, retries, kill and dead letters, on real workers and on the twin."""
