"""Following a network through its own forward: symbolic tensors, what torch does to them, and the graph found."""
