"""What a mapped network costs on a chip: counters times the profile's numbers."""
