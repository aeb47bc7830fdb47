"""What every kind of information adds, how far that leads, and what it costs: `results/state_of_the_art.md`."""
