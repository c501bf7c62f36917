"""The start dance: one file per process that takes part in it, and the channel between them."""
