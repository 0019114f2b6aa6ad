"""What an instance costs an hour: the admin's own table, AWS's Price List, the bundled table."""
