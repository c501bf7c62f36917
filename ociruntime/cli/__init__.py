"""The command line: a hand-written parser, and one file per verb, imported when it is called."""
