"""What a program costs, for people and for other programs."""
