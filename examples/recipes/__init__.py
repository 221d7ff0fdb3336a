"""What the recipes of the papers share: data sets, training that resumes, compiling what was trained, and tables.

data.py      digits, CIFAR and ImageNet as batches
options.py   the flags that every recipe has
training.py  a stage of training: epochs, schedule, and a state on disk to go on from
theirs.py    a trained network as the papers' own code saves it
compiled.py  a trained network built for a target, every engine compared
results.py   results.json and results.md
"""
