"""Large values and results: sent once, beside the calls that use them."""
