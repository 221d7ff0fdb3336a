"""One table per framework: which class is which neuron. No framework is imported here."""
