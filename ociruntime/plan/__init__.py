"""From a validated config to an ordered list of steps, without touching the system."""
