"""Real container engines for tests/clients, each on a private host of its own."""
