"""What was spent, as a pure function of what was recorded."""
