"""Attacks of every published vulnerability class; each runs against any runtime binary."""
