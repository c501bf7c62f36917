"""The steps of a plan, one file per subject. All of them are data until the executor runs them."""
