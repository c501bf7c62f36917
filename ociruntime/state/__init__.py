"""What is known of containers between two commands: atomic files under --root, locked."""
