"""Example bundles, and the program that builds them: ``bundles/make NAME DIR``."""
