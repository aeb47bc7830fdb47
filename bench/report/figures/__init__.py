"""Every figure: a function each, from numbers to a `Drawing` that the color-blind can read."""
