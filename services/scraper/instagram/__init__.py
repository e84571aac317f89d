"""Instagram as a source: hashtags and profiles, through Instaloader."""
