"""The command line without root: what it prints, what it refuses."""
