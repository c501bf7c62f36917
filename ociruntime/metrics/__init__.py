"""What containers use, as OpenMetrics text: for a scrape, or for a collector of files."""
