"""Own models and what people use instead, from a hundred thousand to 25 million simulated ratings."""
