"""Real situations, one line each, and whether the app is in use in them."""
