"""The plan language: what a campaign does for one contact, as checked values."""
