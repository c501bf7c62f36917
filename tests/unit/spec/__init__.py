"""Tests of schemas, rules and parsing."""
