"""A run as one HTML file that stands alone: its figures over time, and what it wrote."""
