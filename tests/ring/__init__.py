"""The rules of the ring, on real clusters of one machine and on the twin."""
