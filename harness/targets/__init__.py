"""Where the platform runs. One module (or a family with one facade) for each kind of target."""
