"""The admin's policy, the user's settings within its bounds, and how they are stored."""
