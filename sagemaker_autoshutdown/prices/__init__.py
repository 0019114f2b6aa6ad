"""Hourly prices of instances: the admin's own table, AWS's Price List, the bundled table."""
