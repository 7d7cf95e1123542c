"""Studies: measurements on any encoder directory that decide defaults, each rerun by one command."""
