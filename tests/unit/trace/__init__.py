"""--trace and the drawings, without root."""
