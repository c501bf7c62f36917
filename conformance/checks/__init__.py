"""The tests, one file per subject."""
