"""From what the user trained to a graph of stage "traced"."""
