"""Tests on the real kernel: they need root and leave nothing behind."""
