"""top: what containers use, as a table that is made anew again and again."""
