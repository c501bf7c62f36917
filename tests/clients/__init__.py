"""Scenarios of real engines, each with runc and with ociruntime on the same daemon."""
