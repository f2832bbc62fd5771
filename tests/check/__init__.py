"""The checker of running programs."""
