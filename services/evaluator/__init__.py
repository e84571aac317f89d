"""Scores generators against real images: distances, precision and recall, and the gate."""
