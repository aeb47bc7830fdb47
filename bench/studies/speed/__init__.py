"""How fast, measured: `fm` against its peers, its own growth, and the machine's limits."""
