"""Pictures of what networks do: plain arrays in, files out. Needs matplotlib: the extra `plots`."""
