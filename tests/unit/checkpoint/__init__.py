"""The parts of checkpoint and restore that need neither CRIU nor root."""
